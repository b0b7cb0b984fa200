"""The lists of applications: what each filters and sorts by, and what it selects. Every pair of the two has an index (`tables`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, select

from consent.enterprise_size import EnterpriseSize
from consent.validators import SECTIONS
from portal.applications.application import WAN
from portal.applications.fields import amount_wan
from portal.applications.tables import applications, demands
from portal.forms import Field
from portal.parsers import among, optional, plain, region
from portal.states import APPLICATION, DRAFT, OPEN, SUBMITTED
from portal.text import Text
from portal.web.listing import SINCE, UNTIL, Asked, Found, Listing, Order, within_days

A = applications.c
D = demands.c
BANK_STATES: Final = tuple(
    state for state in APPLICATION.states if state not in {DRAFT, SUBMITTED, "platform_review", "returned", "rejected"}
)
REVIEW_STATES: Final = (SUBMITTED, *(state for state in APPLICATION.states if state not in {DRAFT, SUBMITTED}))
SIZES: Final = tuple(each.value for each in EnterpriseSize)


def _fen(text: str) -> int:
    return int(amount_wan(text) * WAN)


def _choice(name: str, label: Text, allowed: Iterable[str]) -> Field:
    return Field(name=name, label=label, parse=optional(among(allowed)), longest=40, kind="choice")


_DISTRICT: Final = Field(name="district", label=Text("District"), parse=optional(region), longest=6, kind="choice")
_INDUSTRY: Final = _choice("industry", Text("Industry"), SECTIONS)
_SIZE: Final = _choice("size", Text("Size"), SIZES)
_LEAST: Final = Field(name="least", label=Text("From (CNY 10,000)"), parse=optional(_fen), longest=20)
_MOST: Final = Field(name="most", label=Text("To (CNY 10,000)"), parse=optional(_fen), longest=20)
_PRODUCT: Final = Field(name="product_code", label=Text("Product code"), parse=plain, longest=60)

OWN: Final = Listing(
    path="/applications",
    filters=(),
    orders=(Order(name="created_ms", title=Text("Begun"), column=A.created_ms),),
    key=A.application_no,
    first="-created_ms",
)
REVIEW: Final = Listing(
    path="/application-reviews",
    filters=(_choice("state", Text("State"), REVIEW_STATES),),
    orders=(Order(name="submitted_ms", title=Text("Sent"), column=A.submitted_ms),),
    key=A.application_no,
    first="submitted_ms",
)
QUEUE: Final = Listing(
    path="/lending",
    filters=(
        _choice("state", Text("State"), BANK_STATES),
        _PRODUCT,
        _DISTRICT,
        _INDUSTRY,
        _SIZE,
        _LEAST,
        _MOST,
        SINCE,
        UNTIL,
    ),
    orders=(
        Order(name="pushed_ms", title=Text("Arrived"), column=A.pushed_ms),
        Order(name="amount_fen", title=Text("Amount (CNY 10,000)"), column=A.amount_fen),
    ),
    key=A.application_no,
    first="-pushed_ms",
)
DEMANDS: Final = Listing(
    path="/demands",
    filters=(_DISTRICT, _INDUSTRY, _SIZE, _LEAST, _MOST),
    orders=(
        Order(name="opened_ms", title=Text("Stated"), column=D.opened_ms),
        Order(name="amount_fen", title=Text("Amount (CNY 10,000)"), column=D.amount_fen),
    ),
    key=D.demand_id,
    first="-opened_ms",
)
_SHOWN: Final = (
    A.application_no,
    A.ent_name,
    A.uscc,
    A.institution,
    A.product_name,
    A.product_code,
    A.amount_fen,
    A.term,
    A.term_unit,
    A.district,
    A.industry,
    A.size,
    A.state,
    A.created_ms,
    A.submitted_ms,
    A.pushed_ms,
    A.due_ms,
)
# Who asks is not selected.
_MASKED: Final = (
    D.demand_id,
    D.amount_fen,
    D.term,
    D.term_unit,
    D.purpose,
    D.guarantee,
    D.district,
    D.industry,
    D.size,
    D.opened_ms,
    D.lapses_ms,
)


def own(connection: Connection, uscc: str, asked: Asked) -> Found:
    """One page of an enterprise's applications."""
    return OWN.page(connection, select(*_SHOWN).where(A.uscc == uscc), asked)


def review(connection: Connection, asked: Asked) -> Found:
    """One page of what reviewers see, in one state; those that wait for a first look if none is asked for."""
    state = asked.values.get("state", SUBMITTED)
    return REVIEW.page(connection, select(*_SHOWN).where((A.state == state) & (A.submitted_ms > 0)), asked)


def queue(connection: Connection, institution: str | None, asked: Asked) -> Found:
    """One page of what was passed on to a bank; to all of them for None."""
    wanted = select(*_SHOWN).where(A.pushed_ms > 0)
    if institution is not None:
        wanted = wanted.where(A.institution == institution)
    for name in ("state", "product_code"):
        if name in asked.values:
            wanted = wanted.where(A[name] == asked.values[name])
    return QUEUE.page(connection, _filtered(wanted, asked.values, A.pushed_ms, A), asked)


def open_demands(connection: Connection, asked: Asked) -> Found:
    """One page of the financing requests that are open, without who asks."""
    wanted = select(*_MASKED).where(D.state == OPEN)
    return DEMANDS.page(connection, _filtered(wanted, asked.values, D.opened_ms, D), asked)


def _filtered(wanted: Select[Any], values: Mapping[str, Any], moment: ColumnElement[Any], columns: Any) -> Select[Any]:  # noqa: ANN401
    for name in ("district", "industry", "size"):
        if name in values:
            wanted = wanted.where(columns[name] == values[name])
    if "least" in values:
        wanted = wanted.where(columns.amount_fen >= values["least"])
    if "most" in values:
        wanted = wanted.where(columns.amount_fen <= values["most"])
    return within_days(wanted, moment, values)
