"""Rows about consents, for lists and checks. The record is the log `consent/<provider>`; these rows only say where to look."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, Table

from hub.schema import Identifier, Int64, metadata

# One row per version of a consent record. state: active, withdrawn, expired, superseded.
consents: Final = Table(
    "consents",
    metadata,
    Column("record_id", Identifier, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("provider", Identifier, nullable=False),
    Column("uscc", Identifier, nullable=False, index=True),
    Column("state", Identifier, nullable=False),
    Column("payload_sm3", Identifier, nullable=False),
    Column("log_index", Int64, nullable=False),
    Column("valid_to_ms", Int64, nullable=False),
    Column("ended_ms", Int64, nullable=False),
    # Index of the entry that ended it, -1 while active.
    Column("end_index", Int64, nullable=False),
    Index("ix_consents_state_valid_to_ms", "state", "valid_to_ms"),
)

# The members that the newest version of a record names as users.
consent_users: Final = Table(
    "consent_users",
    metadata,
    Column("member", Identifier, primary_key=True),
    Column("provider", Identifier, primary_key=True),
    Column("record_id", Identifier, primary_key=True),
    Index("ix_consent_users_record_id", "record_id"),
)

# state: requested, granted, refused.
consent_requests: Final = Table(
    "consent_requests",
    metadata,
    Column("request_id", Identifier, primary_key=True),
    Column("requester", Identifier, nullable=False, index=True),
    Column("provider", Identifier, nullable=False),
    Column("uscc", Identifier, nullable=False, index=True),
    Column("state", Identifier, nullable=False),
    Column("payload_sm3", Identifier, nullable=False),
    Column("log_index", Int64, nullable=False),
    Column("time_ms", Int64, nullable=False),
    # Digest and index of the refusal, while that is the answer.
    Column("refusal_sm3", Identifier, nullable=False),
    Column("refusal_index", Int64, nullable=False),
)

# The newest date stated in each consent log: entries are dated in order, up to a grace (consent.book).
consent_heads: Final = Table(
    "consent_heads",
    metadata,
    Column("provider", Identifier, primary_key=True),
    Column("newest_ms", Int64, nullable=False),
)

# A member's inbox: entries of other members' consent logs that name it, numbered from 1 without gaps.
grantee_entries: Final = Table(
    "grantee_entries",
    metadata,
    Column("member", Identifier, primary_key=True),
    Column("seq", Int64, primary_key=True, autoincrement=False),
    Column("origin", Identifier, nullable=False),
    Column("idx", Int64, nullable=False),
)
