"""Rows of the back office: institutions and what was proposed about them; narrowed roles and whose they are; hidden menu entries."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text

from portal.schema import Identifier, Int64, metadata

# What is in force. version: how many changes were approved.
institutions: Final = Table(
    "institutions",
    metadata,
    Column("institution", Identifier, primary_key=True),
    Column("name_zh", Text, nullable=False),
    Column("name_en", Text, nullable=False),
    Column("kind", Identifier, nullable=False),
    Column("contact", Text, nullable=False),
    Column("publishes", Integer, nullable=False),
    Column("lends", Integer, nullable=False),
    Column("suspended", Integer, nullable=False),
    Column("version", Int64, nullable=False),
)

# What was entered and decided. state: `portal.states.INSTITUTION`. version: the one that it was made from.
institution_changes: Final = Table(
    "institution_changes",
    metadata,
    Column("change_id", Identifier, primary_key=True),
    Column("institution", Identifier, nullable=False),
    Column("name_zh", Text, nullable=False),
    Column("name_en", Text, nullable=False),
    Column("kind", Identifier, nullable=False),
    Column("contact", Text, nullable=False),
    Column("publishes", Integer, nullable=False),
    Column("lends", Integer, nullable=False),
    Column("suspended", Integer, nullable=False),
    Column("version", Int64, nullable=False),
    Column("state", Identifier, nullable=False),
    Column("entered_by", Identifier, nullable=False),
    Column("entered_ms", Int64, nullable=False),
    Column("reason", Text, nullable=False),
    Column("decided_by", Identifier, nullable=False),
    Column("decision_reason", Text, nullable=False),
    Column("decided_ms", Int64, nullable=True),
    Index("ix_institution_changes_history", "institution", "entered_ms"),
    Index("ix_institution_changes_state", "state", "institution"),
)

# A narrowing of a built-in role. permissions: those that are left, "action object" with commas between them.
narrowed_roles: Final = Table(
    "narrowed_roles",
    metadata,
    Column("role_id", Identifier, primary_key=True),
    Column("title", Text, nullable=False),
    Column("base", Identifier, nullable=False),
    Column("institution", Identifier, nullable=False, index=True),
    Column("permissions", Text, nullable=False),
    Column("version", Int64, nullable=False),
    Column("changed_by", Identifier, nullable=False),
    Column("changed_ms", Int64, nullable=False),
)
role_holders: Final = Table(
    "role_holders",
    metadata,
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), primary_key=True),
    Column("role_id", Identifier, ForeignKey("narrowed_roles.role_id"), nullable=False, index=True),
)

hidden_entries: Final = Table(
    "hidden_entries",
    metadata,
    Column("role", Identifier, primary_key=True),
    Column("path", Identifier, primary_key=True),
)
