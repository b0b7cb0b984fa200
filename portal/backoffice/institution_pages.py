"""Pages of institutions: the list, one institution, what is entered about it and what is decided."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from consent.directory import Member
from portal.backoffice import fields, institutions
from portal.errors import PortalError
from portal.forms import Filled, fill
from portal.parsers import edition
from portal.state import Portal
from portal.states import INSTITUTION
from portal.text import Text
from portal.web.authorize import Who
from portal.web.doing import do_once
from portal.web.pages import form_page, page, portal_of, see
from portal.web.sent import read_form

STATES: Final = {
    "pending": Text("Waits for the decision"),
    "approved": Text("Approved"),
    "rejected": Text("Rejected"),
}


def routes(app: FastAPI) -> None:
    """Add the routes of institutions."""
    _add_reading(app)
    _add_acts(app)


def _add_reading(app: FastAPI) -> None:
    @app.get("/institutions")
    async def listed(request: Request) -> Response:
        """List the institutions."""
        portal = portal_of(request)
        members, away = await _members(portal)
        found = await portal.db.read(lambda connection: institutions.listed(connection, members))
        return page(request, "backoffice/institutions.html", found=found, kinds=fields.KINDS, away=away)

    @app.get("/institutions/{institution}")
    async def one(request: Request, who: Who, institution: str) -> Response:
        """Show one institution and what may be done."""
        return await _one(request, who, institution)


def _add_acts(app: FastAPI) -> None:
    @app.post("/institutions/{institution}/changes")
    async def enter(request: Request, who: Who, institution: str) -> Response:
        """Enter what is to be in force."""
        portal, sent = portal_of(request), await read_form(request)
        members, _ = await _members(portal)
        before = await portal.db.read(lambda connection: institutions.get(connection, members, institution))
        filled = fill(fields.INSTITUTION, sent)

        def act(connection: Connection) -> str:
            given = filled.require()
            institutions.enter(portal, connection, who, before, given, given["reason"], edition(sent))
            return f"/institutions/{institution}"

        try:
            return await do_once(request, sent, act)
        except PortalError as error:
            faults = error.faults or {"form": error.text}
            return await _one(request, who, institution, filled.with_faults(faults), status=error.status)

    @app.post("/institutions/{institution}/changes/{change_id}/decision")
    async def decide(request: Request, who: Who, institution: str, change_id: str) -> Response:
        """Approve or reject."""
        portal, sent = portal_of(request), await read_form(request)
        filled = fill(fields.DECISION, sent)
        if filled.faults:
            return await _one(request, who, institution, filled, status=422)
        reason = filled.values["reason"]
        await institutions.decide(portal, who, institution, change_id, sent.get("act", ""), reason)
        return see(f"/institutions/{institution}")


async def _members(portal: Portal) -> tuple[Sequence[Member], bool]:
    """The hub's members, and whether it is away: then what the portal knows is shown."""
    try:
        return await asyncio.to_thread(portal.link.members), False
    except PortalError:
        return (), True


async def _one(
    request: Request, who: Who, institution: str, filled: Filled | None = None, *, status: int = 200
) -> Response:
    portal = portal_of(request)
    members, _ = await _members(portal)

    def read(connection: Connection) -> tuple[institutions.Institution, Sequence[institutions.Change]]:
        return institutions.get(connection, members, institution), institutions.history(connection, institution)

    found, changes = await portal.db.read(read)
    waiting = next((each for each in changes if each.state == INSTITUTION.initial), None)
    return form_page(
        request,
        "backoffice/institution.html",
        fields.INSTITUTION,
        filled or Filled(given=_typed(found)),
        status=status,
        one=found,
        waiting=waiting,
        differences=_differences(found, waiting) if waiting else (),
        changes=changes,
        kinds=fields.KINDS,
        choices=[("", Text("Choose")), *fields.KINDS.items()],
        states=STATES,
        own=waiting is not None and waiting.entered_by == who.login,
    )


def _typed(found: institutions.Institution) -> Mapping[str, str]:
    values = {name: getattr(found, name) for name in institutions.COLUMNS}
    return {name: ("yes" if value else "") if isinstance(value, bool) else value for name, value in values.items()}


def _differences(found: institutions.Institution, change: institutions.Change) -> Sequence[Mapping[str, Any]]:
    """What the change changes: label, before, after."""
    asked = {each.name: each for each in fields.INSTITUTION}
    return [
        {
            "label": asked[name].label,
            "before": _said(name, getattr(found, name)),
            "after": _said(name, change.given[name]),
        }
        for name in institutions.COLUMNS
        if getattr(found, name) != change.given[name] or not found.version
    ]


def _said(name: str, value: object) -> Text | str:
    if name == "kind":
        return fields.KINDS.get(str(value), "–")
    if name in {"publishes", "lends", "suspended"}:
        return Text("yes") if value else Text("no")
    return str(value) or "–"
