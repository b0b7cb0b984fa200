"""Narrowed roles: some of a built-in role's permissions, made by the security administrator for the hub or an institution.

Rules:
1. A narrowed role never has what its built-in role has not; whatever else is sent is refused, and `Policy` could not give it.
2. The three administrators are not narrowed: nobody takes away what watches them. One's own account stays everybody's.
3. It is given to accounts of its built-in role and institution. Sessions of whom it concerns end when it changes.
4. A role that somebody has is not removed: that would give back what it takes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from portal import events
from portal.accounts import sessions
from portal.accounts.invitations import HUB, OF_MEMBERS
from portal.accounts.notices import notify
from portal.accounts.service import normalise
from portal.accounts.tables import ACTIVE, accounts
from portal.backoffice.policy import parse_needs, told
from portal.backoffice.tables import hidden_entries, narrowed_roles, role_holders
from portal.errors import PortalError, form_fault, not_found
from portal.permissions import GRANTS, SECOND_FACTOR, Need, Role, Subject
from portal.principal import Principal
from portal.state import Portal
from portal.text import Text

ADMINISTRATORS: Final = frozenset({Role.SYSTEM_ADMIN, Role.SECURITY_ADMIN, Role.AUDIT_ADMIN})
BASES: Final = tuple(role for role in Role if role in SECOND_FACTOR - ADMINISTRATORS)
STALE: Final = Text(
    "Somebody changed this while you typed. What you typed is still here; compare it and send it again."
)


@dataclass(frozen=True, kw_only=True)
class Narrowed:
    """A narrowed role. `needs`: what is left of `base`."""

    role_id: str
    title: str
    base: Role
    institution: str
    needs: frozenset[Need]
    version: int

    @property
    def chosen(self) -> Sequence[Need]:
        """What is left of what could be taken away, in the table's order."""
        return [need for need in choosable(self.base) if need in self.needs]


@dataclass(frozen=True, kw_only=True)
class Holder:
    """An account that has it."""

    account_id: str
    login: str


def choosable(base: Role) -> Sequence[Need]:
    """What can be left or taken away of a built-in role."""
    return [need for need in GRANTS[base] if need.subject is not Subject.OWN_ACCOUNT]


def listed(connection: Connection) -> Sequence[Narrowed]:
    """All narrowed roles, by institution and title."""
    ordered = select(narrowed_roles).order_by(narrowed_roles.c.institution, narrowed_roles.c.title)
    return [_narrowed(row) for row in connection.execute(ordered)]


def get(connection: Connection, role_id: str) -> Narrowed:
    """One of them. Raises PortalError NOT_FOUND."""
    row = connection.execute(select(narrowed_roles).where(narrowed_roles.c.role_id == role_id)).first()
    if row is None:
        raise not_found()
    return _narrowed(row)


def holders(connection: Connection, role_id: str) -> Sequence[Holder]:
    """Who has it, by user name."""
    joined = select(accounts.c.account_id, accounts.c.login).join(role_holders)
    own = joined.where(role_holders.c.role_id == role_id).order_by(accounts.c.login)
    return [Holder(account_id=row.account_id, login=row.login) for row in connection.execute(own)]


async def make(
    portal: Portal, who: Principal, base: Role, title: str, institution: str, needs: Iterable[Need], reason: str
) -> str:
    """Make a narrowed role; returns its id. Raises PortalError INVALID_ARGUMENT."""
    left = _left(base, needs)
    if base not in BASES:
        raise form_fault("base", Text("Administrators are not narrowed."))
    if (institution == HUB) is (base in OF_MEMBERS):
        raise form_fault(
            "institution",
            Text("This role belongs to the hub or to a member: the hub's people have “hub” here, a member's its id."),
        )
    role_id = str(uuid.uuid4())

    def write(connection: Connection) -> None:
        row = {"role_id": role_id, "title": title, "base": base.value, "institution": institution, "permissions": left}
        connection.execute(insert(narrowed_roles), row | _changed(portal, who, 1))
        events.record(connection, portal.clock(), who.login, "role_made", role_id, reason)

    await portal.db.write(write)
    return role_id


async def change(
    portal: Portal, who: Principal, role_id: str, title: str, needs: Iterable[Need], reason: str, version: int
) -> None:
    """Change what is left. Raises PortalError NOT_FOUND, WRONG_STATE, INVALID_ARGUMENT."""
    wanted = list(needs)

    def write(connection: Connection) -> None:
        found = get(connection, role_id)
        if found.version != version:
            raise PortalError("WRONG_STATE", STALE)
        values = {"title": title, "permissions": _left(found.base, wanted)} | _changed(portal, who, version + 1)
        own = narrowed_roles.c.role_id == role_id
        connection.execute(update(narrowed_roles).where(own).values(**values))
        events.record(connection, portal.clock(), who.login, "role_changed", role_id, reason)
        for each in holders(connection, role_id):
            _ended(portal, connection, each.account_id)

    await portal.db.write(write)
    portal.policy_changed()


async def give(portal: Portal, who: Principal, role_id: str, login: str, reason: str) -> None:
    """Give it to an account, in place of another narrowed one. Raises PortalError NOT_FOUND, INVALID_ARGUMENT."""

    def write(connection: Connection) -> None:
        found = get(connection, role_id)
        row = connection.execute(select(accounts).where(accounts.c.login == normalise(login))).first()
        fits = row is not None and (row.role, row.institution) == (found.base.value, found.institution)
        if row is None or not fits or row.state != ACTIVE:
            raise form_fault("login", Text("There is no such account of this built-in role at this institution."))
        connection.execute(delete(role_holders).where(role_holders.c.account_id == row.account_id))
        connection.execute(insert(role_holders), {"account_id": row.account_id, "role_id": role_id})
        events.record(connection, portal.clock(), who.login, "role_given", row.login, f"{found.title}: {reason}")
        _ended(portal, connection, row.account_id)

    await portal.db.write(write)
    portal.policy_changed()


async def take(portal: Portal, who: Principal, role_id: str, account_id: str, reason: str) -> None:
    """Take it from an account, which then has its built-in role whole. Raises PortalError NOT_FOUND."""

    def write(connection: Connection) -> None:
        held = {each.account_id: each.login for each in holders(connection, role_id)}
        if account_id not in held:
            raise not_found()
        connection.execute(delete(role_holders).where(role_holders.c.account_id == account_id))
        events.record(connection, portal.clock(), who.login, "role_taken", held[account_id], reason)
        _ended(portal, connection, account_id)

    await portal.db.write(write)
    portal.policy_changed()


def remove(portal: Portal, connection: Connection, who: Principal, role_id: str, reason: str) -> None:
    """Remove a role that nobody has. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE."""
    get(connection, role_id)
    if holders(connection, role_id):
        raise PortalError("WRONG_STATE", Text("Somebody has this role. Take it from everybody first."))
    connection.execute(delete(narrowed_roles).where(narrowed_roles.c.role_id == role_id))
    events.record(connection, portal.clock(), who.login, "role_removed", role_id, reason)


async def hide(portal: Portal, who: Principal, role: Role, paths: Iterable[str]) -> None:
    """Hide these entries of the menu for a role, and show all others again."""
    rows = [{"role": role.value, "path": path} for path in sorted(set(paths))]

    def write(connection: Connection) -> None:
        connection.execute(delete(hidden_entries).where(hidden_entries.c.role == role.value))
        if rows:
            connection.execute(insert(hidden_entries), rows)
        hidden = ", ".join(row["path"] for row in rows)
        events.record(connection, portal.clock(), who.login, "menu_changed", role.value, hidden)

    await portal.db.write(write)
    portal.policy_changed()


def _left(base: Role, needs: Iterable[Need]) -> str:
    chosen = set(needs)
    if not chosen <= set(choosable(base)):
        raise form_fault("needs", Text("The built-in role has not all of these permissions."))
    kept = [need for need in GRANTS[base] if need in chosen or need.subject is Subject.OWN_ACCOUNT]
    return ",".join(told(need) for need in kept)


def _changed(portal: Portal, who: Principal, version: int) -> dict[str, Any]:
    return {"version": version, "changed_by": who.login, "changed_ms": portal.clock()}


def _ended(portal: Portal, connection: Connection, account_id: str) -> None:
    sessions.end_all(portal, connection, account_id)
    notify(connection, account_id, "role_changed", "", portal.clock())


def _narrowed(row: Row[Any]) -> Narrowed:
    return Narrowed(
        role_id=row.role_id,
        title=row.title,
        base=Role(row.base),
        institution=row.institution,
        needs=parse_needs(row.permissions),
        version=row.version,
    )
