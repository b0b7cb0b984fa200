"""The reviewers' queue: registrations by state, code, name and day, those that wait for a first look if nothing is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select

from portal.forms import Field
from portal.parsers import among, optional, plain
from portal.registration.service import Registration, joined, shown
from portal.registration.tables import registrations
from portal.state import Portal
from portal.states import REGISTRATION, SUBMITTED
from portal.text import Text
from portal.web.listing import SINCE, UNTIL, Asked, Listing, Order, within_days

ANY: Final = "any"
R = registrations.c
LISTING: Final = Listing(
    path="/registrations",
    filters=(
        Field(
            name="state",
            label=Text("State"),
            parse=optional(among((*REGISTRATION.states, ANY))),
            longest=20,
            kind="choice",
        ),
        Field(name="uscc", label=Text("Unified social credit code"), parse=plain, longest=40),
        Field(name="name", label=Text("Enterprise"), parse=plain, longest=60),
        SINCE,
        UNTIL,
    ),
    orders=(Order(name="submitted", title=Text("Sent"), column=R.submitted_ms),),
    key=R.registration_id,
    first="submitted",
)


def found(portal: Portal, connection: Connection, asked: Asked) -> tuple[Sequence[Registration], str]:
    """One page, people's names and telephone numbers masked, and the URL of the next page."""
    page = LISTING.page(connection, _wanted(asked), asked)
    return [shown(portal, row, masked=True) for row in page.rows], page.following


def _wanted(asked: Asked) -> Select[Any]:
    wanted, given = joined(), asked.values
    state = given.get("state", SUBMITTED)
    if state != ANY:
        wanted = wanted.where(R.state == state)
    if "uscc" in given:
        wanted = wanted.where(R.uscc == given["uscc"].upper())
    if "name" in given:
        wanted = wanted.where(R.ent_name.contains(given["name"], autoescape=True))
    return within_days(wanted, R.submitted_ms, given)
