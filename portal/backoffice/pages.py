"""Pages of the back office."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.responses import Response

from portal.backoffice import acts
from portal.errors import PortalError
from portal.forms import Filled, fill
from portal.web.authorize import Who
from portal.web.pages import form_page, portal_of
from portal.web.sent import read_form


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_acts(app)


def _add_acts(app: FastAPI) -> None:
    @app.get("/events")
    async def listed(request: Request) -> Response:
        """Show the record of acts."""
        return await _acts(request, dict(request.query_params))

    @app.post("/events/export")
    async def export(request: Request, who: Who) -> Response:
        """Give the acts that the filters leave as a file."""
        portal, sent = portal_of(request), await read_form(request)
        asked, filled = acts.LISTING.asked(sent), fill(acts.EXPORT, sent)
        try:
            asked.filled.require()
            reason = filled.require()["reason"]
        except PortalError as error:
            return await _acts(request, sent, filled.with_faults(error.faults))
        file = await portal.db.write(lambda connection: acts.export(portal, connection, who, asked, reason))
        headers = {"Content-Disposition": f'attachment; filename="events-{file.export_id}.csv"'}
        # The mark tells spreadsheets that it is UTF-8.
        return Response("\ufeff" + file.text, media_type="text/csv; charset=utf-8", headers=headers)


async def _acts(request: Request, given: Mapping[str, str], filled: Filled | None = None) -> Response:
    asked = acts.LISTING.asked(given)
    found = await portal_of(request).db.read(lambda connection: acts.found(connection, asked))
    return form_page(
        request, "backoffice/events.html", acts.EXPORT, filled, listing=acts.LISTING, asked=asked, found=found
    )
