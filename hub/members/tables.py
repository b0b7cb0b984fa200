"""Rows about invitations and certificates. Members and nodes themselves live in the directory log, nowhere else."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Table, Text

from hub.schema import Identifier, Int64, metadata

# Of the token only the SM3 digest of its secret: who reads the database cannot enrol.
invitations: Final = Table(
    "invitations",
    metadata,
    Column("secret_sm3", Identifier, primary_key=True),
    Column("member_id", Identifier, nullable=False),
    Column("node_id", Identifier, nullable=False),
    Column("expires_ms", Int64, nullable=False),
    Column("used_ms", Int64),
)

# The certificates that a node may come with: those that were issued to it and have not expired.
certificates: Final = Table(
    "certificates",
    metadata,
    Column("fingerprint", Identifier, primary_key=True),
    Column("node_id", Identifier, nullable=False, index=True),
    Column("serial", Text, nullable=False),
    Column("not_after_ms", Int64, nullable=False),
)
