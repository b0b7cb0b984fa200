"""What each enterprise saw of the hub's logs, so that a hub that later shows something else contradicts itself."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, LargeBinary, Table

from portal.schema import Identifier, metadata

seen: Final = Table(
    "seen",
    metadata,
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), primary_key=True),
    Column("document", LargeBinary, nullable=False),
)
