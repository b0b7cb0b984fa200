"""Private set intersection: which subjects two parties have in common, and nothing about the others."""
