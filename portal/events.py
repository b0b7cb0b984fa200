"""A record beside every act: who did what to what, and why. Nothing changes or deletes it; the audit administrator reads it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Column, Connection, Table, Text, insert, select

from portal.schema import Identifier, Int64, metadata

MOST: Final = 200

events: Final = Table(
    "events",
    metadata,
    Column("event_id", Identifier, primary_key=True),
    Column("time_ms", Int64, nullable=False, index=True),
    Column("actor", Identifier, nullable=False, index=True),
    Column("action", Identifier, nullable=False),
    Column("subject", Identifier, nullable=False, index=True),
    Column("reason", Text, nullable=False),
)


@dataclass(frozen=True, kw_only=True)
class Event:
    """One act. `actor`: a login, or "command"; `subject`: what was acted on."""

    time_ms: int
    actor: str
    action: str
    subject: str
    reason: str


def record(connection: Connection, now_ms: int, actor: str, action: str, subject: str, reason: str = "") -> None:
    """Write an act down, in the transaction that does it."""
    row = {"event_id": str(uuid.uuid4()), "time_ms": now_ms, "actor": actor, "action": action, "subject": subject}
    connection.execute(insert(events), row | {"reason": reason})


def newest(connection: Connection) -> Sequence[Event]:
    """The newest acts, the newest first."""
    rows = connection.execute(select(events).order_by(events.c.time_ms.desc(), events.c.event_id).limit(MOST))
    return [
        Event(time_ms=row.time_ms, actor=row.actor, action=row.action, subject=row.subject, reason=row.reason)
        for row in rows
    ]
