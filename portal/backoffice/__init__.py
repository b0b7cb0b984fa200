"""The back office: the record of acts, institutions, and what administrators narrow and hide."""
