"""Encrypted scoring between nodes: requests and answers in an exchange of mode score.

scorer     the bank's side as its programs see it: ask for scores, get scores
"""
