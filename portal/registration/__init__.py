"""Registration: an enterprise asks to be known, two reviewers look, and the hub binds its key to its code."""
