"""The JSON API of the session."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request

from portal.web.pages import portal_of
from portal.web.visits import visit_of


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/api/v1/session", tags=["session"])
    async def session(request: Request) -> dict[str, Any]:
        """Who is logged in, and the token that calls which change something carry as X-CSRF-Token."""
        visit = visit_of(request)
        token = portal_of(request).keys.form_token(visit.visitor)
        return {"who": msgspec.to_builtins(visit.principal), "csrf": token}
