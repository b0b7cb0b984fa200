"""Pages that everybody reads: knowledge, policies, frequent questions, announcements, and the search over all of them."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from portal.content import fields, reading, service
from portal.content.kinds import ONE, PATHS, TITLES, Kind
from portal.content.regions import region_name
from portal.content.shown import shown
from portal.errors import not_found
from portal.forms import Filled, fill
from portal.web.pages import form_page, page, portal_of
from portal.web.visits import visit_of

SEARCH = (fields.QUERY, fields.KIND)


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    for kind in Kind:
        _add_kind(app, kind)

    @app.get("/search")
    async def search(request: Request, q: str = "", kind: str = "", page: int = 1) -> Response:
        """Search all that is published."""
        if not q:
            return _found(request, Filled())
        filled = fill(SEARCH, {"q": q, "kind": kind})
        if filled.faults:
            return _found(request, filled)
        language, number = visit_of(request).language, min(max(1, page), reading.MOST_PAGES)
        answer = await portal_of(request).db.read(
            lambda connection: reading.search(connection, **_asked(filled), page=number, language=language)
        )
        return _found(request, filled, answer, number)


def _add_kind(app: FastAPI, kind: Kind) -> None:
    path, listing = PATHS[kind], reading.LISTINGS[kind]

    async def listed(request: Request) -> Response:
        """List what is published of a kind."""
        portal, asked, language = portal_of(request), listing.asked(request.query_params), visit_of(request).language
        found = await portal.db.read(lambda connection: reading.listed(connection, kind, asked))
        return form_page(
            request,
            "content/policies.html" if kind is Kind.POLICY else "content/list.html",
            listing.filters,
            asked.filled,
            status=200,
            here=path,
            kind=kind,
            kinds=TITLES,
            paths=PATHS,
            listing=listing,
            asked=asked,
            choices=fields.CHOICES,
            found=found,
            texts=[shown(service.told(row), language) for row in found.rows],
            region_name=region_name,
        )

    async def one(request: Request, content_id: str) -> Response:
        """Show what is published under an id."""
        portal, language = portal_of(request), visit_of(request).language
        version = await portal.db.read(lambda connection: service.published(connection, content_id))
        if version.kind is not kind:
            raise not_found()
        return page(
            request,
            "content/one.html",
            kind=kind,
            kinds=TITLES,
            paths=PATHS,
            one=shown(version, language),
            region_name=region_name,
        )

    app.get(path)(listed)
    app.get(f"{path}/{{content_id}}")(one)


def _asked(filled: Filled) -> dict[str, str]:
    return {"query": filled.values["q"], "kind": filled.values["kind"]}


def _found(request: Request, filled: Filled, answer: reading.Answer | None = None, number: int = 1) -> Response:
    return form_page(
        request,
        "content/search.html",
        SEARCH,
        filled,
        kinds=TITLES,
        paths=PATHS,
        ones=ONE,
        choices=fields.CHOICES,
        answer=answer,
        number=number,
    )
