"""The JSON API of facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from portal.facts import fields, service
from portal.facts.facts import Facts
from portal.forms import fill
from portal.web.authorize import Who
from portal.web.pages import portal_of


class FactsIn(BaseModel):
    """Facts as typed into the form; empty: not told. `version`: the one that was shown, 0 at first."""

    region: str = Field("", max_length=100)
    industry: str = Field("", max_length=100)
    founded: str = Field("", max_length=100)
    employees: str = Field("", max_length=100)
    revenue_wan: str = Field("", max_length=100)
    assets_wan: str = Field("", max_length=100)
    version: int = Field(ge=0, le=2**31 - 1)


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/api/v1/facts", tags=["facts"])
    async def own(request: Request, who: Who) -> dict[str, Any]:
        """What one's own enterprise told; amounts in CNY 10,000."""
        portal = portal_of(request)
        return told(await portal.db.read(lambda connection: service.of(portal, connection, who.institution)))

    @app.put("/api/v1/facts", tags=["facts"])
    async def tell(request: Request, who: Who, body: FactsIn) -> dict[str, Any]:
        """Tell them anew, all at once."""
        portal, given = portal_of(request), body.model_dump()
        facts = Facts(**_values(given), version=body.version)
        return told(await portal.db.write(lambda connection: service.keep(portal, connection, who, facts)))


def told(facts: Facts) -> dict[str, Any]:
    """Facts as JSON, with what follows from them."""
    found: dict[str, Any] = msgspec.to_builtins(facts)
    return found | {"size": facts.size.value if facts.size else None, "complete": facts.complete}


def _values(given: Mapping[str, Any]) -> Mapping[str, Any]:
    return fill(fields.FACTS, given).require()
