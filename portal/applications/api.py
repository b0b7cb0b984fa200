"""The JSON API of applications: the same functions as the pages', the same permissions, the same form token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from portal.applications import covering, fields, financing, lending, listings, review, service
from portal.applications.financing_pages import values_of
from portal.applications.lending_pages import terms_of
from portal.applications.moving import by, get, grant_of, timeline
from portal.errors import PortalError
from portal.forms import Field as FormField
from portal.forms import fill
from portal.states import Mover
from portal.text import Text
from portal.web.authorize import Who, only
from portal.web.listing import Found
from portal.web.pages import portal_of

TAG = "applications"
# Each side reads the names of its own people only.
HIDDEN: Final[Mapping[Mover, frozenset[str]]] = {
    Mover.ENTERPRISE: frozenset({"reviewer", "investigator", "found_by", "granted_by"}),
    Mover.BANK: frozenset({"reviewer"}),
    Mover.PLATFORM: frozenset({"investigator", "found_by", "granted_by"}),
}


class Begun(BaseModel):
    """For which product."""

    product_code: str = Field(max_length=60)


class Answers(BaseModel):
    """An application's answers; what is left out stays as it is. `version`: the one that was read."""

    version: int
    amount: str | None = Field(default=None, max_length=20)
    term: str | None = Field(default=None, max_length=6)
    purpose: str | None = Field(default=None, max_length=40)
    guarantee: str | None = Field(default=None, max_length=40)


class Act(BaseModel):
    """An act, with its reason. `version`: the one that was read."""

    version: int
    act: str = Field(default="", max_length=20)
    reason: str = Field(default="", max_length=500)


class FindingIn(BaseModel):
    """That data was used in an exchange. `kind`: query, score; `agrees`: yes, no or empty."""

    version: int
    kind: str = Field(max_length=10)
    exchange_id: str = Field(max_length=40)
    agrees: str = Field(default="", max_length=3)
    note: str = Field(default="", max_length=300)


class DecisionIn(BaseModel):
    """Terms of a grant (amounts in CNY 10,000, rates in % a year); or a code and reason of a refusal, and no terms."""

    version: int
    limit: str = Field(default="", max_length=20)
    annual_rate: str = Field(default="", max_length=8)
    penalty_rate: str = Field(default="", max_length=8)
    term: str = Field(default="", max_length=6)
    term_unit: str = Field(default="", max_length=1)
    refusal: str = Field(default="", max_length=20)
    reason: str = Field(default="", max_length=500)


class DemandIn(BaseModel):
    """A financing request; amount in CNY 10,000."""

    amount: str = Field(max_length=20)
    term: str = Field(max_length=6)
    term_unit: str = Field(max_length=1)
    purpose: str = Field(max_length=40)
    guarantee: str = Field(max_length=40)


class Page(BaseModel):
    """One page of a list. `following`: the query of the page after, empty on the last one."""

    rows: list[dict[str, Any]]
    following: str


class Stated(BaseModel):
    """The id of a financing request."""

    demand_id: str


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_own(app)
    _add_review(app)
    _add_lending(app)
    _add_financing(app)


def _add_own(app: FastAPI) -> None:
    @app.get("/api/v1/applications", tags=[TAG])
    async def listed(request: Request, who: Who) -> Page:
        """One's own applications, the newest first. `following`: the page after, as its query."""
        asked = listings.OWN.asked(request.query_params)
        return _page(await portal_of(request).db.read(lambda c: listings.own(c, who.institution, asked)))

    @app.post("/api/v1/applications", tags=[TAG])
    async def begin(request: Request, who: Who, body: Begun) -> dict[str, Any]:
        """Begin a draft for a product, or find the application that is in flight."""
        portal = portal_of(request)
        number = await portal.db.write(lambda c: service.begin(portal, c, who, body.product_code))
        return await _told(request, who, number)

    @app.get("/api/v1/applications/{application_no}", tags=[TAG])
    async def one(request: Request, who: Who, application_no: str) -> dict[str, Any]:
        """One's own application, its moves, findings and grant."""
        return await _told(request, who, application_no)

    @app.put("/api/v1/applications/{application_no}", tags=[TAG])
    async def answer(request: Request, who: Who, application_no: str, body: Answers) -> dict[str, Any]:
        """Keep answers of a draft, or of what was returned."""
        portal, sent = portal_of(request), body.model_dump(exclude={"version"}, exclude_none=True)
        asked = [each for step in fields.STEPS for each in step.fields if each.name in sent]
        given = fill(asked, sent).require()
        await portal.db.write(lambda c: service.answer(portal, c, by(who), application_no, body.version, given))
        return await _told(request, who, application_no)

    @app.post("/api/v1/applications/{application_no}/submit", tags=[TAG])
    async def submit(request: Request, who: Who, application_no: str, body: Act) -> dict[str, Any]:
        """Send it. Consents that are still to be signed are an error of their own (WRONG_STATE)."""
        portal = portal_of(request)
        found = await portal.db.read(lambda c: service.editable(portal, c, by(who), application_no))
        product = await portal.db.read(lambda c: service.offered(c, found.product_code, portal.clock()))
        looked = await covering.look(portal, who, found, product)
        if looked.left is not None:
            raise PortalError(
                "WRONG_STATE", Text("Consents that the bank needs for this product are still to be signed.")
            )
        standing = looked.standing
        await portal.db.write(lambda c: service.submit(portal, c, by(who), application_no, body.version, standing))
        return await _told(request, who, application_no)

    @app.post("/api/v1/applications/{application_no}/cancel", tags=[TAG])
    async def cancel(request: Request, who: Who, application_no: str, body: Act) -> dict[str, Any]:
        """End it before it is granted; `act` is not looked at."""
        portal, reason = portal_of(request), _reason(body.reason)
        await portal.db.write(lambda c: service.cancel(portal, c, by(who), application_no, body.version, reason))
        return await _told(request, who, application_no)


def _add_review(app: FastAPI) -> None:
    @app.get("/api/v1/application-reviews", tags=[TAG])
    async def queue(request: Request) -> Page:
        """The applications in one state (`state`), the oldest first."""
        asked = listings.REVIEW.asked(request.query_params)
        return _page(await portal_of(request).db.read(lambda c: listings.review(c, asked)))

    @app.post("/api/v1/application-reviews/{application_no}/opinion", tags=[TAG])
    async def opinion(request: Request, who: Who, application_no: str, body: Act) -> dict[str, Any]:
        """Endorse or object."""
        portal, reason = portal_of(request), _reason(body.reason)
        give = review.give_opinion
        await portal.db.write(lambda c: give(portal, c, by(who), application_no, body.act, reason, body.version))
        return await _told(request, who, application_no)

    @app.post("/api/v1/application-reviews/{application_no}/decision", tags=[TAG])
    async def decision(request: Request, who: Who, application_no: str, body: Act) -> dict[str, Any]:
        """Push, return, reject or look_again."""
        portal, reason = portal_of(request), _reason(body.reason)
        decide = review.decide
        await portal.db.write(lambda c: decide(portal, c, by(who), application_no, body.act, reason, body.version))
        return await _told(request, who, application_no)


def _add_lending(app: FastAPI) -> None:
    @app.get("/api/v1/lending", tags=[TAG])
    async def queue(request: Request, who: Who) -> Page:
        """What was passed on to the bank, by the filters and orders of the page."""
        asked, bank = listings.QUEUE.asked(request.query_params), only(request, who)
        return _page(await portal_of(request).db.read(lambda c: listings.queue(c, bank, asked)))

    @app.get("/api/v1/lending/{application_no}", tags=[TAG])
    async def one(request: Request, who: Who, application_no: str) -> dict[str, Any]:
        """One application of the bank."""
        return await _told(request, who, application_no)

    @app.post("/api/v1/lending/{application_no}/answer", tags=[TAG])
    async def answer(request: Request, who: Who, application_no: str, body: Act) -> dict[str, Any]:
        """Accept or decline."""
        portal, reason = portal_of(request), _reason(body.reason)
        give = lending.answer
        await portal.db.write(lambda c: give(portal, c, by(who), application_no, body.act, reason, body.version))
        return await _told(request, who, application_no)

    @app.post("/api/v1/lending/{application_no}/investigation", tags=[TAG])
    async def investigate(request: Request, who: Who, application_no: str, body: Act) -> dict[str, Any]:
        """Begin due diligence; only `version` is looked at."""
        portal = portal_of(request)
        await portal.db.write(lambda c: lending.investigate(portal, c, by(who), application_no, body.version))
        return await _told(request, who, application_no)

    @app.post("/api/v1/lending/{application_no}/findings", tags=[TAG])
    async def find(request: Request, who: Who, application_no: str, body: FindingIn) -> dict[str, Any]:
        """Record that data was used at the bank's own node."""
        portal, given = portal_of(request), fill(fields.FINDING, body.model_dump(exclude={"version"})).require()
        number, version = application_no, body.version
        await portal.db.write(lambda c: lending.find(portal, c, by(who), number, version, **given))
        return await _told(request, who, application_no)

    @app.post("/api/v1/lending/{application_no}/decision", tags=[TAG])
    async def decide(request: Request, who: Who, application_no: str, body: DecisionIn) -> dict[str, Any]:
        """Grant by the terms, or refuse if `refusal` has a code."""
        portal, sent = portal_of(request), body.model_dump(exclude={"version"})
        refused = bool(body.refusal)
        asked: tuple[FormField, ...] = fields.REFUSE if refused else fields.GRANT
        given, mover = fill(asked, sent).require(), by(who)
        number, version = application_no, body.version

        def write(connection: Connection) -> None:
            if refused:
                lending.refuse(portal, connection, mover, number, given["refusal"], given["reason"], version)
            else:
                lending.grant(portal, connection, mover, number, terms_of(given), version)

        await portal.db.write(write)
        return await _told(request, who, application_no)


def _add_financing(app: FastAPI) -> None:
    @app.get("/api/v1/financing", tags=[TAG])
    async def own(request: Request, who: Who) -> list[dict[str, Any]]:
        """One's own financing requests."""
        return [_plain(each) for each in await portal_of(request).db.read(lambda c: financing.own(c, who))]

    @app.post("/api/v1/financing", tags=[TAG])
    async def state(request: Request, who: Who, body: DemandIn) -> Stated:
        """Ask all banks; the request's id."""
        portal, values = portal_of(request), values_of(fill(fields.DEMAND, body.model_dump()).require())
        return Stated(demand_id=await portal.db.write(lambda c: financing.state_demand(portal, c, who, values)))

    @app.get("/api/v1/demands", tags=[TAG])
    async def demands(request: Request) -> Page:
        """What is open to all banks, without who asks."""
        asked = listings.DEMANDS.asked(request.query_params)
        return _page(await portal_of(request).db.read(lambda c: listings.open_demands(c, asked)))

    @app.post("/api/v1/demands/{demand_id}/take", tags=[TAG])
    async def take(request: Request, who: Who, demand_id: str) -> dict[str, Any]:
        """Take one for the bank; the application that it became."""
        portal = portal_of(request)
        return await _told(request, who, await portal.db.write(lambda c: financing.take(portal, c, who, demand_id)))


def _reason(text: str) -> str:
    return str(fill(fields.OPINION, {"reason": text}).require()["reason"])


def _page(found: Found) -> Page:
    return Page(rows=[dict(row._mapping) for row in found.rows], following=found.following.partition("?")[2])


async def _told(request: Request, who: Who, application_no: str) -> dict[str, Any]:
    portal, mover = portal_of(request), by(who)

    def read(connection: Connection) -> dict[str, Any]:
        told = _plain(get(portal, connection, application_no, mover))
        count, over = covering.ended(connection, application_no, portal.clock())
        granted = grant_of(connection, application_no)
        whole = told | {
            "moves": [_plain(each) for each in timeline(connection, application_no, mover.mover)],
            "findings": [_plain(each) for each in lending.findings_of(connection, application_no)],
            "grant": None if granted is None else _plain(granted),
            "consents": {"given": count, "over": over},
        }
        return {
            name: _without(value, HIDDEN[mover.mover])
            for name, value in whole.items()
            if name not in HIDDEN[mover.mover]
        }

    return await portal.db.read(read)


def _without(value: Any, hidden: frozenset[str]) -> Any:  # noqa: ANN401 (JSON)
    if isinstance(value, list):
        return [_without(each, hidden) for each in value]
    return {name: one for name, one in value.items() if name not in hidden} if isinstance(value, dict) else value


def _plain(found: object) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told
