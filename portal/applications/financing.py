"""Financing requests: an enterprise asks all banks at once, without a product; one bank takes it, and it goes on as an application.

Rules:
1. Banks see how much, for how long, for what, where and of which industry and size; who asks, only the bank that has taken it.
2. A request has no words of its own, so that nothing in it tells who asks.
3. Exactly one bank takes it, whoever comes first. An enterprise has one open at a time; one that nobody took lapses.
4. The bank that takes it has accepted it. It asks for consents from its own node; nothing is investigated before they stand.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from portal import events
from portal.accounts.notices import notify
from portal.applications.moving import By, by, move
from portal.applications.service import new_number
from portal.applications.tables import applications, demands
from portal.errors import PortalError, not_found
from portal.facts import service as facts
from portal.principal import Principal
from portal.registration import service as registration
from portal.state import Portal
from portal.states import APPLICATION, FINANCING, OPEN, Mover
from portal.text import Text

OPEN_MS: Final = 30 * 24 * 3600 * 1000
MOST_SHOWN: Final = 50
BATCH: Final = 200
_TABLE: Final = "financing_demands"


@dataclass(frozen=True, kw_only=True)
class Demand:
    """A request as its own enterprise sees it. `application_no`: what it became when `taken_by` took it, else empty."""

    demand_id: str
    amount_fen: int
    term: int
    term_unit: str
    purpose: str
    guarantee: str
    state: str
    taken_by: str
    application_no: str
    opened_ms: int
    lapses_ms: int


def state_demand(portal: Portal, connection: Connection, who: Principal, values: Mapping[str, Any]) -> str:
    """Ask all banks: amount_fen, term, term_unit, purpose, guarantee. Only inside `Database.write`.

    Raises PortalError WRONG_STATE if facts are missing, ALREADY_EXISTS if one is open.
    """
    told, now_ms, demand_id = facts.of(portal, connection, who.institution), portal.clock(), str(uuid.uuid4())
    if not told.complete:
        raise PortalError("WRONG_STATE", Text("Complete the facts of your enterprise first: banks look by them."))
    open_now = (demands.c.uscc == who.institution) & (demands.c.state == OPEN)
    if connection.execute(select(demands.c.demand_id).where(open_now)).first() is not None:
        raise PortalError(
            "ALREADY_EXISTS", Text("You have an open request already. Withdraw it before you state another one.")
        )
    row = {
        "demand_id": demand_id,
        "account_id": who.account_id,
        "uscc": who.institution,
        "ent_name": registration.of_account(portal, connection, who.account_id).ent_name,
        "told_sealed": portal.keys.seal(_TABLE, "told", demand_id, msgspec.json.encode(told).decode()),
        "district": told.region,
        "industry": told.industry[:1],
        "size": told.size.value if told.size is not None else "",
        "state": FINANCING.initial,
        "taken_by": "",
        "application_no": "",
        "opened_ms": now_ms,
        "lapses_ms": now_ms + OPEN_MS,
    }
    connection.execute(insert(demands), row | dict(values))
    events.record(connection, now_ms, who.login, "financing_opened", demand_id)
    return demand_id


def own(connection: Connection, who: Principal) -> Sequence[Demand]:
    """One's own requests, the newest first."""
    mine = select(demands).where(demands.c.uscc == who.institution).order_by(demands.c.opened_ms.desc())
    names = Demand.__dataclass_fields__
    return [
        Demand(**{name: getattr(row, name) for name in names}) for row in connection.execute(mine.limit(MOST_SHOWN))
    ]


def withdraw(portal: Portal, connection: Connection, who: Principal, demand_id: str) -> None:
    """Take one's own request back. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE."""
    row = _row(connection, demand_id)
    if row.uscc != who.institution:
        raise not_found()
    _move(portal, connection, row, "withdraw", by(who))


def take(portal: Portal, connection: Connection, who: Principal, demand_id: str) -> str:
    """Take a request for one's bank (rules 3, 4); the number of the application. Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE if another bank was first.
    """
    row, mover, now_ms = _row(connection, demand_id), by(who), portal.clock()
    if mover.mover is not Mover.BANK:
        raise not_found()
    application_no = new_number(now_ms)
    _move(portal, connection, row, "take", mover, taken_by=who.institution, application_no=application_no)
    told = portal.keys.open(_TABLE, "told", demand_id, bytes(row.told_sealed))
    copied = ("account_id", "uscc", "ent_name", "amount_fen", "term", "term_unit", "purpose", "guarantee")
    begun = {name: getattr(row, name) for name in (*copied, "district", "industry", "size")}
    fresh = {
        "application_no": application_no,
        "institution": who.institution,
        "product_code": "",
        "product_name": "",
        "product_version": 0,
        "demand_id": demand_id,
        "told_sealed": portal.keys.seal("applications", "told", application_no, told),
        "state": APPLICATION.initial,
        "in_flight": 1,
        "version": 1,
        "reviewer": "",
        "investigator": "",
        "refusal": "",
        "created_ms": row.opened_ms,
        "submitted_ms": row.opened_ms,
        "pushed_ms": now_ms,
        "due_ms": 0,
        "moved_ms": now_ms,
    }
    connection.execute(insert(applications), begun | fresh)
    move(portal, connection, application_no, "take", mover)
    return application_no


def lapse(portal: Portal, connection: Connection) -> int:
    """End at most `BATCH` requests that nobody took in time; how many. Only inside `Database.write`."""
    over = (demands.c.state == OPEN) & (demands.c.lapses_ms <= portal.clock())
    rows = connection.execute(select(demands).where(over).order_by(demands.c.lapses_ms).limit(BATCH)).all()
    for row in rows:
        connection.execute(
            update(demands)
            .where(demands.c.demand_id == row.demand_id)
            .values(state=FINANCING.after(row.state, "lapse"))
        )
        notify(connection, row.account_id, "financing_lapsed", "", portal.clock())
    return len(rows)


def _move(portal: Portal, connection: Connection, row: Row[Any], act: str, mover: By, **values: object) -> None:
    if row.state != OPEN:
        raise PortalError(
            "WRONG_STATE", Text("This request is not open any more: another bank has taken it, or it was withdrawn.")
        )
    state = FINANCING.after(row.state, act)
    mine = (demands.c.demand_id == row.demand_id) & (demands.c.state == row.state)
    connection.execute(update(demands).where(mine).values(state=state, **values))
    events.record(connection, portal.clock(), mover.login, f"financing_{act}", row.demand_id)


def _row(connection: Connection, demand_id: str) -> Row[Any]:
    row = connection.execute(select(demands).where(demands.c.demand_id == demand_id)).first()
    if row is None:
        raise not_found()
    return row
