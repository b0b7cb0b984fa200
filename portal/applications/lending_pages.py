"""The bank's pages: its queue, and one application from its arrival to the decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from portal.applications import covering, fields, lending, listings, words
from portal.applications.application import WAN
from portal.applications.moving import By, by, get, grant_of, timeline
from portal.applications.shown import as_typed, choices, context, tried
from portal.forms import Field, Filled
from portal.parsers import edition
from portal.permissions import Action, Need, Subject
from portal.products.product import TermUnit
from portal.states import ACCEPTED, DUE_DILIGENCE, PUSHED, Mover
from portal.web.authorize import Who, only
from portal.web.pages import form_page, page, portal_of, see
from portal.web.sent import read_form

Doing = Callable[[Connection, By, int, Mapping[str, Any]], object]


def routes(app: FastAPI) -> None:
    """Add the routes of banks."""
    _add_reading(app)
    _add_investigating(app)
    _add_deciding(app)


def _add_reading(app: FastAPI) -> None:
    @app.get("/lending")
    async def queue(request: Request, who: Who) -> Response:
        """List what was passed on to the bank."""
        portal, asked, bank = portal_of(request), listings.QUEUE.asked(request.query_params), only(request, who)
        found = await portal.db.read(lambda connection: listings.queue(connection, bank, asked))
        return page(
            request,
            "applications/queue.html",
            listing=listings.QUEUE,
            asked=asked,
            found=found,
            choices=choices(),
            now_ms=portal.clock(),
            **context(),
        )

    @app.get("/lending/{application_no}")
    async def one(request: Request, who: Who, application_no: str) -> Response:
        """Show one application and what may be done with it."""
        return await _one(request, who, application_no)


def _add_investigating(app: FastAPI) -> None:
    @app.post("/lending/{application_no}/answer")
    async def answer(request: Request, who: Who, application_no: str) -> Response:
        """Accept or decline."""
        portal, chosen = portal_of(request), (await read_form(request)).get("act", "")

        def act(connection: Connection, mover: By, version: int, given: Mapping[str, Any]) -> None:
            lending.answer(portal, connection, mover, application_no, chosen, given["reason"], version)

        return await _do(request, who, application_no, fields.ANSWER, act)

    @app.post("/lending/{application_no}/investigation")
    async def investigate(request: Request, who: Who, application_no: str) -> Response:
        """Begin due diligence."""
        portal = portal_of(request)

        def act(connection: Connection, mover: By, version: int, _given: Mapping[str, Any]) -> None:
            lending.investigate(portal, connection, mover, application_no, version)

        return await _do(request, who, application_no, (), act)

    @app.post("/lending/{application_no}/findings")
    async def find(request: Request, who: Who, application_no: str) -> Response:
        """Record that data was used at the bank's own node."""
        portal = portal_of(request)

        def act(connection: Connection, mover: By, version: int, given: Mapping[str, Any]) -> None:
            lending.find(portal, connection, mover, application_no, version, **given)

        return await _do(request, who, application_no, fields.FINDING, act)


def _add_deciding(app: FastAPI) -> None:
    @app.post("/lending/{application_no}/grant")
    async def grant(request: Request, who: Who, application_no: str) -> Response:
        """Grant it."""
        portal = portal_of(request)

        def act(connection: Connection, mover: By, version: int, given: Mapping[str, Any]) -> None:
            lending.grant(portal, connection, mover, application_no, terms_of(given), version)

        return await _do(request, who, application_no, fields.GRANT, act)

    @app.post("/lending/{application_no}/refusal")
    async def refuse(request: Request, who: Who, application_no: str) -> Response:
        """Refuse it."""
        portal = portal_of(request)

        def act(connection: Connection, mover: By, version: int, given: Mapping[str, Any]) -> None:
            code, reason = given["refusal"], given["reason"]
            lending.refuse(portal, connection, mover, application_no, code, reason, version)

        return await _do(request, who, application_no, fields.REFUSE, act)


def terms_of(given: Mapping[str, Any]) -> lending.Terms:
    """What an approver's form says."""
    return lending.Terms(
        limit_fen=int(given["limit"] * WAN),
        annual_rate=given["annual_rate"],
        penalty_rate=given["penalty_rate"],
        term=given["term"],
        term_unit=TermUnit(given["term_unit"]),
    )


async def _do(request: Request, who: Who, application_no: str, asked: Sequence[Field], what: Doing) -> Response:
    portal, sent = portal_of(request), await read_form(request)
    version = edition(sent, "version")

    async def act(given: Mapping[str, Any]) -> Response:
        await portal.db.write(lambda connection: what(connection, by(who), version, given))
        return see(f"/lending/{application_no}")

    return await tried(asked, sent, act, lambda filled, status: _one(request, who, application_no, filled, status))


async def _one(
    request: Request, who: Who, application_no: str, filled: Filled | None = None, status: int = 200
) -> Response:
    portal = portal_of(request)

    def read(connection: Connection) -> dict[str, Any]:
        found = get(portal, connection, application_no, by(who))
        return {
            "one": found,
            "moves": timeline(connection, application_no, Mover.BANK),
            "grant": grant_of(connection, application_no),
            "findings": lending.findings_of(connection, application_no),
            "consents": covering.ended(connection, application_no, portal.clock()),
        }

    shown = await portal.db.read(read)
    found = shown["one"]
    enters, decides = (who.may(Need(action, Subject.APPLICATIONS)) for action in (Action.ENTRY, Action.APPROVE))
    investigated = who.login in {found.investigator, *(each.found_by for each in shown["findings"])}
    asked = {each.name: each for each in (*fields.FINDING, *fields.GRANT, *fields.REFUSE)}
    first = {"limit": as_typed(found.amount_fen), "term": str(found.term), "term_unit": found.term_unit}
    return form_page(
        request,
        "applications/lending.html",
        tuple(asked.values()),
        filled or Filled(given=first),
        status=status,
        answering=enters and found.state == PUSHED and found.due_ms > portal.clock(),
        beginning=enters and found.state == ACCEPTED,
        finding=enters and found.state == DUE_DILIGENCE,
        deciding=decides and found.state == DUE_DILIGENCE and not investigated,
        own_work=decides and found.state == DUE_DILIGENCE and investigated,
        answers=[(act, words.DO[act]) for act in lending.ANSWERS],
        choices=choices(),
        **shown,
        **context(),
    )
