"""Rows of facts: what cuts statistics is plain, the enterprise's figures are sealed (level 3 of the catalogue)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Integer, LargeBinary, Table

from portal.schema import Identifier, Int64, metadata

# size: the class as computed when the facts were told, empty while unknown. figures_sealed: employees, revenue, assets (JSON).
enterprise_facts: Final = Table(
    "enterprise_facts",
    metadata,
    Column("uscc", Identifier, primary_key=True),
    Column("region", Identifier, nullable=False, index=True),
    Column("industry", Identifier, nullable=False, index=True),
    Column("founded", Identifier, nullable=False),
    Column("size", Identifier, nullable=False, index=True),
    Column("figures_sealed", LargeBinary, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_ms", Int64, nullable=False),
)

# What the enterprise's registration says (level 1, public), as it was when the enterprise was let in; empty where it says nothing.
registered_facts: Final = Table(
    "registered_facts",
    metadata,
    Column("uscc", Identifier, primary_key=True),
    Column("region", Identifier, nullable=False),
    Column("industry", Identifier, nullable=False),
    Column("founded", Identifier, nullable=False),
    Column("checked_ms", Int64, nullable=False),
)
