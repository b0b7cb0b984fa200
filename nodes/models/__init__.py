"""The model registry as a node keeps it: which models name this member, what was said about each, and the parts that lie here.

`parts` (files of the home), `store` (verified documents in the database), `registry` (what an operator and the exchanges ask),
`rules` (approving by rule), `opening` (what an auditor is shown), `exchange` (the hub's Models service).
"""
