"""Models in service: a local HTTP and gRPC endpoint beside the bank's agent, which alone talks to other members.

    http, rpc        the two doors: decode, call, encode        wire       what passes through the first one, as OpenAPI has it
    gate             who may come in, and how much they bring   problems   how a failure is told at either door
    scoring          what happens to a call, in which order     calls      a call and its answer
    agent            the agent on its socket                    models     what it serves, and which features a call needs
    keys             API keys                                   answers    idempotency
    roles, shadow    champion and challenger                    records    what is kept of each score, and outcomes
    ledger           what is written with an answer             watch      the monitor's figures, kept a while
    monitor/         figures, page and plots                    prometheus, meter  metrics
    reference_page   the API's own page                         server     all of it in one process

State is `service.db` in the node's home (schema.py): no unified social credit code stands in it but in the answers that are kept 24 h
for repeated calls; no feature value at all.
"""
