"""The JSON API of content: everybody reads what is published; editors and reviewers work by the same functions as the pages."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from portal.accounts.fields import REASON
from portal.content import fields, reading, service
from portal.content.kinds import Kind
from portal.content.visitors import SEARCH
from portal.errors import PortalError, not_found
from portal.forms import fill
from portal.text import Text
from portal.web.authorize import Who
from portal.web.pages import portal_of
from portal.web.visits import visit_of


class WrittenIn(BaseModel):
    """What an editor writes, as the form has it: title, body, and by kind the rest."""

    fields: dict[str, str] = Field(max_length=20)


class EditIn(WrittenIn):
    """A change of a draft. `revision`: of what was changed."""

    revision: int


class ActIn(BaseModel):
    """submit, recall, revise, next_version; for reviewers approve, reject, withdraw, with a reason."""

    act: str = Field(max_length=20)
    revision: int = 0
    reason: str = Field(default="", max_length=500)


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_reading(app)
    _add_work(app)


def _add_reading(app: FastAPI) -> None:
    @app.get("/api/v1/published/{kind}", tags=["content"])
    async def listed(
        request: Request,
        kind: str,
        region: str = "",
        since: str = "",
        until: str = "",
        sort: str = "",
        after: str = "",
    ) -> dict[str, Any]:
        """What is published of a kind; `following` is the query of the next page. Filters are for policies: province, days."""
        known = _kind(kind)
        query = {"region": region, "since": since, "until": until, "sort": sort, "after": after}
        asked = reading.LISTINGS[known].asked(query)
        asked.filled.require()
        found = await portal_of(request).db.read(lambda connection: reading.listed(connection, known, asked))
        texts = [_read(service.told(row)) for row in found.rows]
        return {"texts": texts, "following": found.following.partition("?")[2]}

    @app.get("/api/v1/published/{kind}/{content_id}", tags=["content"])
    async def one(request: Request, kind: str, content_id: str) -> dict[str, Any]:
        """One published text; its body is Markdown without HTML."""
        found = await portal_of(request).db.read(lambda connection: service.published(connection, content_id))
        if found.kind is not _kind(kind):
            raise not_found()
        return _read(found)

    @app.get("/api/v1/search", tags=["content"])
    async def search(request: Request, q: str, kind: str = "", page: int = 1) -> dict[str, Any]:
        """What answers a query, the best first; in titles and snippets `hit` marks what was looked for."""
        asked = fill(SEARCH, {"q": q, "kind": kind}).require()
        number, language = min(max(1, page), reading.MOST_PAGES), visit_of(request).language
        answer = await portal_of(request).db.read(
            lambda c: reading.search(c, asked["q"], kind=asked["kind"], page=number, language=language)
        )
        hits = [
            {
                "content_id": hit.version.content_id,
                "kind": hit.version.kind,
                "title": msgspec.to_builtins(hit.title),
                "snippet": msgspec.to_builtins(hit.snippet),
            }
            for hit in answer.hits
        ]
        return {"hits": hits, "total": answer.total, "more": answer.more}


def _add_work(app: FastAPI) -> None:
    @app.get("/api/v1/content", tags=["content"])
    async def work(
        request: Request, kind: str = "", state: str = "", sort: str = "", after: str = ""
    ) -> dict[str, Any]:
        """All versions; `following` is the query of the next page."""
        asked = reading.WORK.asked({"kind": kind, "state": state, "sort": sort, "after": after})
        asked.filled.require()
        found = await portal_of(request).db.read(lambda connection: reading.work(connection, asked))
        texts = [_told(service.told(row)) for row in found.rows]
        return {"texts": texts, "following": found.following.partition("?")[2]}

    @app.get("/api/v1/content/{content_id}", tags=["content"])
    async def versions(request: Request, content_id: str) -> list[dict[str, Any]]:
        """All versions of a text, the newest first."""
        found = await portal_of(request).db.read(lambda connection: service.versions(connection, content_id))
        return [_told(each) for each in found]

    @app.post("/api/v1/content/new/{kind}", tags=["content"])
    async def create(request: Request, who: Who, kind: str, body: WrittenIn) -> dict[str, str]:
        """Begin a text."""
        portal, known = portal_of(request), _kind(kind)
        written = service.Written(**fields.fill_text(known, body.fields).require())
        return {
            "content_id": await portal.db.write(lambda c: service.create(portal, c, who, known, written)),
        }

    @app.post("/api/v1/content/{content_id}/edit", tags=["content"])
    async def edit(request: Request, who: Who, content_id: str, body: EditIn) -> list[dict[str, Any]]:
        """Save the draft."""
        portal = portal_of(request)
        found = await portal.db.read(lambda connection: service.newest(connection, content_id))
        written = service.Written(**fields.fill_text(found.kind, body.fields).require())
        await portal.db.write(lambda c: service.edit(portal, c, who, content_id, body.revision, written))
        return await versions(request, content_id)

    @app.post("/api/v1/content/{content_id}/act", tags=["content"])
    async def act(request: Request, who: Who, content_id: str, body: ActIn) -> list[dict[str, Any]]:
        """Send for review, take back, revise, or begin the next version."""
        portal = portal_of(request)
        if body.act == "next_version":
            await portal.db.write(lambda c: service.begin_version(portal, c, who, content_id))
        else:
            await portal.db.write(lambda c: service.move(portal, c, who, content_id, body.revision, body.act))
        return await versions(request, content_id)

    @app.post("/api/v1/content/{content_id}/decision", tags=["content"])
    async def decision(request: Request, who: Who, content_id: str, body: ActIn) -> list[dict[str, Any]]:
        """Publish, send back, or take off."""
        portal, reason = portal_of(request), fill((REASON,), {"reason": body.reason}).require()["reason"]
        await portal.db.write(lambda c: service.decide(portal, c, who, content_id, body.revision, body.act, reason))
        return await versions(request, content_id)


def _kind(text: str) -> Kind:
    if text not in set(Kind):
        raise PortalError("NOT_FOUND", Text("There is no such kind of text."))
    return Kind(text)


def _read(found: service.Version) -> dict[str, Any]:
    """What everybody may know of a published text: not who entered it."""
    written: dict[str, Any] = msgspec.to_builtins(found.written)
    public = {"content_id": found.content_id, "kind": found.kind, "version": found.version, "example": found.example}
    return {**public, **written, "published_ms": found.published_ms}


def _told(found: service.Version) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told
