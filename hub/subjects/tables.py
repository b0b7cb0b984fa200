"""Rows about enterprises' registrations and the nonces of their signed calls; approved keys are in the directory."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, LargeBinary, Table, Text

from hub.schema import Identifier, Int64, metadata

registrations: Final = Table(
    "registrations",
    metadata,
    Column("uscc", Identifier, primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("key_id", Identifier, nullable=False),
    Column("state", Identifier, nullable=False),
    Column("reason", Text, nullable=False),
    Column("directory_index", Int64),
    Column("time_ms", Int64, nullable=False),
)

# Kept for as long as the time of a signed call is accepted, then the time alone refuses it.
access_nonces: Final = Table(
    "access_nonces",
    metadata,
    Column("uscc", Identifier, primary_key=True),
    Column("nonce", Identifier, primary_key=True),
    Column("expires_ms", Int64, nullable=False, index=True),
)
