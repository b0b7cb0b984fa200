"""Rows about accounts. Names, telephone numbers and secrets are sealed (`portal.keys`); logins are codes or user names."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text

from portal.schema import Identifier, Int64, metadata

ACTIVE: Final = "active"

# state: active, disabled. institution: "hub", a member's id, or the enterprise's code. key_pem: a private SM2 key under the account's
# own password; operator: the name under which the hub knows it, for reviewers. totp_step: the newest step that was used.
accounts: Final = Table(
    "accounts",
    metadata,
    Column("account_id", Identifier, primary_key=True),
    Column("login", Identifier, nullable=False, unique=True),
    Column("role", Identifier, nullable=False),
    Column("institution", Identifier, nullable=False),
    Column("state", Identifier, nullable=False),
    Column("name_sealed", LargeBinary, nullable=False),
    Column("phone_sealed", LargeBinary, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("totp_sealed", LargeBinary, nullable=False),
    Column("totp_confirmed", Integer, nullable=False),
    Column("totp_step", Int64, nullable=False),
    Column("key_pem", LargeBinary, nullable=False),
    Column("operator", Identifier, nullable=False),
    Column("created_ms", Int64, nullable=False),
)
# What lists filter by, in each order that they have (`portal.accounts.people`).
for _order in ("login", "created_ms"):
    Index(f"ix_accounts_{_order}_account_id", *(accounts.c[each] for each in (_order, "account_id")))
    for _filter in ("role", "institution", "state"):
        Index(f"ix_accounts_{_filter}_{_order}", *(accounts.c[each] for each in (_filter, _order, "account_id")))

# Of refresh tokens only digests are kept. previous_sm3 is honoured for some seconds after a renewal, for requests under way.
sessions: Final = Table(
    "sessions",
    metadata,
    Column("session_id", Identifier, primary_key=True),
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), nullable=False, index=True),
    Column("refresh_sm3", Identifier, nullable=False),
    Column("previous_sm3", Identifier, nullable=False),
    Column("renewed_ms", Int64, nullable=False),
    Column("expires_ms", Int64, nullable=False),
    Column("second_factor", Integer, nullable=False),
    Column("ended_ms", Int64, nullable=True),
)

# Failures by a digest of what was typed as login, whether or not there is such an account: a lock tells nothing.
attempts: Final = Table(
    "attempts",
    metadata,
    Column("login_digest", Identifier, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("locked_until_ms", Int64, nullable=False),
    Column("time_ms", Int64, nullable=False, index=True),
)

# source: digest of network (/24, /48) and browser family; label: the browser family, for people.
login_sources: Final = Table(
    "login_sources",
    metadata,
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), primary_key=True),
    Column("source", Identifier, primary_key=True),
    Column("label", Text, nullable=False),
    Column("first_ms", Int64, nullable=False),
    Column("last_ms", Int64, nullable=False),
)

notices: Final = Table(
    "notices",
    metadata,
    Column("notice_id", Identifier, primary_key=True),
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), nullable=False, index=True),
    Column("kind", Identifier, nullable=False),
    Column("detail", Text, nullable=False),
    Column("time_ms", Int64, nullable=False),
    Column("read_ms", Int64, nullable=True),
)

invitations: Final = Table(
    "invitations",
    metadata,
    Column("token_sm3", Identifier, primary_key=True),
    Column("login", Identifier, nullable=False),
    Column("role", Identifier, nullable=False),
    Column("institution", Identifier, nullable=False, index=True),
    Column("invited_by", Identifier, nullable=False),
    Column("expires_ms", Int64, nullable=False),
    Column("used_ms", Int64, nullable=True),
)

# How staff set a new password: one that an administrator made, used once.
password_links: Final = Table(
    "password_links",
    metadata,
    Column("token_sm3", Identifier, primary_key=True),
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), nullable=False, index=True),
    Column("expires_ms", Int64, nullable=False),
    Column("used_ms", Int64, nullable=True),
)

# What an account was told of once, so that it is not told again. about: what the notice was about.
left: Final = Table(
    "notices_left",
    metadata,
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), primary_key=True),
    Column("kind", Identifier, primary_key=True),
    Column("about", Identifier, primary_key=True),
)
