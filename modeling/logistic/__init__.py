"""Vertical logistic regression without a coordinator and without a dealer (protocols.md 5)."""
