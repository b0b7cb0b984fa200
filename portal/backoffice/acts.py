"""The record of acts as a list with filters, and as a file for the audit: with a line that says whose copy it is.

Rules:
1. An export is an act, too: it is recorded with its reason and filters, in the transaction that reads.
2. Its first line, the watermark, names who took it, when, and the export; a copy that turns up elsewhere can be traced.
3. No cell begins like a formula (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, select

from consent.identifiers import CHINA_TIME
from portal.accounts.fields import REASON
from portal.events import events, record
from portal.forms import Field
from portal.parsers import plain
from portal.principal import Principal
from portal.state import Portal
from portal.text import Text
from portal.web.listing import SINCE, UNTIL, Asked, Found, Listing, Order, within_days

MOST: Final = 50_000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
LISTING: Final = Listing(
    path="/events",
    filters=(
        Field(name="actor", label=Text("Who"), parse=plain, longest=60),
        Field(name="action", label=Text("Act"), parse=plain, longest=60),
        Field(name="subject", label=Text("On what"), parse=plain, longest=80),
        SINCE,
        UNTIL,
    ),
    orders=(Order(name="time", title=Text("Time"), column=events.c.time_ms),),
    key=events.c.event_id,
    first="-time",
)
EXPORT: Final = (REASON,)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A file of acts."""

    export_id: str
    text: str


def found(connection: Connection, asked: Asked) -> Found:
    """One page of acts."""
    return LISTING.page(connection, _wanted(asked), asked)


def export(portal: Portal, connection: Connection, who: Principal, asked: Asked, reason: str) -> Exported:
    """The acts that the filters leave, the newest first, at most `MOST`. Only inside `Database.write`."""
    export_id, now_ms = str(uuid.uuid4()), portal.clock()
    newest = _wanted(asked).order_by(events.c.time_ms.desc(), events.c.event_id.desc())
    rows = connection.execute(newest.limit(MOST + 1)).all()
    chosen = ", ".join(f"{name}={value}" for name, value in asked.values.items()) or "all"
    if len(rows) > MOST:
        chosen += f"; the newest {MOST} only"
    record(connection, now_ms, who.login, "exported_events", export_id, f"{reason} ({chosen})")
    watermark = f"# Xinqiao, record of acts: export {export_id} by {who.login} at {_told(now_ms)}; {chosen}"
    return Exported(export_id=export_id, text=_csv(watermark, rows[:MOST]))


def _wanted(asked: Asked) -> Select[Any]:
    wanted = select(events)
    for name in ("actor", "action", "subject"):
        if name in asked.values:
            wanted = wanted.where(events.c[name] == asked.values[name])
    return within_days(wanted, events.c.time_ms, asked.values)


def _csv(watermark: str, rows: Sequence[Row[Any]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow([watermark])
    writer.writerow(["time", "actor", "action", "subject", "reason"])
    for row in rows:
        cells = (_told(row.time_ms), row.actor, row.action, row.subject, row.reason)
        writer.writerow(["'" + cell if cell.startswith(_FORMULA) else cell for cell in cells])
    return file.getvalue()


def _told(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, CHINA_TIME).isoformat(timespec="seconds")
