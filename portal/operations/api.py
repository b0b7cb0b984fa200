"""The JSON API of operations: the same functions and filters as the pages'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request

from portal.hub_link import Operations
from portal.operations import listings
from portal.operations.alarms import Alarm
from portal.operations.service import look
from portal.web.authorize import Who, only
from portal.web.i18n import translate
from portal.web.listing import Asked, Asking
from portal.web.pages import portal_of
from portal.web.visits import visit_of


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/api/v1/operations", tags=["operations"])
    async def nodes(request: Request, who: Who, member: str = "", node: str = "", state: str = "") -> dict[str, Any]:
        """Nodes and alarms. Durations in milliseconds, null for longer than ten minutes or never; `hub`: ok or away."""
        return await _told(request, who, listings.NODES, "nodes", listings.nodes)

    @app.get("/api/v1/operations/exchanges", tags=["operations"])
    async def exchanges(
        request: Request, who: Who, member: str = "", node: str = "", state: str = "", mode: str = ""
    ) -> dict[str, Any]:
        """Exchanges and alarms: what goes on, and what changed last."""
        return await _told(request, who, listings.EXCHANGES, "exchanges", listings.exchanges)


async def _told(
    request: Request, who: Who, listing: Asking, name: str, rows: Callable[[Operations, Asked], Sequence[object]]
) -> dict[str, Any]:
    asked = listing.asked(request.query_params)
    asked.filled.require()
    seen, language = await look(portal_of(request), only(request, who)), visit_of(request).language
    told: dict[str, Any] = {"hub": "away", "alarms": [_alarm(each, language) for each in seen.alarms], name: []}
    if seen.found is not None:
        told |= {
            "hub": "ok",
            "time_ms": seen.found.time_ms,
            "version": seen.found.version,
            "logs": msgspec.to_builtins(seen.found.logs),
            name: msgspec.to_builtins(rows(seen.found, asked)),
        }
    return told


def _alarm(alarm: Alarm, language: str) -> dict[str, Any]:
    return {
        "kind": alarm.kind,
        "urgent": alarm.urgent,
        "about": alarm.about,
        "text": translate(language, alarm.text),
        "advice": translate(language, alarm.advice),
    }
