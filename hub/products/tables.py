"""Rows about product submissions; what is published stands in the directory log."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Integer, LargeBinary, Table, Text

from hub.schema import Identifier, Int64, metadata

# state: pending_review, published, rejected, withdrawn. The document is the directory's entry once it is published.
products: Final = Table(
    "products",
    metadata,
    Column("product_id", Identifier, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("provider", Identifier, nullable=False, index=True),
    Column("state", Identifier, nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("payload_sm3", Identifier, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("time_ms", Int64, nullable=False),
)
