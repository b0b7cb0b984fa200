"""Notices by e-mail, and which notices an account wants where."""
