"""Rows about exchanges. Their content never comes here; only who, about what, and how far."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, LargeBinary, Table, Text

from hub.schema import Identifier, Int64, metadata

# `change` numbers the changes of all exchanges in the order of commits: a push stream continues after the last it sent.
exchanges: Final = Table(
    "exchanges",
    metadata,
    Column("exchange_id", Identifier, primary_key=True),
    Column("change", Int64, nullable=False, unique=True),
    Column("state", Identifier, nullable=False),
    Column("reason", Text, nullable=False),
    Column("requester", Identifier, nullable=False),
    Column("requester_node", Identifier, nullable=False),
    Column("provider", Identifier, nullable=False),
    Column("provider_node", Identifier, nullable=False),
    Column("product_id", Identifier, nullable=False),
    Column("mode", Identifier, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("ticket", LargeBinary, nullable=False),
    Column("relay_address", Identifier, nullable=False),
    Column("done", Int64, nullable=False),
    Column("total", Int64, nullable=False),
    Column("unit", Identifier, nullable=False),
    Column("opened_ms", Int64, nullable=False),
    Column("active_ms", Int64, nullable=False),
    Column("expires_ms", Int64, nullable=False),
    Column("ended_ms", Int64, nullable=False),
    Index("ix_exchanges_requester_node_change", "requester_node", "change"),
    Index("ix_exchanges_provider_node_change", "provider_node", "change"),
    Index("ix_exchanges_state_active_ms", "state", "active_ms"),
)
