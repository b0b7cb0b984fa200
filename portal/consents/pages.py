"""Pages of my data: consents and their withdrawal, which shows live who has confirmed it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response

from portal.accounts.fields import PASSWORD
from portal.accounts.keys import kept_outside, unlock
from portal.consents import asking, grant_pages, outside_pages, service, uses_pages
from portal.consents.asking import KeyLocked
from portal.consents.fields import WITHDRAWAL_REASON
from portal.consents.shown import words
from portal.errors import PortalError
from portal.forms import fill
from portal.text import Text
from portal.web.authorize import API, Who
from portal.web.failures import told
from portal.web.live import events_of
from portal.web.pages import form_page, page, piece, portal_of, see
from portal.web.sent import own_path, read_form

LIVE_WAIT_MS: Final = 1000


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_key(app)
    outside_pages.routes(app)
    grant_pages.routes(app)
    uses_pages.routes(app)
    _add_consents(app)


def _add_key(app: FastAPI) -> None:
    @app.exception_handler(KeyLocked)
    async def locked(request: Request, _error: Exception) -> Response:
        if request.url.path.startswith(API):
            text = Text("Your key was closed after a while. Open it again by your password on the page /unlock.")
            return told(request, PortalError("UNAUTHENTICATED", text))
        query = f"?{request.url.query}" if request.url.query else ""
        back = request.url.path + query if request.method == "GET" else "/consents"
        return see(f"/unlock?next={quote(back)}")

    @app.get("/unlock")
    async def ask(request: Request, next: str = "/consents") -> Response:
        """Ask for the password that opens the key."""
        return form_page(request, "consents/unlock.html", (PASSWORD,), next=own_path(next))

    @app.post("/unlock")
    async def open_key(request: Request, who: Who) -> Response:
        """Open the key for this session."""
        sent = await read_form(request)
        filled, then = fill((PASSWORD,), sent), own_path(sent.get("next", ""))
        try:
            await unlock(portal_of(request), who, filled.require()["password"])
        except PortalError as error:
            filled = filled.with_faults(error.faults or {"password": error.text})
            return form_page(request, "consents/unlock.html", (PASSWORD,), filled, next=then, status=error.status)
        return see(then)


def _add_consents(app: FastAPI) -> None:
    @app.get("/consents")
    async def listed(request: Request, who: Who) -> Response:
        """List one's consents, and say whether somebody asks for one."""
        portal = portal_of(request)
        found, asked, named = await asyncio.gather(
            service.listed(portal, who), asking.requests(portal, who), words(request)
        )
        return page(request, "consents/list.html", found=found, asked=asked, **named)

    @app.get("/consents/{record_id}")
    async def one(request: Request, who: Who, record_id: str) -> Response:
        """Show one consent and offer to withdraw it."""
        portal = portal_of(request)
        found = await service.get(portal, who, record_id)
        watched = await service.was_withdrawn_here(portal, who, record_id)
        return form_page(
            request,
            "consents/one.html",
            (WITHDRAWAL_REASON,),
            one=found,
            watched=watched,
            outside=await kept_outside(portal, who),
            **await words(request),
        )

    @app.post("/consents/{record_id}/withdraw")
    async def withdraw(request: Request, who: Who, record_id: str) -> Response:
        """Withdraw a consent."""
        reason = fill((WITHDRAWAL_REASON,), await read_form(request)).require()["reason"]
        await service.withdraw(portal_of(request), who, record_id, reason)
        return see(f"/consents/{record_id}/withdrawal")

    @app.get("/consents/{record_id}/withdrawal")
    async def withdrawal(request: Request, who: Who, record_id: str) -> Response:
        """Show who has confirmed until now; the page asks again by itself."""
        done = await service.withdrawal(portal_of(request), who, record_id)
        return page(request, "consents/withdrawn.html", done=done)

    @app.get("/consents/{record_id}/withdrawal/live")
    async def live(request: Request, who: Who, record_id: str) -> Response:
        """Send the list of confirmations whenever it has changed (server-sent events), until nothing more is awaited."""
        portal = portal_of(request)
        done = await service.withdrawal(portal, who, record_id)

        async def changes() -> AsyncIterator[str]:
            latest = done
            yield piece(request, "consents/confirmations.html", done=latest)
            while latest.watched:
                newer = await service.withdrawal(portal, who, record_id, wait_ms=LIVE_WAIT_MS)
                if newer != latest:
                    yield piece(request, "consents/confirmations.html", done=newer)
                latest = newer

        return events_of(changes())
