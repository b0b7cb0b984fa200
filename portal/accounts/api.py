"""The JSON API of the session."""

from __future__ import annotations

from fastapi import FastAPI, Request
from pydantic import BaseModel

from portal.principal import Principal
from portal.web.pages import portal_of
from portal.web.visits import visit_of


class Session(BaseModel):
    """Who is logged in, nobody before a login; and the token of forms."""

    who: Principal | None
    csrf: str


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/api/v1/session", tags=["session"])
    async def session(request: Request) -> Session:
        """Who is logged in, and the token that calls which change something carry as X-CSRF-Token."""
        visit = visit_of(request)
        token = portal_of(request).keys.form_token(visit.visitor)
        return Session(who=visit.principal, csrf=token)
