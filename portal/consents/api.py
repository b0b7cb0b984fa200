"""The JSON API of my data: the same functions as the pages'. A closed key is opened on the page `/unlock`, by the password."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from portal.consents import service
from portal.consents.pages import WHY
from portal.forms import fill
from portal.web.authorize import Who
from portal.web.pages import portal_of


class WithdrawIn(BaseModel):
    """Why, if the enterprise wants to say."""

    reason: str = Field(default="", max_length=500)


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/api/v1/consents", tags=["my data"])
    async def listed(request: Request, who: Who) -> list[dict[str, Any]]:
        """One's own consents, those that stand first."""
        return [_told(each) for each in await service.listed(portal_of(request), who)]

    @app.post("/api/v1/consents/{record_id}/withdraw", tags=["my data"])
    async def withdraw(request: Request, who: Who, record_id: str, body: WithdrawIn) -> dict[str, Any]:
        """Withdraw a consent; which nodes have confirmed by their signature, and which are away."""
        reason = fill((WHY,), {"reason": body.reason}).require()["reason"]
        done = await service.withdraw(portal_of(request), who, record_id, reason)
        return {
            "log_index": done.log_index,
            "confirmed": [_told(each) for each in done.confirmed],
            "pending": list(done.pending),
        }

    @app.get("/api/v1/uses", tags=["my data"])
    async def uses(request: Request, who: Who) -> dict[str, Any]:
        """Every recorded use, each verified; `size` and `time_ms` are those of the signed log that they stand in."""
        found = await service.uses(portal_of(request), who)
        return {
            "size": found.size,
            "time_ms": found.time_ms,
            "witnesses": list(found.witnesses),
            "uses": [_told(each) for each in found.uses],
        }


def _told(found: object) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told
