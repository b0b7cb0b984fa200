"""Experts' seats: what an expert tells of itself, for everybody to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, insert, select, update

from portal import events
from portal.accounts.tables import ACTIVE
from portal.accounts.tables import accounts as account_rows
from portal.errors import PortalError, not_found
from portal.permissions import Role
from portal.principal import Principal
from portal.questions.tables import seats
from portal.state import Portal
from portal.text import Text

FEWEST_RATINGS: Final = 5
"""Below it no average is shown: few ratings tell who gave them."""


@dataclass(frozen=True, kw_only=True)
class Seat:
    """A seat. `fields`: of work; `stars`: the average of ratings, None while there are few; `revision`: 0 for a seat not yet taken."""

    account_id: str
    name: str = ""
    title: str = ""
    fields: str = ""
    hours: str = ""
    taking: bool = True
    stars: float | None = None
    ratings: int = 0
    revision: int = 0


def listed(connection: Connection) -> Sequence[Seat]:
    """The seats whose experts still are, those that take questions first."""
    rows = connection.execute(_current().order_by(seats.c.taking.desc(), seats.c.name, seats.c.account_id))
    return [_told(row) for row in rows]


def get(connection: Connection, account_id: str) -> Seat:
    """One seat. Raises PortalError NOT_FOUND."""
    row = connection.execute(_current().where(seats.c.account_id == account_id)).first()
    if row is None:
        raise not_found()
    return _told(row)


def own(connection: Connection, who: Principal) -> Seat:
    """One's own seat, empty if there is none yet."""
    row = connection.execute(select(seats).where(seats.c.account_id == who.account_id)).first()
    return Seat(account_id=who.account_id) if row is None else _told(row)


def save(portal: Portal, connection: Connection, who: Principal, seat: Seat) -> None:
    """Take or change one's own seat. Only inside `Database.write`. Raises PortalError STALE."""
    before = own(connection, who)
    if seat.revision != before.revision:
        raise PortalError("STALE", Text("Your seat was changed in another window. What you typed is still here."))
    values = {"name": seat.name, "title": seat.title, "fields": seat.fields, "hours": seat.hours}
    changed = values | {"taking": int(seat.taking), "revision": seat.revision + 1}
    if before.revision:
        connection.execute(update(seats).where(seats.c.account_id == who.account_id).values(**changed))
    else:
        connection.execute(insert(seats), changed | {"account_id": who.account_id, "ratings": 0, "stars": 0})
    events.record(connection, portal.clock(), who.login, "seat_saved", who.login)


def rate(connection: Connection, account_id: str, stars: int) -> None:
    """Count a rating. Only inside `Database.write`."""
    more = {"ratings": seats.c.ratings + 1, "stars": seats.c.stars + stars}
    connection.execute(update(seats).where(seats.c.account_id == account_id).values(**more))


def _current() -> Select[Any]:
    joined = seats.join(account_rows, account_rows.c.account_id == seats.c.account_id)
    still = (account_rows.c.state == ACTIVE) & (account_rows.c.role == Role.EXPERT.value)
    return select(*seats.c).select_from(joined).where(still)


def _told(row: Row[Any]) -> Seat:
    return Seat(
        account_id=row.account_id,
        name=row.name,
        title=row.title,
        fields=row.fields,
        hours=row.hours,
        taking=bool(row.taking),
        stars=round(row.stars / row.ratings, 1) if row.ratings >= FEWEST_RATINGS else None,
        ratings=row.ratings if row.ratings >= FEWEST_RATINGS else 0,
        revision=row.revision,
    )
