"""The pages of operators: nodes, and exchanges; each goes on by itself, with the state of filters and order in the URL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response

from portal.consents.words import USES
from portal.hub_link import Operations
from portal.operations import listings, words
from portal.operations.service import look
from portal.text import Text
from portal.web.authorize import Who, only
from portal.web.listing import Asked, Asking
from portal.web.live import changes, events_of
from portal.web.pages import page, piece, portal_of

ANY: Final = ("", Text("Any"))
EVERY_S: Final = 2.0


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/operations")
    async def nodes(request: Request, who: Who) -> Response:
        """List nodes and alarms."""
        return await _page(request, who, listings.NODES, {"state": [ANY, *words.NODE_STATES.items()]})

    @app.get("/operations/live")
    async def nodes_live(request: Request, who: Who) -> Response:
        """Send the list of nodes whenever it has changed (server-sent events)."""
        return _live(request, who, listings.NODES)

    @app.get("/operations/exchanges")
    async def exchanges(request: Request, who: Who) -> Response:
        """List exchanges, their progress and alarms."""
        choices = {"state": [ANY, *listings.STATE_CHOICES.items()], "mode": [ANY, *USES.items()]}
        return await _page(request, who, listings.EXCHANGES, choices)

    @app.get("/operations/exchanges/live")
    async def exchanges_live(request: Request, who: Who) -> Response:
        """Send the list of exchanges whenever it has changed (server-sent events)."""
        return _live(request, who, listings.EXCHANGES)


async def _page(request: Request, who: Who, listing: Asking, choices: dict[str, Any]) -> Response:
    asked = listing.asked(request.query_params)
    shown = await _shown(request, who, listing, asked)
    return page(request, f"operations/{_SHOWS[listing.path][0]}.html", choices=choices, **shown)


def _live(request: Request, who: Who, listing: Asking) -> Response:
    asked, template = listing.asked(request.query_params), f"operations/{_SHOWS[listing.path][0]}_live.html"

    async def render() -> str:
        return piece(request, template, **await _shown(request, who, listing, asked))

    pieces = changes(render, every_s=EVERY_S, for_s=portal_of(request).settings.live_s)
    return events_of(pieces, last=False)


async def _shown(request: Request, who: Who, listing: Asking, asked: Asked) -> dict[str, Any]:
    seen = await look(portal_of(request), only(request, who))
    rows = [] if seen.found is None else _SHOWS[listing.path][1](seen.found, asked)
    return {"listing": listing, "asked": asked, "seen": seen, "rows": rows, "words": words, "uses": USES}


_SHOWS: Final[dict[str, tuple[str, Callable[[Operations, Asked], Any]]]] = {
    listings.NODES.path: ("nodes", listings.nodes),
    listings.EXCHANGES.path: ("exchanges", listings.exchanges),
}
"""Of each list its template, and what it shows."""
