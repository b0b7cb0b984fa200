"""The menu: one table of what there is to go to; a visitor sees the entries whose page it may open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from portal.permissions import Need, Open, Role, reach_of, rule_of
from portal.principal import Principal
from portal.text import Text


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A page of the menu. Who may open it is said once, in `portal.permissions`."""

    path: str
    title: Text


MENU: Final = (
    Entry(path="/applications", title=Text("My applications")),
    Entry(path="/my-credit", title=Text("My credit")),
    Entry(path="/financing", title=Text("Ask all banks")),
    Entry(path="/lending", title=Text("Applications")),
    Entry(path="/credit", title=Text("Credit ledger")),
    Entry(path="/statistics", title=Text("Statistics")),
    Entry(path="/alerts", title=Text("Risk alerts")),
    Entry(path="/demands", title=Text("Financing requests")),
    Entry(path="/products", title=Text("Loan products")),
    Entry(path="/facts", title=Text("Our enterprise")),
    Entry(path="/product-versions", title=Text("Products entered")),
    Entry(path="/consents", title=Text("My consents")),
    Entry(path="/uses", title=Text("Who used my data")),
    Entry(path="/registration", title=Text("My registration")),
    Entry(path="/questions", title=Text("Questions")),
    Entry(path="/seat", title=Text("My seat")),
    Entry(path="/registrations", title=Text("Registrations")),
    Entry(path="/application-reviews", title=Text("Applications")),
    Entry(path="/content", title=Text("Content")),
    Entry(path="/account/operator-key", title=Text("Operator key")),
    Entry(path="/operations", title=Text("Nodes and exchanges")),
    Entry(path="/staff", title=Text("Users")),
    Entry(path="/institutions", title=Text("Institutions")),
    Entry(path="/roles", title=Text("Roles")),
    Entry(path="/events", title=Text("Record of acts")),
    Entry(path="/knowledge", title=Text("Help and policies")),
    Entry(path="/account", title=Text("Account")),
)

_ACCOUNT: Final = "/account"


def menu_of(who: Principal | None, hidden: frozenset[str] = frozenset()) -> Sequence[Entry]:
    """The entries that a visitor may open, without those that are hidden for its role."""
    return [entry for entry in MENU if entry.path not in hidden and _may_open(who, entry.path)]


def may_hide(role: Role) -> Sequence[Entry]:
    """The entries that can be hidden for a role: those that it may open, but one's own account."""
    return [entry for entry in MENU if entry.path != _ACCOUNT and _granted(role, entry.path)]


def _granted(role: Role, path: str) -> bool:
    rule = rule_of("GET", path)
    return reach_of(role, rule) is not None if isinstance(rule, Need) else rule is Open.EVERYBODY


def _may_open(who: Principal | None, path: str) -> bool:
    rule = rule_of("GET", path)
    if isinstance(rule, Need):
        return who is not None and who.may(rule)
    return rule is Open.EVERYBODY
