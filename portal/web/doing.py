"""What a form does, done once however often it is sent, and the page that it leads to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import Request
from fastapi.responses import Response
from sqlalchemy import Connection

from portal.web.once import once
from portal.web.pages import portal_of, see
from portal.web.visits import visit_of


async def do_once(request: Request, sent: Mapping[str, str], act: Callable[[Connection], str]) -> Response:
    """Do it in one transaction and go where it says; whatever `act` raises, nothing was done."""
    portal = portal_of(request)
    form = portal.keys.digest(f"{visit_of(request).visitor}|{sent.get('once', '')}")
    path = await portal.db.write(
        lambda connection: once(connection, form, portal.clock(), lambda: act(connection)),
    )
    return see(path)
