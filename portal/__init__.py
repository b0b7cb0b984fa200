"""The portal: pages and a JSON API for enterprises, members' staff and the hub's people, over the hub's services.

One folder a subject (`accounts`, `registration`, …) with the same file names in each: `service` (what it does, over one connection),
`tables` (rows), `pages` and `api` (adapters), `fields` (its forms). `web` is what all pages share, `permissions` who may call what,
`states` how things may change. The hub is reached through `hub_link` only: nothing here knows the wire.
"""
