"""How a line is read and changed: whose it is, that it is as it was read, what was entered, who is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from portal import events
from portal.accounts.notices import holders, notify
from portal.applications.moving import By, stale
from portal.credit.line import Line
from portal.credit.tables import entries, lines
from portal.errors import not_found
from portal.permissions import Role

RUNNING: Final = ("drawn", "repaying", "overdue")
"""The states in which something is or may be outstanding."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of a credit's history. `entered_by`: a login, "clock", or "" to whom it is not told."""

    kind: str
    amount_fen: int
    day: str
    detail: str
    entered_by: str
    time_ms: int


def line_of(
    connection: Connection, application_no: str, institution: str | None, version: int | None = None
) -> Row[Any]:
    """A line within an institution, None for all, as it was when `version` was read. Raises PortalError NOT_FOUND, STALE."""
    wanted = select(lines).where(lines.c.application_no == application_no)
    if institution is not None:
        wanted = wanted.where(lines.c.institution == institution)
    row = connection.execute(wanted).first()
    if row is None:
        raise not_found()
    if version is not None and version != row.version:
        raise stale()
    return row


def figures(row: Row[Any]) -> Line:
    """A row's figures."""
    return Line(
        limit_fen=row.limit_fen,
        drawn_fen=row.drawn_fen,
        repaid_fen=row.repaid_fen,
        overdue_fen=row.overdue_fen,
        revolving=bool(row.revolving),
    )


def keep(connection: Connection, row: Row[Any], now_ms: int, line: Line | None = None, **values: object) -> None:
    """Change a row as it was read, with its new figures; another change meanwhile is STALE. Only inside `Database.write`."""
    if line is not None:
        names = ("drawn_fen", "repaid_fen", "balance_fen", "overdue_fen")
        values |= {name: getattr(line, name) for name in names}
    own = (lines.c.application_no == row.application_no) & (lines.c.version == row.version)
    changed = values | {"version": row.version + 1, "reported_ms": now_ms}
    if connection.execute(update(lines).where(own).values(changed)).rowcount != 1:
        raise stale()


def enter(
    connection: Connection,
    application_no: str,
    kind: str,
    mover: By,
    now_ms: int,
    *,
    amount_fen: int = 0,
    day: str = "",
    detail: str = "",
) -> None:
    """Write down what happened to a line, and the record of the act. Only inside `Database.write`."""
    own = entries.c.application_no == application_no
    number = connection.execute(select(func.count()).select_from(entries).where(own)).scalar_one()
    row = {"application_no": application_no, "entry_no": number + 1, "kind": kind, "entered_by": mover.login}
    told = {"amount_fen": amount_fen, "day": day, "detail": detail, "time_ms": now_ms}
    connection.execute(insert(entries), row | told)
    events.record(connection, now_ms, mover.login, f"credit_{kind}", application_no, detail)


def entries_of(connection: Connection, application_no: str, *, names: bool = True) -> Sequence[Entry]:
    """What happened to a line, the newest first; the enterprise does not read the bank's people and notes."""
    own = select(entries).where(entries.c.application_no == application_no).order_by(entries.c.entry_no.desc())
    return [
        Entry(
            kind=row.kind,
            amount_fen=row.amount_fen,
            day=row.day,
            detail=row.detail if names else "",
            entered_by=row.entered_by if names else "",
            time_ms=row.time_ms,
        )
        for row in connection.execute(own)
    ]


def tell_firm(connection: Connection, row: Row[Any], kind: str, now_ms: int) -> None:
    """Leave a notice with the enterprise."""
    notify(connection, row.account_id, kind, row.application_no, now_ms)


def tell_bank(connection: Connection, row: Row[Any], role: Role, kind: str, mover: By, now_ms: int) -> None:
    """Leave a notice with everybody of a role at the bank, but not with who acts."""
    for account_id in holders(connection, role, row.institution):
        if account_id != mover.account_id:
            notify(connection, account_id, kind, row.application_no, now_ms)
