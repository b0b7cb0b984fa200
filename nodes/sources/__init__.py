"""A node's own data: declared in `sources.toml`, checked against the catalogue, kept as immutable snapshots.

`config` what is declared · `readers`, `servers` where rows come from · `check` what a row must be · `merge` what several sources say
together · `load` one load, start to end, `worker` in a process of its own · `facts`, `snapshot`, `snapshot_set` what queries and
transfers read · `report` what was rejected and why.
"""
