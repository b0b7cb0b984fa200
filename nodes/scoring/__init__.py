"""Encrypted scoring between nodes: requests and answers in an exchange of mode score.

who asks      scorer (what programs see), scores (on line), batch (files), panel (one model open with its providers), rows (whom to ask
              about, what the answers are worth), recipe (each kind of model), own (own columns), plan, servable
who answers   provider (the exchange), verdict (decide, limit, charge, record), limits, spent, columns (own data), kit (each kind of
              model), pairs (seeds of masks)
both          messages, link, sides (a node's both sides), rpc (agent.proto)
computing     work (tasks), worker (the process), computer (the process as its agent sees it)
"""
