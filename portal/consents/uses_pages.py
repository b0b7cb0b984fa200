"""Pages of the record of use: who used what."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from portal.consents import service
from portal.consents.shown import words
from portal.web.authorize import Who
from portal.web.pages import page, portal_of


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/uses")
    async def uses(request: Request, who: Who) -> Response:
        """List every use, each verified."""
        found = await service.uses(portal_of(request), who)
        return page(request, "consents/uses.html", found=found, uses=service.paired(found.uses), **await words(request))
