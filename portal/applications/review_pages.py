"""The reviewers' pages: what waits, each with the differences marked, and the two looks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from portal.applications import covering, fields, lending, listings, review, words
from portal.applications.moving import by, get, timeline
from portal.applications.shown import context, review_choices, tried
from portal.forms import Filled
from portal.parsers import edition
from portal.states import APPLICATION, SUBMITTED, Mover
from portal.web.authorize import Who
from portal.web.pages import form_page, page, portal_of, see
from portal.web.sent import read_form


def routes(app: FastAPI) -> None:
    """Add the routes of reviewers."""

    @app.get("/application-reviews")
    async def queue(request: Request) -> Response:
        """List the applications in one state."""
        portal, asked = portal_of(request), listings.REVIEW.asked(request.query_params)
        found = await portal.db.read(lambda connection: listings.review(connection, asked))
        return page(
            request,
            "applications/reviews.html",
            listing=listings.REVIEW,
            asked=asked,
            found=found,
            choices=review_choices(),
            **context(),
        )

    @app.get("/application-reviews/{application_no}")
    async def one(request: Request, who: Who, application_no: str) -> Response:
        """Show one application, what differs, and what may be done with it."""
        return await _one(request, who, application_no)

    @app.post("/application-reviews/{application_no}/opinion")
    async def opinion(request: Request, who: Who, application_no: str) -> Response:
        """Endorse or object."""
        return await _act(request, who, application_no, review.give_opinion)

    @app.post("/application-reviews/{application_no}/decision")
    async def decision(request: Request, who: Who, application_no: str) -> Response:
        """Pass on, return, reject, or have it looked at again."""
        return await _act(request, who, application_no, review.decide)


async def _act(request: Request, who: Who, application_no: str, what: Any) -> Response:  # noqa: ANN401 (one of the two)
    portal, sent = portal_of(request), await read_form(request)
    version, chosen = edition(sent, "version"), sent.get("act", "")

    async def act(given: Mapping[str, Any]) -> Response:
        reason = given["reason"]
        await portal.db.write(
            lambda connection: what(portal, connection, by(who), application_no, chosen, reason, version)
        )
        return see(f"/application-reviews/{application_no}")

    return await tried(
        fields.OPINION, sent, act, lambda filled, status: _one(request, who, application_no, filled, status)
    )


async def _one(
    request: Request, who: Who, application_no: str, filled: Filled | None = None, status: int = 200
) -> Response:
    portal = portal_of(request)

    def read(connection: Connection) -> dict[str, Any]:
        found = get(portal, connection, application_no, by(who))
        return {
            "one": found,
            "differences": review.differences(portal, connection, found),
            "moves": timeline(connection, application_no, Mover.PLATFORM),
            "findings": lending.findings_of(connection, application_no),
            "consents": covering.ended(connection, application_no, portal.clock()),
        }

    shown = await portal.db.read(read)
    state = shown["one"].state
    return form_page(
        request,
        "applications/review.html",
        fields.OPINION,
        filled,
        status=status,
        can=[(act, words.DO[act]) for act in APPLICATION.acts(state, Mover.PLATFORM)],
        step="opinion" if state == SUBMITTED else "decision",
        own_opinion=shown["one"].reviewer == who.login,
        **shown,
        **context(Mover.PLATFORM),
    )
