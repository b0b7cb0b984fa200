"""Vertical gradient boosting, SecureBoost (protocols.md 6)."""
