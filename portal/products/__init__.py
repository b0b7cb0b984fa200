"""Products: a member's offer of a loan, reviewed before enterprises see it, and found by what they need."""
