"""The page of programs that act for an account."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from portal.clients import service
from portal.errors import PortalError
from portal.forms import Field, Filled, Wrong, fill, some_text
from portal.text import Text
from portal.web.authorize import Who
from portal.web.doing import do_once
from portal.web.pages import form_page, portal_of, see
from portal.web.sent import read_form
from trust.errors import KeyMalformed
from trust.sm2 import PublicKey


def _key(text: str) -> PublicKey:
    try:
        return PublicKey.decode(text)
    except KeyMalformed:
        raise Wrong(Text("This is no public SM2 key. `xinqiao portal client-key` makes one and shows it.")) from None


FIELDS: Final = (
    Field(name="name", label=Text("Name of the program"), parse=some_text(Text("Type a name.")), longest=60),
    Field(
        name="key",
        label=Text("Its public key"),
        hint=Text("As `xinqiao portal client-key` shows it; the private half stays with the program."),
        parse=_key,
        longest=200,
    ),
)


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/account/clients")
    async def listed(request: Request, who: Who) -> Response:
        """List one's programs and offer to let one in."""
        return await _shown(request, who)

    @app.post("/account/clients")
    async def add(request: Request, who: Who) -> Response:
        """Let a program in."""
        portal, sent = portal_of(request), await read_form(request)
        filled = fill(FIELDS, sent)

        def act(connection: Connection) -> str:
            given = filled.require()
            service.add(portal, connection, who, given["name"], given["key"])
            return "/account/clients"

        try:
            return await do_once(request, sent, act)
        except PortalError as error:
            if not error.faults:
                raise
            return await _shown(request, who, filled.with_faults(error.faults))

    @app.post("/account/clients/{client_id}/end")
    async def end(request: Request, who: Who, client_id: str) -> Response:
        """Let a program in no more."""
        portal = portal_of(request)
        await portal.db.write(lambda connection: service.end(portal, connection, who, client_id))
        return see("/account/clients")


async def _shown(request: Request, who: Who, filled: Filled | None = None) -> Response:
    found = await portal_of(request).db.read(lambda connection: service.listed(connection, who.account_id))
    origin = portal_of(request).settings.origin
    return form_page(request, "clients/list.html", FIELDS, filled, found=found, origin=origin)
