"""The JSON API of my data: the same functions as the pages'. A closed key is opened on the page `/unlock`, by the password."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from portal.consents import asking, granting, service
from portal.consents.fields import REFUSAL_REASON, SIGNING, WITHDRAWAL_REASON, signatory_of, wanted_of
from portal.consents.wanted import Wanted
from portal.forms import fill
from portal.web.authorize import Who
from portal.web.pages import portal_of
from portal.web.visits import visit_of


class ReasonIn(BaseModel):
    """Why, if the enterprise wants to say."""

    reason: str = Field(default="", max_length=500)


class WantedIn(BaseModel):
    """What is to be consented to. An item is `id`, `id:mode` or `id:mode:provider`."""

    user: str
    purpose: str
    items: list[str] = Field(min_length=1, max_length=60)
    application_no: str = ""
    valid_days: int = 90
    keep_days: int = 90
    max_uses: int | None = None


class SignatoryIn(BaseModel):
    """Who signs in the enterprise's name. `role`: legal_rep or agent; `separate`: the word for items of the highest level."""

    signatory: str
    role: str
    separate: bool = False


class SignIn(WantedIn, SignatoryIn):
    """What is to be consented to, and who signs."""


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_consents(app)
    _add_requests(app)

    @app.get("/api/v1/uses", tags=["my data"])
    async def uses(request: Request, who: Who) -> dict[str, Any]:
        """Every recorded use, each verified; `size` and `time_ms` are those of the signed log that they stand in."""
        found = await asking.uses(portal_of(request), who)
        return {
            "size": found.size,
            "time_ms": found.time_ms,
            "witnesses": list(found.witnesses),
            "uses": [_told(each) for each in found.uses],
        }

    @app.get("/api/v1/lineage", tags=["my data"])
    async def lineage(request: Request, who: Who) -> list[dict[str, Any]]:
        """The joint computations and models that the data went into; a model's name is the registry's."""
        portal = portal_of(request)
        found = await asking.uses(portal, who)
        return [_told(each) for each in await service.lineage_of(portal, found)]


def _add_consents(app: FastAPI) -> None:
    @app.get("/api/v1/consents", tags=["my data"])
    async def listed(request: Request, who: Who) -> list[dict[str, Any]]:
        """One's own consents, those that stand first."""
        return [_told(each) for each in await service.listed(portal_of(request), who)]

    @app.post("/api/v1/consents/needed", tags=["my data"])
    async def needed(request: Request, who: Who, body: WantedIn) -> dict[str, Any]:
        """Which consents stand already for what is wanted, and which are to be signed."""
        found = await granting.needed(portal_of(request), who, _wanted(body))
        return {
            "standing": [each.consent.record_id for each in found.standing],
            "to_sign": [_told(each) for each in found.to_sign],
            "public": list(found.public),
            "missing": list(found.missing),
        }

    @app.post("/api/v1/consents", tags=["my data"])
    async def sign(request: Request, who: Who, body: SignIn) -> dict[str, Any]:
        """Sign what is still needed; the ids of all consents that cover it then."""
        filled = fill(SIGNING, _signatory(body))
        record_ids = await granting.sign(
            portal_of(request),
            who,
            _wanted(body),
            separate=filled.require()["separate"],
            signatory=signatory_of(filled),
            language=visit_of(request).language,
        )
        return {"record_ids": list(record_ids)}

    @app.post("/api/v1/consents/{record_id}/withdraw", tags=["my data"])
    async def withdraw(request: Request, who: Who, record_id: str, body: ReasonIn) -> dict[str, Any]:
        """Withdraw a consent; which nodes have confirmed by their signature, and which have not yet."""
        reason = fill((WITHDRAWAL_REASON,), {"reason": body.reason}).require()["reason"]
        return _told(await service.withdraw(portal_of(request), who, record_id, reason))

    @app.get("/api/v1/consents/{record_id}/withdrawal", tags=["my data"])
    async def withdrawal(request: Request, who: Who, record_id: str) -> dict[str, Any]:
        """Who has confirmed a withdrawal until now."""
        return _told(await service.withdrawal(portal_of(request), who, record_id))


def _add_requests(app: FastAPI) -> None:
    @app.get("/api/v1/consent-requests", tags=["my data"])
    async def requests(request: Request, who: Who) -> list[dict[str, Any]]:
        """What banks ask for."""
        return [_told(each) for each in await asking.requests(portal_of(request), who)]

    @app.post("/api/v1/consent-requests/{request_id}/grant", tags=["my data"])
    async def grant(request: Request, who: Who, request_id: str, body: SignatoryIn) -> dict[str, Any]:
        """Grant what a bank asks for, on its terms."""
        filled = fill(SIGNING, _signatory(body))
        record_id = await granting.grant_request(
            portal_of(request),
            who,
            request_id,
            separate=filled.require()["separate"],
            signatory=signatory_of(filled),
            language=visit_of(request).language,
        )
        return {"record_ids": [record_id]}

    @app.post("/api/v1/consent-requests/{request_id}/refuse", tags=["my data"])
    async def refuse(request: Request, who: Who, request_id: str, body: ReasonIn) -> dict[str, Any]:
        """Say no."""
        reason = fill((REFUSAL_REASON,), {"reason": body.reason}).require()["reason"]
        await granting.refuse_request(portal_of(request), who, request_id, reason)
        return {"refused": request_id}


def _wanted(body: WantedIn) -> Wanted:
    given = body.model_dump(include=set(WantedIn.model_fields), exclude={"items"})
    texts = {name: "" if value is None else str(value) for name, value in given.items()}
    filled, wanted = wanted_of(texts, body.items)
    filled.require()
    assert wanted is not None  # noqa: S101 (without faults there is one)
    return wanted


def _signatory(body: SignatoryIn) -> dict[str, str]:
    return {"signatory": body.signatory, "role": body.role, "separate": "yes" if body.separate else ""}


def _told(found: object) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told
