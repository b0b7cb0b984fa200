"""The JSON API of registration: the same functions as the pages', the same permissions, the same form token."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from portal.errors import PortalError
from portal.forms import fill
from portal.registration import checks, fields, queue, service
from portal.text import Text
from portal.web.authorize import Who
from portal.web.pages import portal_of


class OpinionIn(BaseModel):
    """A first reviewer's opinion."""

    act: str = Field(max_length=20)
    reason: str = Field(max_length=500)


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/api/v1/registration", tags=["registration"])
    async def own(request: Request, who: Who) -> dict[str, Any]:
        """Where one's own registration stands."""
        portal = portal_of(request)
        found = await portal.db.read(lambda connection: service.of_account(portal, connection, who.account_id))
        return _told(found)

    @app.get("/api/v1/registrations", tags=["registration"])
    async def listed(request: Request) -> dict[str, Any]:
        """The registrations that the page's filters leave; telephone numbers are masked. `following`: the next page's query."""
        portal, asked = portal_of(request), queue.LISTING.asked(request.query_params)
        asked.filled.require()
        found, following = await portal.db.read(lambda connection: queue.found(portal, connection, asked))
        return {"rows": [_told(each) for each in found], "following": following.partition("?")[2]}

    @app.get("/api/v1/registrations/{registration_id}", tags=["registration"])
    async def one(request: Request, registration_id: str) -> dict[str, Any]:
        """One registration, with what is registered under its code (`check`) and the names of what differs."""
        portal = portal_of(request)
        found = await portal.db.read(lambda connection: service.get(portal, connection, registration_id))
        check = await portal.db.read(lambda connection: checks.of(connection, registration_id, found.ent_name))
        return _told(found) | {"check": msgspec.to_builtins(check)}

    @app.post("/api/v1/registrations/{registration_id}/opinion", tags=["registration"])
    async def opinion(request: Request, who: Who, registration_id: str, body: OpinionIn) -> dict[str, Any]:
        """Endorse or object."""
        portal = portal_of(request)
        reason = fill(fields.OPINION, {"reason": body.reason}).require()["reason"]
        if body.act not in service.OPINIONS:
            raise PortalError("INVALID_ARGUMENT", Text("Say endorse or object."))
        await portal.db.write(
            lambda connection: service.give_opinion(portal, connection, who, registration_id, body.act, reason)
        )
        return _told(await portal.db.read(lambda connection: service.get(portal, connection, registration_id)))


def _told(found: service.Registration) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told
