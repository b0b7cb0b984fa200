"""A record beside every act: who did what to what, and why. Nothing changes or deletes it; the audit administrator reads it."""

from __future__ import annotations

import uuid
from typing import Final

from sqlalchemy import Column, Connection, Index, Table, Text, insert

from portal.schema import Identifier, Int64, metadata

events: Final = Table(
    "events",
    metadata,
    Column("event_id", Identifier, primary_key=True),
    Column("time_ms", Int64, nullable=False),
    Column("actor", Identifier, nullable=False),
    Column("action", Identifier, nullable=False),
    Column("subject", Identifier, nullable=False),
    Column("reason", Text, nullable=False),
    Index("ix_events_time", "time_ms", "event_id"),
)
# What lists filter by, in the order that they have (`portal.backoffice.acts`).
for _filter in ("actor", "action", "subject"):
    Index(f"ix_events_{_filter}_time", *(events.c[each] for each in (_filter, "time_ms", "event_id")))


def record(connection: Connection, now_ms: int, actor: str, action: str, subject: str, reason: str = "") -> None:
    """Write an act down, in the transaction that does it."""
    row = {"event_id": str(uuid.uuid4()), "time_ms": now_ms, "actor": actor, "action": action, "subject": subject}
    connection.execute(insert(events), row | {"reason": reason})
