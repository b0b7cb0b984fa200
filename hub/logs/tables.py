"""Rows of the append-only logs: entries, tiles of hashes, sizes, checkpoints and the witnesses' cosignatures."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Integer, LargeBinary, Table

from hub.schema import Identifier, Int64, metadata

# One row per log. Written in the same transaction as the entries and tiles: what lies beyond `size` does not exist.
logs: Final = Table(
    "logs",
    metadata,
    Column("origin", Identifier, primary_key=True),
    Column("size", Int64, nullable=False),
)

log_entries: Final = Table(
    "log_entries",
    metadata,
    Column("origin", Identifier, primary_key=True),
    Column("idx", Int64, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
)

# trust.tiles: 256 hashes a row, level 0 are leaf hashes.
log_tiles: Final = Table(
    "log_tiles",
    metadata,
    Column("origin", Identifier, primary_key=True),
    Column("level", Integer, primary_key=True, autoincrement=False),
    Column("idx", Int64, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),
)

checkpoints: Final = Table(
    "checkpoints",
    metadata,
    Column("origin", Identifier, primary_key=True),
    Column("time_ms", Int64, primary_key=True, autoincrement=False),
    Column("size", Int64, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
)

# A cosignature is over one checkpoint's very bytes, so its time is part of the key.
cosignatures: Final = Table(
    "cosignatures",
    metadata,
    Column("origin", Identifier, primary_key=True),
    Column("time_ms", Int64, primary_key=True, autoincrement=False),
    Column("size", Int64, primary_key=True, autoincrement=False),
    Column("node_id", Identifier, primary_key=True),
    Column("key_id", Identifier, nullable=False),
    Column("suite", Identifier, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)
