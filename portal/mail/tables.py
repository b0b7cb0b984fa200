"""Rows about e-mail: where an account wants it, what it does not want, and what waits to be sent."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table

from portal.schema import Identifier, Int64, metadata

# asked_ms: when the address was given; part of the link that confirms it. confirmed_ms: None until that link was opened.
addresses: Final = Table(
    "mail_addresses",
    metadata,
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), primary_key=True),
    Column("address_sealed", LargeBinary, nullable=False),
    Column("language", Identifier, nullable=False),
    Column("asked_ms", Int64, nullable=False),
    Column("confirmed_ms", Int64, nullable=True),
)

# A topic without a row is wanted in both places.
switches: Final = Table(
    "notice_switches",
    metadata,
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), primary_key=True),
    Column("topic", Identifier, primary_key=True),
    Column("inbox", Integer, nullable=False),
    Column("mail", Integer, nullable=False),
)

# about: a topic, or confirm_address. state: waiting, sent, failed. due_ms: not before.
outbox: Final = Table(
    "mails",
    metadata,
    Column("mail_id", Identifier, primary_key=True),
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), nullable=False, index=True),
    Column("about", Identifier, nullable=False),
    Column("state", Identifier, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("due_ms", Int64, nullable=False),
    Column("made_ms", Int64, nullable=False),
    Index("ix_mails_state_due_ms", "state", "due_ms"),
)
