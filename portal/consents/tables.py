"""What each enterprise saw of the hub's logs, and its withdrawals while nodes confirm them."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, LargeBinary, Table, Text

from portal.schema import Identifier, Int64, metadata

# So that a hub that later shows something else contradicts itself.
seen: Final = Table(
    "seen",
    metadata,
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), primary_key=True),
    Column("document", LargeBinary, nullable=False),
)

# document: the withdrawal as the enterprise signed it; sent again, it is answered with the newest confirmations. author: the public key
# that signed it, hex. confirmed: JSON, from node to the milliseconds after time_ms within which its cosignature was there.
withdrawals: Final = Table(
    "withdrawals",
    metadata,
    Column("record_id", Identifier, primary_key=True),
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), nullable=False, index=True),
    Column("provider", Identifier, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("author", Text, nullable=False),
    Column("log_index", Int64, nullable=False),
    Column("confirmed", Text, nullable=False),
    Column("time_ms", Int64, nullable=False),
)

# Consents in force, as the enterprise's session last saw or signed them: their end is told in time.
watched: Final = Table(
    "watched_consents",
    metadata,
    Column("record_id", Identifier, primary_key=True),
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), nullable=False, index=True),
    Column("valid_to_ms", Int64, nullable=False, index=True),
)
