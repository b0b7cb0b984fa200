"""Pages of the record of use: who used what, into which models it went, each proof step by step, and all of it as a file."""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import msgspec
from fastapi import FastAPI, Query, Request
from fastapi.responses import Response

from portal.consents import asking, report, service
from portal.consents.shown import words
from portal.web.authorize import Who
from portal.web.pages import page, portal_of
from portal.web.visits import visit_of

PDF: Final = "application/pdf"
JSON: Final = "application/json"
PAGE: Final = 50


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/uses")
    async def uses(request: Request, who: Who, page_no: Annotated[int, Query(alias="page", ge=1)] = 1) -> Response:
        """List every use, each verified, and the models that the data went into."""
        portal = portal_of(request)
        found, named = await asyncio.gather(asking.uses(portal, who), words(request))
        paired = service.paired(found.uses)
        return page(
            request,
            "consents/uses.html",
            found=found,
            uses=paired[(page_no - 1) * PAGE : page_no * PAGE],
            number=page_no,
            more=len(paired) > page_no * PAGE,
            lineage=await service.lineage_of(portal, found),
            **named,
        )

    @app.get("/uses/{log_index}")
    async def one(request: Request, who: Who, log_index: int) -> Response:
        """Verify one record of use, and show every step."""
        told = await service.explained(portal_of(request), who, log_index)
        receipt = msgspec.json.format(told.receipt, indent=2).decode()
        return page(request, "consents/proof.html", told=told, receipt=receipt, **await words(request))

    @app.get("/my-data.json")
    async def data(request: Request, who: Who) -> Response:
        """Give all of it as a signed file."""
        return _file(await service.my_data(portal_of(request), who), JSON, f"my-data-{who.institution}.json")

    @app.get("/my-data.pdf")
    async def printed(request: Request, who: Who) -> Response:
        """Give all of it to print."""
        portal = portal_of(request)
        found, given, named = await asking.uses(portal, who), await service.listed(portal, who), await words(request)
        told = report.Told(
            uscc=who.institution,
            made_ms=portal.clock(),
            consents=given,
            uses=service.paired(found.uses),
            lineage=await service.lineage_of(portal, found),
            verified=found,
            items=named["items"],
            members=named["members"],
        )
        made = await asyncio.to_thread(report.render, told, visit_of(request).language)
        return _file(made, PDF, f"my-data-{who.institution}.pdf")


def _file(content: bytes, kind: str, name: str) -> Response:
    return Response(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})
