"""Institutions: what the portal knows of the hub's members, entered by the system and decided by the security administrator.

Rules:
1. Who enters does not decide; one change at a time waits for an institution. Each has its reason, and stays in the history.
2. A change is made from the version that was read: of two that were typed at once, the later one is refused.
3. Whether an institution is a member is the hub's matter; what stands here takes effect in the portal alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from consent.directory import Member
from portal import events
from portal.accounts.notices import notify
from portal.accounts.tables import ACTIVE, accounts
from portal.backoffice.tables import institution_changes, institutions
from portal.errors import PortalError, not_found
from portal.permissions import SECOND_FACTOR, Role
from portal.principal import Principal
from portal.state import Portal
from portal.states import APPROVED, INSTITUTION
from portal.text import Text

HUB: Final = "hub"
COLUMNS: Final = ("name_zh", "name_en", "kind", "contact", "publishes", "lends", "suspended")
STALE: Final = Text(
    "Somebody changed this while you typed. What you typed is still here; compare it and send it again."
)
_MOST: Final = 50


@dataclass(frozen=True, kw_only=True)
class Institution:
    """What is in force. `version`: 0 where nothing was decided yet; `waits`: a change waits for its decision."""

    institution: str
    name_zh: str
    name_en: str
    kind: str = ""
    contact: str = ""
    publishes: bool = True
    lends: bool = True
    suspended: bool = False
    version: int = 0
    waits: bool = False


@dataclass(frozen=True, kw_only=True)
class Change:
    """What was entered about an institution, and what was decided."""

    change_id: str
    institution: str
    given: Mapping[str, Any]
    version: int
    state: str
    entered_by: str
    entered_ms: int
    reason: str
    decided_by: str
    decision_reason: str
    decided_ms: int | None


def listed(connection: Connection, members: Sequence[Member]) -> Sequence[Institution]:
    """The hub's members and whatever else the portal knows of, by id."""
    pending = institution_changes.c.state == INSTITUTION.initial
    waiting = set(connection.execute(select(institution_changes.c.institution).where(pending)).scalars())
    found = {one.member_id: _of_hub(one.member_id, members, waits=one.member_id in waiting) for one in members}
    staff = select(accounts.c.institution).where(accounts.c.role.in_([role.value for role in SECOND_FACTOR])).distinct()
    for name in [*connection.execute(staff).scalars(), *waiting]:
        if name != HUB:
            found.setdefault(name, _of_hub(name, members, waits=name in waiting))
    for row in connection.execute(select(institutions)):
        found[row.institution] = _institution(row, waits=row.institution in waiting)
    return [found[name] for name in sorted(found)]


def get(connection: Connection, members: Sequence[Member], institution: str) -> Institution:
    """One of `listed`. Raises PortalError NOT_FOUND."""
    for one in listed(connection, members):
        if one.institution == institution:
            return one
    raise not_found()


def history(connection: Connection, institution: str) -> Sequence[Change]:
    """What was entered about an institution, the newest first."""
    own = select(institution_changes).where(institution_changes.c.institution == institution)
    newest = own.order_by(institution_changes.c.entered_ms.desc(), institution_changes.c.change_id)
    return [_change(row) for row in connection.execute(newest.limit(_MOST))]


def enter(
    portal: Portal,
    connection: Connection,
    who: Principal,
    before: Institution,
    given: Mapping[str, Any],
    reason: str,
    version: int,
) -> str:
    """Propose what is to be in force; returns the change's id. Only inside `Database.write`. Raises PortalError WRONG_STATE."""
    pending = institution_changes.c.state == INSTITUTION.initial
    own = pending & (institution_changes.c.institution == before.institution)
    if connection.execute(select(institution_changes.c.change_id).where(own)).first() is not None:
        raise PortalError("WRONG_STATE", Text("A change waits for its decision already. Decide that one first."))
    if version != _version(connection, before.institution):
        raise PortalError("WRONG_STATE", STALE)
    change_id, now_ms = str(uuid.uuid4()), portal.clock()
    row = {
        "change_id": change_id,
        "institution": before.institution,
        **{name: int(given[name]) if isinstance(given[name], bool) else given[name] for name in COLUMNS},
        "version": version,
        "state": INSTITUTION.initial,
        "entered_by": who.login,
        "entered_ms": now_ms,
        "reason": reason,
        "decided_by": "",
        "decision_reason": "",
        "decided_ms": None,
    }
    connection.execute(insert(institution_changes), row)
    events.record(connection, now_ms, who.login, "institution_entered", before.institution, reason)
    _tell(connection, (Role.SECURITY_ADMIN,), HUB, "institution_waits", before.institution, now_ms)
    return change_id


async def decide(portal: Portal, who: Principal, institution: str, change_id: str, act: str, reason: str) -> None:
    """Approve or reject a change. Raises PortalError NOT_FOUND, WRONG_STATE, PERMISSION_DENIED."""
    await portal.db.write(lambda connection: _decide(portal, connection, who, institution, change_id, act, reason))
    portal.policy_changed()


def _decide(
    portal: Portal, connection: Connection, who: Principal, institution: str, change_id: str, act: str, reason: str
) -> None:
    own = institution_changes.c.change_id == change_id
    row = connection.execute(select(institution_changes).where(own)).first()
    if row is None or row.institution != institution:
        raise not_found()
    following, now_ms = INSTITUTION.after(row.state, act), portal.clock()
    if row.entered_by == who.login:
        raise PortalError("PERMISSION_DENIED", Text("You entered this; somebody else decides."))
    decided = {"state": following, "decided_by": who.login, "decision_reason": reason, "decided_ms": now_ms}
    connection.execute(update(institution_changes).where(own).values(**decided))
    events.record(connection, now_ms, who.login, f"institution_{act}", institution, reason)
    _tell(connection, (Role.SYSTEM_ADMIN,), HUB, "institution_decided", institution, now_ms)
    if following != APPROVED:
        return
    values = {name: row._mapping[name] for name in COLUMNS} | {"version": row.version + 1}
    if row.version:
        connection.execute(update(institutions).where(institutions.c.institution == institution).values(**values))
    else:
        connection.execute(insert(institutions), values | {"institution": institution})
    _tell(connection, (Role.INSTITUTION_ADMIN,), institution, "institution_changed", "", now_ms)


def _tell(connection: Connection, roles: Sequence[Role], institution: str, kind: str, detail: str, now_ms: int) -> None:
    whom = (accounts.c.institution == institution) & accounts.c.role.in_([role.value for role in roles])
    wanted = select(accounts.c.account_id).where(whom & (accounts.c.state == ACTIVE))
    for account_id in connection.execute(wanted).scalars().all():
        notify(connection, account_id, kind, detail, now_ms)


def _version(connection: Connection, institution: str) -> int:
    own = institutions.c.institution == institution
    return int(connection.execute(select(institutions.c.version).where(own)).scalar() or 0)


def _of_hub(name: str, members: Sequence[Member], *, waits: bool) -> Institution:
    called = next((one.name for one in members if one.member_id == name), name)
    return Institution(institution=name, name_zh=called, name_en=called, waits=waits)


def _institution(row: Row[Any], *, waits: bool) -> Institution:
    return Institution(
        institution=row.institution,
        name_zh=row.name_zh,
        name_en=row.name_en,
        kind=row.kind,
        contact=row.contact,
        publishes=bool(row.publishes),
        lends=bool(row.lends),
        suspended=bool(row.suspended),
        version=row.version,
        waits=waits,
    )


def _change(row: Row[Any]) -> Change:
    return Change(
        change_id=row.change_id,
        institution=row.institution,
        given={name: row._mapping[name] for name in COLUMNS},
        version=row.version,
        state=row.state,
        entered_by=row.entered_by,
        entered_ms=row.entered_ms,
        reason=row.reason,
        decided_by=row.decided_by,
        decision_reason=row.decision_reason,
        decided_ms=row.decided_ms,
    )
