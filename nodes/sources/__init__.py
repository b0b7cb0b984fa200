"""A node's own data: declared in `sources.toml`, checked against the catalogue, kept as immutable snapshots.

`config` what is declared · `readers` where rows come from · `check` what a row must be · `load` one load, start to end ·
`snapshot`, `snapshot_set` what queries and transfers read · `report` what was rejected and why.
"""
