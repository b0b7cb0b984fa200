"""Applications: an enterprise asks a bank for a loan, two reviewers pass it on, the bank investigates and decides.

`service` is the enterprise's side, `review` the platform's, `lending` the bank's, `financing` what is asked of all banks at once.
`moving` has the one function that changes a state, `covering` the consents behind it, `telling` who hears of it, `clock` what time
alone does. `application` has the types, `listings` what can be filtered and sorted by. What follows a grant begins with
`moving.grant_of`.
"""
