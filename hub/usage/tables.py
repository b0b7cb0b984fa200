"""Rows about recorded uses. The receipts themselves are entries of the log "usage"; these rows find them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, LargeBinary, Table

from hub.schema import Identifier, Int64, metadata

receipts: Final = Table(
    "receipts",
    metadata,
    Column("receipt_id", Identifier, primary_key=True),
    Column("idx", Int64, nullable=False, unique=True),
    Column("exchange_id", Identifier, nullable=False),
    Column("request_no", Int64, nullable=False),
    Column("side", Identifier, nullable=False),
    Column("node_id", Identifier, nullable=False),
    # Empty for a batch.
    Column("subject", Identifier, nullable=False),
    # A batch commits to a root over this many subjects; this many have been named so far. Otherwise empty and 0.
    Column("batch_root", Identifier, nullable=False),
    Column("batch_size", Int64, nullable=False),
    Column("batch_received", Int64, nullable=False),
    Column("received_ms", Int64, nullable=False),
    Index("ix_receipts_exchange_id_request_no_side", "exchange_id", "request_no", "side"),
    Index("ix_receipts_subject_idx", "subject", "idx"),
    Index("ix_receipts_received_ms", "received_ms"),
)

# The subjects of batches. Their Merkle tiles stand beside those of the logs, under the origin "batch/<receipt id>".
batch_subjects: Final = Table(
    "batch_subjects",
    metadata,
    Column("receipt_id", Identifier, primary_key=True),
    Column("position", Int64, primary_key=True, autoincrement=False),
    Column("uscc", Identifier, nullable=False),
    Column("receipt_idx", Int64, nullable=False),
    Column("use", LargeBinary, nullable=False),
    Index("ix_batch_subjects_uscc_receipt_idx", "uscc", "receipt_idx"),
)

# Deletion attestations: entries of the log "usage" too.
deletions: Final = Table(
    "deletions",
    metadata,
    Column("payload_sm3", Identifier, primary_key=True),
    Column("idx", Int64, nullable=False),
    Column("exchange_id", Identifier, nullable=False, index=True),
    Column("node_id", Identifier, nullable=False),
    Column("time_ms", Int64, nullable=False),
)
