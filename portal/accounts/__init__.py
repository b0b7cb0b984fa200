"""Accounts: who may log in, how, and from where they did."""
