"""The model registry as a node keeps it: which models name this member, what was said about each, and the parts that lie here.

`registry` (what an operator and the exchanges ask) stands on `registering` (making a version), `rules` (approving by rule), `parts`
(files of the home), `store` (documents in the database) and `hub` (its Models service); `opening` is what an auditor is shown.
"""
