"""The one way in which an application changes its state: `move`, for whoever may, told to whom it concerns, and written down.

Rules:
1. The state machine (`portal.states.APPLICATION`) says what can follow, and who does it.
2. An enterprise sees its own applications; a bank those that were passed on to it; reviewers all that were submitted. What one may not
   see does not exist for it.
3. A form that was made before the last change is refused (STALE); what it said is kept by the page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, func, insert, select, update

from portal import events
from portal.applications.application import Application, Grant, Move
from portal.applications.tables import applications, grants, moves
from portal.applications.telling import tell
from portal.errors import PortalError, not_found
from portal.facts.facts import Facts
from portal.permissions import Role
from portal.principal import Principal
from portal.state import Portal
from portal.states import APPLICATION, DRAFT, Mover
from portal.text import Text

MOVERS: Final[Mapping[Role, Mover]] = {
    Role.ENTERPRISE: Mover.ENTERPRISE,
    Role.REVIEWER: Mover.PLATFORM,
    Role.STAFF: Mover.BANK,
    Role.APPROVER: Mover.BANK,
}
TABLE: Final = "applications"


@dataclass(frozen=True, kw_only=True)
class By:
    """Who moves. `institution`: an enterprise's code, a member's id, or "hub"."""

    mover: Mover
    login: str
    institution: str
    account_id: str = ""


CLOCK: Final = By(mover=Mover.CLOCK, login="clock", institution="hub")


def by(who: Principal) -> By:
    """Whoever calls. Raises PortalError NOT_FOUND for a role that has nothing to do with applications."""
    mover = MOVERS.get(who.role)
    if mover is None:
        raise not_found()
    return By(mover=mover, login=who.login, institution=who.institution, account_id=who.account_id)


def move(
    portal: Portal,
    connection: Connection,
    application_no: str,
    act: str,
    mover: By,
    reason: str = "",
    *,
    version: int | None = None,
    **values: object,
) -> str:
    """Move an application, with what changes of its row besides; returns its new state. Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, PERMISSION_DENIED, STALE.
    """
    row, now_ms = visible(connection, application_no, mover, version), portal.clock()
    following = APPLICATION.after(row.state, act)
    if APPLICATION.movers[act] is not mover.mover:
        raise PortalError("PERMISSION_DENIED", Text("This is not yours to do."))
    flight = int(following not in APPLICATION.ends)
    changed = {"state": following, "in_flight": flight, "moved_ms": now_ms} | values
    change(connection, row, **changed)
    own = moves.c.application_no == application_no
    number = connection.execute(select(func.count()).select_from(moves).where(own)).scalar_one()
    connection.execute(
        insert(moves),
        {
            "application_no": application_no,
            "move_no": number + 1,
            "act": act,
            "state": following,
            "mover": mover.mover.value,
            "actor": mover.login,
            "institution": mover.institution,
            "reason": reason,
            "time_ms": now_ms,
        },
    )
    events.record(connection, now_ms, mover.login, f"application_{act}", application_no, reason)
    tell(connection, visible(connection, application_no, CLOCK), act, mover.account_id, now_ms)
    return following


def change(connection: Connection, row: Row[Any], **values: object) -> None:
    """Change a row as it was read; another change meanwhile is STALE. Only inside `Database.write`."""
    own = (applications.c.application_no == row.application_no) & (applications.c.version == row.version)
    done = connection.execute(update(applications).where(own).values(version=row.version + 1, **values))
    if done.rowcount != 1:
        raise stale()


def visible(connection: Connection, application_no: str, mover: By, version: int | None = None) -> Row[Any]:
    """The row, for whoever may see it (rule 2), as it was when `version` was read. Raises PortalError NOT_FOUND, STALE."""
    own = applications.c.application_no == application_no
    row = connection.execute(select(applications).where(own)).first()
    if row is None or not _sees(row, mover):
        raise not_found()
    if version is not None and version != row.version:
        raise stale()
    return row


def get(portal: Portal, connection: Connection, application_no: str, mover: By) -> Application:
    """One application. Raises PortalError NOT_FOUND."""
    return shown(portal, visible(connection, application_no, mover))


def timeline(connection: Connection, application_no: str, reader: Mover) -> Sequence[Move]:
    """What happened to it, the first move first. Each side reads the names of its own people only, of others the institution."""
    own = select(moves).where(moves.c.application_no == application_no).order_by(moves.c.move_no)
    return [
        Move(
            act=row.act,
            state=row.state,
            mover=row.mover,
            actor=row.actor if row.mover == reader.value else row.institution,
            reason="" if row.act in PLATFORM_ONLY and reader is not Mover.PLATFORM else row.reason,
            time_ms=row.time_ms,
        )
        for row in connection.execute(own)
    ]


PLATFORM_ONLY: Final = frozenset({"endorse", "object", "look_again"})
"""Acts whose reasons reviewers write for each other."""


def grant_of(connection: Connection, application_no: str) -> Grant | None:
    """What was granted, None if nothing was."""
    joined = select(
        grants, *(applications.c[name] for name in ("institution", "uscc", "product_code", "guarantee"))
    ).join_from(grants, applications)
    row = connection.execute(joined.where(grants.c.application_no == application_no)).first()
    if row is None:
        return None
    values = {name: getattr(row, name) for name in Grant.__dataclass_fields__}
    rates = {name: Decimal(values[name]) for name in ("annual_rate", "penalty_rate")}
    return Grant(**(values | rates))


def shown(portal: Portal, row: Row[Any]) -> Application:
    """A row as others see it."""
    told = portal.keys.open(TABLE, "told", row.application_no, bytes(row.told_sealed))
    values = {name: getattr(row, name) for name in Application.__dataclass_fields__ if name != "told"}
    return Application(told=msgspec.json.decode(told, type=Facts), **values)


def seal(portal: Portal, application_no: str, facts: Facts) -> Mapping[str, object]:
    """The columns that facts become: sealed whole, and what lists filter by."""
    return {
        "told_sealed": portal.keys.seal(TABLE, "told", application_no, msgspec.json.encode(facts).decode()),
        "district": facts.region,
        "industry": facts.industry[:1],
        "size": facts.size.value if facts.size is not None else "",
    }


def stale() -> PortalError:
    """Somebody changed it after the form was made."""
    text = Text("This was changed meanwhile. What you typed is still here: look at what is new, then send it again.")
    return PortalError("STALE", text, faults={"version": text})


def _sees(row: Row[Any], mover: By) -> bool:
    match mover.mover:
        case Mover.ENTERPRISE:
            return bool(row.uscc == mover.institution)
        case Mover.PLATFORM:
            return bool(row.state != DRAFT and row.submitted_ms)
        case Mover.BANK:
            return bool(row.institution == mover.institution and row.pushed_ms)
        case Mover.CLOCK:
            return True
