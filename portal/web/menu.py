"""The menu: one table of what there is to go to; a visitor sees the entries whose page it may open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from portal.permissions import Need, Open, rule_of
from portal.principal import Principal
from portal.text import Text


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A page of the menu. Who may open it is said once, in `portal.permissions`."""

    path: str
    title: Text


MENU: Final = (
    Entry(path="/applications", title=Text("My applications")),
    Entry(path="/financing", title=Text("Ask all banks")),
    Entry(path="/lending", title=Text("Applications")),
    Entry(path="/demands", title=Text("Financing requests")),
    Entry(path="/products", title=Text("Loan products")),
    Entry(path="/facts", title=Text("Our enterprise")),
    Entry(path="/product-versions", title=Text("Products entered")),
    Entry(path="/consents", title=Text("My consents")),
    Entry(path="/uses", title=Text("Who used my data")),
    Entry(path="/registration", title=Text("My registration")),
    Entry(path="/registrations", title=Text("Registrations")),
    Entry(path="/application-reviews", title=Text("Applications")),
    Entry(path="/account/operator-key", title=Text("Operator key")),
    Entry(path="/staff", title=Text("Users")),
    Entry(path="/institutions", title=Text("Institutions")),
    Entry(path="/events", title=Text("Record of acts")),
    Entry(path="/account", title=Text("Account")),
)


def menu_of(who: Principal | None) -> Sequence[Entry]:
    """The entries that a visitor may open."""
    return [entry for entry in MENU if _may_open(who, entry.path)]


def _may_open(who: Principal | None, path: str) -> bool:
    rule = rule_of("GET", path)
    if isinstance(rule, Need):
        return who is not None and who.may(rule)
    return rule is Open.EVERYBODY
