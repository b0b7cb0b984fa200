"""What time alone does to credit: repayments not made in time, grants and contracts that nobody uses. A round of the portal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, exists, select

from portal.applications.moving import CLOCK, move
from portal.applications.tables import applications
from portal.credit.keeping import enter, figures, keep, tell_bank, tell_firm
from portal.credit.line import FIRST_DAYS, fall_overdue
from portal.credit.tables import lines
from portal.permissions import Role
from portal.state import Portal
from portal.states import GRANTED
from portal.today import today

BATCH: Final = 200
DAY_MS: Final = 24 * 3600 * 1000


async def tick(portal: Portal) -> int:
    """Do whatever is due, a batch a transaction; how many lines and grants were moved."""
    acts: Sequence[Callable[[Portal, Connection], int]] = (fall_due, end_contracts, end_grants)
    moved = 0
    for act in acts:
        while done := await portal.db.write(lambda connection, act=act: act(portal, connection)):  # type: ignore[misc]
            moved += done
    return moved


def fall_due(portal: Portal, connection: Connection) -> int:
    """Mark at most `BATCH` lines overdue whose repayment was due before today; how many. Only inside `Database.write`."""
    now_ms = portal.clock()
    late = lines.c.state.in_(("drawn", "repaying")) & (lines.c.due_on > "") & (lines.c.due_on < _day(now_ms))
    rows = connection.execute(select(lines).where(late & (lines.c.balance_fen > 0)).limit(BATCH)).all()
    for row in rows:
        line = fall_overdue(figures(row), min(row.due_fen, row.balance_fen))
        state = move(portal, connection, row.application_no, "fall_overdue", CLOCK)
        keep(connection, row, now_ms, line, state=state, overdue_since=row.due_on, due_on="", due_fen=0)
        enter(connection, row.application_no, "overdue", CLOCK, now_ms, amount_fen=line.overdue_fen, day=row.due_on)
        tell_firm(connection, row, "credit_overdue", now_ms)
        tell_bank(connection, row, Role.STAFF, "credit_fell_overdue", CLOCK, now_ms)
    return len(rows)


def end_contracts(portal: Portal, connection: Connection) -> int:
    """End at most `BATCH` contracts that are over and of which nothing was drawn; how many. Only inside `Database.write`."""
    now_ms = portal.clock()
    over = (lines.c.state == "contracted") & (lines.c.ends_on < _day(now_ms))
    rows = connection.execute(select(lines).where(over).limit(BATCH)).all()
    for row in rows:
        keep(connection, row, now_ms, state=move(portal, connection, row.application_no, "expire", CLOCK))
        enter(connection, row.application_no, "expire", CLOCK, now_ms)
        tell_firm(connection, row, "credit_ended", now_ms)
    return len(rows)


def end_grants(portal: Portal, connection: Connection) -> int:
    """End at most `BATCH` grants that are not under contract after `FIRST_DAYS`; how many. Only inside `Database.write`.

    One whose contract waits to be confirmed stays.
    """
    now_ms = portal.clock()
    waits = exists().where((lines.c.application_no == applications.c.application_no) & (lines.c.pending != ""))
    old = (applications.c.state == GRANTED) & (applications.c.moved_ms < now_ms - FIRST_DAYS * DAY_MS)
    rows: Sequence[Row[Any]] = connection.execute(select(applications).where(old & ~waits).limit(BATCH)).all()
    for row in rows:
        state = move(portal, connection, row.application_no, "expire", CLOCK)
        line = connection.execute(select(lines).where(lines.c.application_no == row.application_no)).first()
        if line is not None:
            keep(connection, line, now_ms, state=state)
        tell_firm(connection, row, "credit_ended", now_ms)
    return len(rows)


def _day(now_ms: int) -> str:
    return today(now_ms).isoformat()
