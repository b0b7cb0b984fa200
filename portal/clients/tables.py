"""Rows about programs. Of a program's key the portal has the public half only."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Table, Text

from portal.schema import Identifier, Int64, metadata

clients: Final = Table(
    "api_clients",
    metadata,
    Column("client_id", Identifier, primary_key=True),
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("public_key", Text, nullable=False),
    Column("added_ms", Int64, nullable=False),
    Column("ended_ms", Int64, nullable=True),
)
