"""Pages of financing requests: an enterprise asks all banks at once; banks see them without its name, and one takes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from portal.applications import fields, financing, listings, words
from portal.applications.application import WAN
from portal.applications.shown import choices, context, tried
from portal.facts import service as facts
from portal.forms import Filled
from portal.web.authorize import Who
from portal.web.once import once
from portal.web.pages import form_page, page, portal_of, see
from portal.web.sent import read_form
from portal.web.visits import visit_of


def routes(app: FastAPI) -> None:
    """Add the routes of financing requests."""

    @app.get("/financing")
    async def own(request: Request, who: Who) -> Response:
        """Show one's own requests and the form for another one."""
        return await _own(request, who)

    @app.post("/financing")
    async def state(request: Request, who: Who) -> Response:
        """Ask all banks."""
        portal, visit, sent = portal_of(request), visit_of(request), await read_form(request)
        form = portal.keys.digest(f"{visit.visitor}|{sent.get('once', '')}")

        async def act(given: Mapping[str, Any]) -> Response:
            values = values_of(given)

            def write(connection: Connection) -> str:
                financing.state_demand(portal, connection, who, values)
                return "/financing"

            return see(await portal.db.write(lambda c: once(c, form, portal.clock(), lambda: write(c))))

        return await tried(fields.DEMAND, sent, act, lambda filled, status: _own(request, who, filled, status))

    @app.post("/financing/{demand_id}/withdraw")
    async def withdraw(request: Request, who: Who, demand_id: str) -> Response:
        """Take it back."""
        portal = portal_of(request)
        await portal.db.write(lambda connection: financing.withdraw(portal, connection, who, demand_id))
        return see("/financing")

    @app.get("/demands")
    async def listed(request: Request) -> Response:
        """List what is open, without who asks."""
        portal, asked = portal_of(request), listings.DEMANDS.asked(request.query_params)
        found = await portal.db.read(lambda connection: listings.open_demands(connection, asked))
        return page(
            request,
            "applications/demands.html",
            listing=listings.DEMANDS,
            asked=asked,
            found=found,
            choices=choices(),
            **context(),
        )

    @app.post("/demands/{demand_id}/take")
    async def take(request: Request, who: Who, demand_id: str) -> Response:
        """Take it for the bank."""
        portal = portal_of(request)
        number = await portal.db.write(lambda connection: financing.take(portal, connection, who, demand_id))
        return see(f"/lending/{number}")


def values_of(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the form says, as the row has it."""
    return {name: given[name] for name in given if name != "amount"} | {"amount_fen": int(given["amount"] * WAN)}


async def _own(request: Request, who: Who, filled: Filled | None = None, status: int = 200) -> Response:
    portal = portal_of(request)

    def read(connection: Connection) -> dict[str, Any]:
        known = facts.of(portal, connection, who.institution)
        return {"found": financing.own(connection, who), "complete": known.complete}

    shown = await portal.db.read(read)
    return form_page(
        request,
        "applications/financing.html",
        fields.DEMAND,
        filled or Filled(given={"term_unit": "M"}),
        status=status,
        demand_states=words.DEMAND_STATES,
        open_now=any(each.state == "open" for each in shown["found"]),
        choices=choices(),
        **shown,
        **context(),
    )
