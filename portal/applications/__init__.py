"""Applications: an enterprise asks a bank for a loan, two reviewers pass it on, the bank investigates and decides.

`service` is the enterprise's side and the one function that moves an application (`move`); `review` is the platform's, `lending` the
bank's, `financing` what is asked of all banks at once. `application` has the types, `listings` what can be filtered and sorted by.
"""
