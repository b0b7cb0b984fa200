"""All accounts as administrators see them: found by user name, role, institution and state; names masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from consent.masking import mask
from portal.accounts.service import DISABLED
from portal.accounts.tables import ACTIVE, accounts
from portal.forms import Field
from portal.parsers import among, optional, plain
from portal.permissions import SECOND_FACTOR, TITLES, Role
from portal.state import Portal
from portal.text import Text
from portal.web.listing import Asked, Listing, Order

A = accounts.c
ANY: Final = ("", Text("All"))
STATES: Final = {ACTIVE: Text("active"), DISABLED: Text("removed")}
CHOICES: Final = {
    "held": [ANY, *((role.value, title) for role, title in TITLES.items())],
    "state": [ANY, *STATES.items()],
}


@dataclass(frozen=True, kw_only=True)
class Person:
    """An account in the list. `name` is masked; `staff`: administrators may remove and help it."""

    account_id: str
    login: str
    name: str
    role: Role
    institution: str
    state: str
    staff: bool
    created_ms: int


# Not the names of the form of invitations, which stands on the same page.
ALL: Final = Listing(
    path="/staff",
    filters=(
        Field(name="user", label=Text("User name"), parse=plain, longest=60),
        Field(name="held", label=Text("Role"), parse=optional(among(Role)), longest=40, kind="choice"),
        Field(name="state", label=Text("State"), parse=optional(among(STATES)), longest=40, kind="choice"),
        Field(name="at", label=Text("Institution"), parse=plain, longest=60),
    ),
    orders=(
        Order(name="login", title=Text("User name"), column=A.login),
        Order(name="created", title=Text("Since"), column=A.created_ms),
    ),
    key=A.account_id,
    first="login",
)
OWN: Final = replace(ALL, filters=ALL.filters[:3])


def found(
    portal: Portal, connection: Connection, institution: str | None, asked: Asked
) -> tuple[Sequence[Person], str]:
    """One page of the accounts of an institution, or (None) of all, and the URL of the next page."""
    wanted, given = select(accounts), asked.values
    if institution is not None:
        wanted = wanted.where(A.institution == institution)
    if "user" in given:
        wanted = wanted.where(A.login.contains(given["user"].casefold(), autoescape=True))
    for name, column in (("held", A.role), ("state", A.state), ("at", A.institution)):
        if name in given:
            wanted = wanted.where(column == given[name])
    page = ALL.page(connection, wanted, asked)
    return [_person(portal, row) for row in page.rows], page.following


def _person(portal: Portal, row: Row[Any]) -> Person:
    return Person(
        account_id=row.account_id,
        login=row.login,
        name=mask("name", portal.keys.open("accounts", "name", row.account_id, bytes(row.name_sealed))) or "",
        role=Role(row.role),
        institution=row.institution,
        state=row.state,
        staff=Role(row.role) in SECOND_FACTOR,
        created_ms=row.created_ms,
    )
