"""What takes permissions away: suspended and limited institutions, narrowed roles. And what menus hide. Cached by `Portal.in_force`.

Rules:
1. Nothing here gives a permission: a policy only withholds some of those that a built-in role has.
2. A suspended institution's people have none.
3. An institution that may not publish enters no products; one that may not lend takes and decides no applications. One that nothing
   was entered about is not limited: the hub has admitted it.
4. Hiding a menu entry is no permission: its page opens by its address as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import Connection, select

from portal.backoffice.tables import hidden_entries, institutions, narrowed_roles, role_holders
from portal.permissions import GRANTS, Action, Need, Role, Subject
from portal.principal import Principal
from portal.text import Name

PUBLISHING: Final = frozenset({Need(Action.ENTRY, Subject.PRODUCTS)})
LENDING: Final = frozenset(
    Need(action, subject)
    for action in (Action.ENTRY, Action.APPROVE, Action.MODIFY)
    for subject in (Subject.APPLICATIONS, Subject.FINANCING)
)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What an institution is called and may do."""

    name: Name
    publishes: bool = True
    lends: bool = True
    suspended: bool = False


@dataclass(frozen=True, kw_only=True)
class Policy:
    """`left`: the permissions of accounts whose role was narrowed; `hidden`: paths of menu entries by role."""

    standings: Mapping[str, Standing] = field(default_factory=dict)
    left: Mapping[str, frozenset[Need]] = field(default_factory=dict)
    hidden: Mapping[Role, frozenset[str]] = field(default_factory=dict)

    def applied(self, who: Principal) -> Principal:
        """Whoever calls, with what is withheld from it."""
        return replace(who, withheld=self.withheld(who))

    def withheld(self, who: Principal) -> frozenset[Need]:
        """The permissions of the built-in role that this account has not (rules 1 to 3)."""
        granted = frozenset(GRANTS[who.role])
        standing = self.standings.get(who.institution)
        taken = granted - self.left[who.account_id] if who.account_id in self.left else frozenset()
        if standing is None:
            return taken
        if standing.suspended:
            return granted
        if not standing.publishes:
            taken |= granted & PUBLISHING
        if not standing.lends:
            taken |= granted & LENDING
        return taken

    def suspended(self, institution: str) -> bool:
        """Whether an institution's people may not act."""
        standing = self.standings.get(institution)
        return standing is not None and standing.suspended

    def name_of(self, institution: str) -> Name:
        """What people call an institution; its id if nothing was entered."""
        standing = self.standings.get(institution)
        return standing.name if standing is not None else Name(zh=institution, en=institution)


def load(connection: Connection) -> Policy:
    """The policy in force."""
    standings = {
        row.institution: Standing(
            name=Name(zh=row.name_zh, en=row.name_en),
            publishes=bool(row.publishes),
            lends=bool(row.lends),
            suspended=bool(row.suspended),
        )
        for row in connection.execute(select(institutions))
    }
    held = select(role_holders.c.account_id, narrowed_roles.c.permissions).join(narrowed_roles)
    left = {row.account_id: parse_needs(row.permissions) for row in connection.execute(held)}
    hidden: dict[Role, frozenset[str]] = {}
    for row in connection.execute(select(hidden_entries)):
        role = Role(row.role)
        hidden[role] = hidden.get(role, frozenset()) | {row.path}
    return Policy(standings=standings, left=left, hidden=hidden)


def parse_needs(text: str) -> frozenset[Need]:
    """Permissions as they are kept. One that this version does not know any more is none."""
    known = {told(need): need for granted in GRANTS.values() for need in granted}
    return frozenset(known[each] for each in text.split(",") if each in known)


def told(need: Need) -> str:
    """A permission as it is kept and sent."""
    return f"{need.action} {need.subject}"
