"""Pages of those who make content: the list of all versions, the form, and a version as it will be shown with what may be done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from portal.content import fields, reading, service
from portal.content.kinds import ONE, PATHS, TITLES, Kind
from portal.content.regions import region_name
from portal.content.shown import shown
from portal.errors import PortalError, not_found
from portal.forms import Filled, fill
from portal.states import CONTENT, DRAFT, OFFLINE, PUBLISHED
from portal.text import Text
from portal.web.authorize import Who
from portal.web.i18n import DEFAULT, LANGUAGES
from portal.web.once import once
from portal.web.pages import form_id, form_page, page, portal_of, see
from portal.web.sent import read_form
from portal.web.visits import visit_of

ACTS: Final[Mapping[str, Text]] = {
    "submit": Text("Send for review"),
    "recall": Text("Take back"),
    "revise": Text("Revise"),
    "approve": Text("Publish"),
    "reject": Text("Send back"),
    "withdraw": Text("Take off"),
}
NEXT: Final = "next_version"


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_lists(app)
    _add_form(app)
    _add_acts(app)


def _add_lists(app: FastAPI) -> None:
    @app.get("/content")
    async def work(request: Request) -> Response:
        """List all versions."""
        portal, asked, language = (
            portal_of(request),
            reading.WORK.asked(request.query_params),
            visit_of(request).language,
        )
        found = await portal.db.read(lambda connection: reading.work(connection, asked))
        return page(
            request,
            "content/work.html",
            listing=reading.WORK,
            asked=asked,
            choices=fields.CHOICES,
            found=found,
            texts=[shown(service.told(row), language) for row in found.rows],
            kinds=ONE,
            states=fields.STATES,
        )

    @app.get("/content/new/{kind}")
    async def new(request: Request, kind: str) -> Response:
        """Ask for a new text."""
        return _form(request, _kind(kind), Filled())

    @app.get("/content/{content_id}")
    async def one(request: Request, who: Who, content_id: str, version: int = 0) -> Response:
        """Show a version as it will be shown, and what may be done with it."""
        return await _one(request, who, content_id, version)


def _add_form(app: FastAPI) -> None:
    @app.post("/content/new/{kind}")
    async def create(request: Request, who: Who, kind: str) -> Response:
        """Begin a text."""
        portal, sent, known = portal_of(request), await read_form(request), _kind(kind)
        filled, form = fields.fill_text(known, sent), form_id(request, sent)
        if filled.faults:
            return _form(request, known, filled)
        written = service.Written(**filled.values)

        def write(connection: Connection) -> str:
            return f"/content/{service.create(portal, connection, who, known, written)}"

        return see(await portal.db.write(lambda c: once(c, form, portal.clock(), lambda: write(c))))

    @app.get("/content/{content_id}/edit")
    async def edit(request: Request, content_id: str) -> Response:
        """Show the draft in its form."""
        found = await portal_of(request).db.read(lambda connection: service.newest(connection, content_id))
        CONTENT.after(found.state, "submit")
        given = {each.name: getattr(found.written, each.name) for each in fields.fields_of(found.kind)}
        return _form(request, found.kind, Filled(given=given), found)

    @app.post("/content/{content_id}/edit")
    async def save(request: Request, who: Who, content_id: str) -> Response:
        """Save the draft."""
        portal, sent = portal_of(request), await read_form(request)
        found = await portal.db.read(lambda connection: service.newest(connection, content_id))
        filled, revision = fields.fill_text(found.kind, sent), _revision(sent)
        if filled.faults:
            return _form(request, found.kind, filled, found, revision=revision)
        written = service.Written(**filled.values)
        try:
            await portal.db.write(lambda c: service.edit(portal, c, who, content_id, revision, written))
        except PortalError as error:
            if error.code != "STALE":
                raise
            return _form(request, found.kind, filled.with_faults({"": error.text}), found, status=error.status)
        return see(f"/content/{content_id}")


def _add_acts(app: FastAPI) -> None:
    @app.post("/content/{content_id}/act")
    async def act(request: Request, who: Who, content_id: str) -> Response:
        """Send for review, take back, revise, or begin the next version."""
        portal, sent = portal_of(request), await read_form(request)
        wanted, revision = sent.get("act", ""), _revision(sent)
        if wanted == NEXT:
            await portal.db.write(lambda connection: service.begin_version(portal, connection, who, content_id))
            return see(f"/content/{content_id}/edit")
        await portal.db.write(lambda connection: service.move(portal, connection, who, content_id, revision, wanted))
        return see(f"/content/{content_id}/edit" if wanted == "revise" else f"/content/{content_id}")

    @app.post("/content/{content_id}/decision")
    async def decision(request: Request, who: Who, content_id: str) -> Response:
        """Publish, send back, or take off."""
        portal, sent = portal_of(request), await read_form(request)
        filled, wanted, revision = fill(fields.DECISION, sent), sent.get("act", ""), _revision(sent)
        if filled.faults:
            return await _one(request, who, content_id, filled=filled)
        reason = filled.values["reason"]
        await portal.db.write(
            lambda connection: service.decide(portal, connection, who, content_id, revision, wanted, reason)
        )
        return see(f"/content/{content_id}")


async def _one(request: Request, who: Who, content_id: str, version: int = 0, filled: Filled | None = None) -> Response:
    portal = portal_of(request)
    versions = await portal.db.read(lambda connection: service.versions(connection, content_id))
    found = next((each for each in versions if each.version == version), versions[0])
    acts = [act for state, act in CONTENT.moves if state == found.state]
    newest = found.version == versions[0].version
    return form_page(
        request,
        "content/version.html",
        fields.DECISION,
        filled,
        one=shown(found, visit_of(request).language),
        texts=[shown(found, each) for each in LANGUAGES if each == DEFAULT or found.written.title_en],
        versions=versions,
        kind=found.kind,
        kinds=TITLES,
        paths=PATHS,
        states=fields.STATES,
        region_name=region_name,
        editing=newest and found.state == DRAFT,
        edits=[(act, ACTS[act]) for act in acts if newest and act in service.EDITS],
        next_version=NEXT if newest and found.state in {PUBLISHED, OFFLINE} else "",
        decisions=[(act, ACTS[act]) for act in acts if act in service.DECISIONS],
        own=who.login in found.entered_by,
    )


def _form(
    request: Request,
    kind: Kind,
    filled: Filled,
    found: service.Version | None = None,
    *,
    status: int = 0,
    revision: int = 0,
) -> Response:
    """The form. Without a `revision` it is the newest one's: then saving again means to replace what is there."""
    return form_page(
        request,
        "content/edit.html",
        fields.fields_of(kind),
        filled,
        status=status or (422 if filled.faults else 200),
        kind=kind,
        kinds=ONE,
        found=found,
        revision=revision or (found.revision if found else 0),
    )


def _kind(text: str) -> Kind:
    if text not in set(Kind):
        raise not_found()
    return Kind(text)


def _revision(sent: Mapping[str, str]) -> int:
    text = sent.get("revision", "")
    return int(text) if text.isdecimal() and len(text) < 10 else 0
