"""The ledger of credit (授信台账): what it filters and sorts by, for an institution or all, and for an enterprise its own lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, select

from consent.identifiers import CHINA_TIME
from consent.validators import SECTIONS
from portal.credit.tables import lines
from portal.credit.words import PENDING, STATES, YES_NO
from portal.facts.names import SIZES
from portal.forms import Field
from portal.parsers import among, day, optional, plain, region, whole
from portal.text import Text
from portal.web.listing import Asked, Found, Listing, Order

L = lines.c
_CODE: Final = re.compile(r"[0-9A-Za-z]{18}", re.ASCII)


def _choice(name: str, label: Text, allowed: Mapping[Any, object] | tuple[str, ...]) -> Field:
    return Field(name=name, label=label, parse=optional(among(allowed)), longest=40, kind="choice")


LEDGER: Final = Listing(
    path="/credit",
    filters=(
        Field(name="institution", label=Text("Institution"), parse=plain, longest=60),
        Field(name="branch", label=Text("Branch"), parse=plain, longest=60),
        Field(name="customer", label=Text("Customer (code or whole name)"), parse=plain, longest=200),
        Field(name="product_code", label=Text("Product code"), parse=plain, longest=60),
        _choice("state", Text("State"), STATES),
        _choice("pending", Text("To confirm"), PENDING),
        _choice("first_loan", Text("First loan"), YES_NO),
        _choice("credit_loan", Text("Unsecured"), YES_NO),
        _choice("size", Text("Size"), SIZES),
        _choice("industry", Text("Industry"), tuple(SECTIONS)),
        Field(name="district", label=Text("District"), parse=optional(region), longest=6, kind="choice"),
        Field(name="overdue", label=Text("Overdue for days, at least"), parse=optional(whole(1, 9999)), longest=4),
        Field(name="since", label=Text("From (day)"), parse=optional(day), longest=10, kind="date"),
        Field(name="until", label=Text("To (day)"), parse=optional(day), longest=10, kind="date"),
    ),
    orders=(
        Order(name="opened_ms", title=Text("Confirmed"), column=L.opened_ms),
        Order(name="balance_fen", title=Text("Balance (CNY 10,000)"), column=L.balance_fen),
    ),
    key=L.application_no,
    first="-opened_ms",
)
OWN: Final = Listing(
    path="/my-credit",
    filters=(),
    orders=(Order(name="opened_ms", title=Text("Confirmed"), column=L.opened_ms),),
    key=L.application_no,
    first="-opened_ms",
)


def page(connection: Connection, institution: str | None, asked: Asked, now: date) -> Found:
    """One page of the ledger of an institution, of all for None."""
    return LEDGER.page(connection, wanted(institution, asked, now), asked)


def own(connection: Connection, uscc: str, asked: Asked) -> Found:
    """One page of an enterprise's lines; what no approver has confirmed is not there yet."""
    return OWN.page(connection, select(lines).where((L.uscc == uscc) & (L.opened_ms > 0)), asked)


def wanted(institution: str | None, asked: Asked, now: date) -> Select[Any]:
    """The lines that a URL asks for. `now`: today, for how long something is overdue."""
    values, found = asked.values, select(lines)
    if institution is not None:
        found = found.where(L.institution == institution)
    elif "institution" in values:
        found = found.where(L.institution == values["institution"])
    for name in ("branch", "product_code", "state", "pending", "size", "industry", "district"):
        if name in values:
            found = found.where(L[name] == values[name])
    for name in ("first_loan", "credit_loan"):
        if name in values:
            found = found.where(L[name] == int(values[name]))
    if "customer" in values:
        customer = values["customer"]
        code = _CODE.fullmatch(customer)
        found = found.where(L.uscc == customer.upper() if code else L.ent_name == customer)
    if "overdue" in values:
        latest = (now - timedelta(days=values["overdue"])).isoformat()
        found = found.where((L.state == "overdue") & (L.overdue_since <= latest))
    if "since" in values:
        found = found.where(L.opened_ms >= _midnight(values["since"]))
    if "until" in values:
        found = found.where(L.opened_ms < _midnight(values["until"] + timedelta(days=1)))
    return found


def _midnight(on: date) -> int:
    return 1000 * int(datetime(on.year, on.month, on.day, tzinfo=CHINA_TIME).timestamp())
