"""Rows about registrations. Who is to be reached stands in the account, sealed; the signed document has no personal data."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from portal.schema import Identifier, Int64, metadata

# What was answered so far by a visitor who has no account yet, sealed, by a digest of the visitor's cookie.
drafts: Final = Table(
    "registration_drafts",
    metadata,
    Column("visitor_digest", Identifier, primary_key=True),
    Column("answers_sealed", LargeBinary, nullable=False),
    Column("time_ms", Int64, nullable=False, index=True),
)

# state: `portal.states.REGISTRATION`. check_mismatch: the code's check character is wrong, and the enterprise says it was issued so.
registrations: Final = Table(
    "registrations",
    metadata,
    Column("registration_id", Identifier, primary_key=True),
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), nullable=False, index=True),
    Column("uscc", Identifier, nullable=False),
    Column("ent_name", Text, nullable=False),
    Column("check_mismatch", Integer, nullable=False),
    Column("state", Identifier, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("first_reviewer", Identifier, nullable=False),
    Column("first_reason", Text, nullable=False),
    Column("second_reviewer", Identifier, nullable=False),
    Column("second_reason", Text, nullable=False),
    Column("directory_index", Int64, nullable=True),
    Column("submitted_ms", Int64, nullable=False),
    Column("decided_ms", Int64, nullable=True),
    # What the queue filters by, in its order; the name is looked for within the index.
    Index("ix_registrations_queue", "state", "submitted_ms", "registration_id", "ent_name"),
    Index("ix_registrations_all", "submitted_ms", "registration_id", "ent_name"),
    Index("ix_registrations_uscc", "uscc", "submitted_ms", "registration_id"),
)

# state: waiting, registered or absent (nothing is registered under the code). failure: the code of why the last try had no answer.
# due_ms: when it is tried next; the rest is what the provider's node answered, in which exchange.
checks: Final = Table(
    "registration_checks",
    metadata,
    Column("registration_id", Identifier, ForeignKey("registrations.registration_id"), primary_key=True),
    Column("state", Identifier, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_ms", Int64, nullable=False),
    Column("failure", Identifier, nullable=False),
    Column("ent_name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("region", Identifier, nullable=False),
    Column("industry", Identifier, nullable=False),
    Column("founded", Identifier, nullable=False),
    Column("provider", Identifier, nullable=False),
    Column("exchange_id", Identifier, nullable=False),
    Column("checked_ms", Int64, nullable=True),
    Index("ix_registration_checks_state_due_ms", "state", "due_ms"),
)
