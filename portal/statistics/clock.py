"""Keeps the statistics up to date: a round of the portal. Closed days and months are never counted again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, func, insert, select

from portal.applications.tables import moves
from portal.events import events
from portal.state import Portal
from portal.statistics import cuts, daily
from portal.statistics import tables as T
from portal.today import today

HOUR_MS: Final = 3600 * 1000
"""How long after its end a day is closed: what was begun before midnight is written by then."""


async def tick(portal: Portal) -> int:
    """Count from the first day that is not closed to today, a day a transaction; how many days were counted."""
    counted = 0
    now_ms = portal.clock()
    day: date | None = await portal.db.read(first_open)
    while day is not None and day <= today(now_ms):
        await _count(portal, day, now_ms)
        counted, day = counted + 1, day + timedelta(days=1)
    return counted


def first_open(connection: Connection) -> date | None:
    """The day to go on from; None where nothing ever happened."""
    closed = connection.execute(select(func.max(T.days.c.day)).where(T.days.c.closed == 1)).scalar()
    if closed is not None:
        return date.fromisoformat(closed) + timedelta(days=1)
    times = (select(func.min(moves.c.time_ms)), select(func.min(events.c.time_ms)))
    first = [time_ms for each in times if (time_ms := connection.execute(each).scalar()) is not None]
    return today(min(first)) if first else None


async def _count(portal: Portal, day: date, now_ms: int) -> None:
    following = day + timedelta(days=1)
    closed = now_ms >= daily.midnight(following) + HOUR_MS
    flows = await portal.db.read(lambda connection: daily.flows(connection, day))
    stocks = await portal.db.read(daily.stocks) if day == today(now_ms) else {}
    cut = closed and following.day == 1
    month = await portal.db.read(lambda c: cuts.of_month(c, day.replace(day=1))) if cut else ()

    def write(connection: Connection) -> None:
        _put(connection, T.daily, day, flows)
        if stocks:
            _put(connection, T.stock, day, stocks)
        if month:
            connection.execute(delete(T.cuts).where(T.cuts.c.month == f"{day:%Y-%m}"))
            connection.execute(insert(T.cuts), [dict(each) for each in month])
        connection.execute(delete(T.days).where(T.days.c.day == day.isoformat()))
        row = {"day": day.isoformat(), "closed": int(closed), "computed_ms": now_ms}
        connection.execute(insert(T.days), row)

    await portal.db.write(write)


def _put(connection: Connection, table: Table, day: date, found: daily.Rows) -> None:
    connection.execute(delete(table).where(table.c.day == day.isoformat()))
    rows: Sequence[Mapping[str, Any]] = [
        {"institution": key[0], "product_code": key[1], "day": day.isoformat(), **values}
        for key, values in found.items()
    ]
    if rows:
        connection.execute(insert(table), [dict(each) for each in rows])
