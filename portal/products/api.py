"""The JSON API of products: the same functions as the pages', the same permissions, the same form token.

A version is entered as its forms have it: text by name of field, ticked boxes with commas between them, modes as `item_<id>`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Header, Request
from pydantic import BaseModel, Field, StringConstraints
from sqlalchemy import Connection

from portal.errors import PortalError
from portal.facts import service as facts
from portal.forms import CORRECT, fill
from portal.products import desk, fields, publishing, search, service
from portal.products.eligibility import Finding, evaluate, overall
from portal.products.product import Product
from portal.products.required import by_mode
from portal.text import Name, Text
from portal.today import today
from portal.web.authorize import Who, only
from portal.web.i18n import translate
from portal.web.once import once
from portal.web.pages import portal_of
from portal.web.visits import visit_of

Answers = dict[Annotated[str, StringConstraints(max_length=100)], Annotated[str, StringConstraints(max_length=5000)]]
Act = Callable[[Connection, publishing.Version], publishing.Version]


class AnswersIn(BaseModel):
    """What a version says, by name of field; what is not named stays. `edition`: of the version that was read."""

    edition: int = Field(0, ge=0, le=2**31 - 1)
    answers: Answers = Field(max_length=400)


class ActIn(BaseModel):
    """`act`: submit, recall or revise; approve or reject, with a reason; nothing for a withdrawal, with a reason."""

    edition: int = Field(ge=0, le=2**31 - 1)
    act: str = Field("", max_length=20)
    reason: str = Field("", max_length=500)


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_offers(app)
    _add_entry(app)
    _add_decisions(app)


def _add_offers(app: FastAPI) -> None:
    @app.get("/api/v1/products", tags=["products"])
    async def published(request: Request) -> dict[str, Any]:
        """What is on offer today, by the same filters, orders and pages as `/products`. Amounts are CNY 10,000, rates % a year."""
        portal, asked = portal_of(request), search.LISTING.asked(request.query_params)
        if asked.filled.faults:
            raise PortalError("INVALID_ARGUMENT", CORRECT, faults=asked.filled.faults)
        day = today(portal.clock())
        offers, found = await portal.db.read(lambda connection: search.published(connection, asked, day))
        following = found.following and "/api/v1" + found.following
        return {"products": msgspec.to_builtins(offers), "following": following}

    @app.get("/api/v1/products/{product_code}", tags=["products"])
    async def one(request: Request, product_code: str) -> dict[str, Any]:
        """A product, and what each mode of the data that it needs tells the bank."""
        portal = portal_of(request)
        return _product(request, await portal.db.read(lambda connection: service.get(connection, product_code)))

    @app.get("/api/v1/products/{product_code}/eligibility", tags=["products"])
    async def eligibility(request: Request, who: Who, product_code: str) -> dict[str, Any]:
        """Its rules, answered by one's own facts: yes, no or unknown."""
        portal = portal_of(request)
        product = await portal.db.read(lambda connection: service.get(connection, product_code))
        own = await portal.db.read(lambda connection: facts.of(portal, connection, who.institution))
        findings = evaluate(product.eligibility, own, today(portal.clock()))
        return {"answer": overall(findings).value, "findings": [_finding(request, each) for each in findings]}


def _add_entry(app: FastAPI) -> None:
    @app.get("/api/v1/product-versions", tags=["products"])
    async def listed(request: Request, who: Who) -> dict[str, Any]:
        """One's own versions, or for the hub those that were submitted."""
        portal, asked = portal_of(request), desk.LISTING.asked(request.query_params)
        wanted = desk.wanted(only(request, who), asked)
        found = await portal.db.read(lambda connection: desk.LISTING.page(connection, wanted, asked))
        following = found.following and "/api/v1" + found.following
        return {"versions": [dict(row._mapping) for row in found.rows], "following": following}

    @app.get("/api/v1/product-versions/{product_code}/{version}", tags=["products"])
    async def version(request: Request, who: Who, product_code: str, version: int) -> dict[str, Any]:
        """One version, whole."""
        portal, mine = portal_of(request), only(request, who)
        return _version(await portal.db.read(lambda c: publishing.get(c, mine, product_code, version)))

    @app.post("/api/v1/product-versions", tags=["products"])
    async def begin(
        request: Request, who: Who, body: AnswersIn, idempotency_key: Annotated[str, Header(max_length=100)] = ""
    ) -> dict[str, Any]:
        """Begin a product. With the same `Idempotency-Key` it is begun once, however often it is sent."""
        portal = portal_of(request)

        def begun(connection: Connection) -> str:
            return publishing.begin(portal, connection, who, body.answers).version_id

        def write(connection: Connection) -> publishing.Version:
            form = portal.keys.digest(f"{who.account_id}|product|{idempotency_key}")
            again = bool(idempotency_key)
            version_id = (
                once(connection, form, portal.clock(), lambda: begun(connection)) if again else begun(connection)
            )
            code, _, number = version_id.partition("/")
            return publishing.get(connection, who.institution, code, int(number))

        return _version(await portal.db.write(write))

    @app.post("/api/v1/product-versions/{product_code}/{version}/next", tags=["products"])
    async def begin_next(request: Request, who: Who, product_code: str, version: int) -> dict[str, Any]:
        """Begin the next version, or get the one that was begun; the one on offer stays."""
        portal, mine = portal_of(request), only(request, who)
        return _version(await portal.db.write(lambda c: publishing.begin_next(portal, c, who, mine, product_code)))

    @app.patch("/api/v1/product-versions/{product_code}/{version}", tags=["products"])
    async def answer(request: Request, who: Who, product_code: str, version: int, body: AnswersIn) -> dict[str, Any]:
        """Change what a draft says."""
        portal = portal_of(request)
        return await _changed(
            request,
            who,
            (product_code, version),
            lambda c, found: publishing.answer(portal, c, found, body.edition, body.answers),
        )

    @app.post("/api/v1/product-versions/{product_code}/{version}/entry", tags=["products"])
    async def enter(request: Request, who: Who, product_code: str, version: int, body: ActIn) -> dict[str, Any]:
        """Submit, recall or revise."""
        portal = portal_of(request)
        return await _changed(
            request,
            who,
            (product_code, version),
            lambda c, found: publishing.enter(portal, c, who, found, body.edition, body.act),
        )


def _add_decisions(app: FastAPI) -> None:
    @app.post("/api/v1/product-versions/{product_code}/{version}/decision", tags=["products"])
    async def decide(request: Request, who: Who, product_code: str, version: int, body: ActIn) -> dict[str, Any]:
        """Approve or reject."""
        portal, reason = portal_of(request), _reason(body)
        return await _changed(
            request,
            who,
            (product_code, version),
            lambda c, found: publishing.decide(portal, c, who, found, body.edition, body.act, reason),
        )

    @app.post("/api/v1/product-versions/{product_code}/{version}/withdrawal", tags=["products"])
    async def withdraw(request: Request, who: Who, product_code: str, version: int, body: ActIn) -> dict[str, Any]:
        """Take a product off the market."""
        portal, reason = portal_of(request), _reason(body)
        return await _changed(
            request,
            who,
            (product_code, version),
            lambda c, found: publishing.withdraw(portal, c, who, found, body.edition, reason),
        )


async def _changed(request: Request, who: Who, which: tuple[str, int], act: Act) -> dict[str, Any]:
    portal, mine = portal_of(request), only(request, who)
    return _version(await portal.db.write(lambda c: act(c, publishing.get(c, mine, *which))))


def _reason(body: ActIn) -> str:
    reason: str = fill(fields.DECISION, {"reason": body.reason}).require()["reason"]
    return reason


def _product(request: Request, product: Product) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(product)
    learns = {each.mode.value: _said(request, each.learns) for each in by_mode(product)}
    return told | {"learns": learns}


def _version(found: publishing.Version) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told


def _finding(request: Request, found: Finding) -> dict[str, Any]:
    told = None if found.told is None else _said(request, found.told)
    return {
        "answer": found.answer.value,
        "demand": _said(request, found.demand),
        "fact": found.fact,
        "told": told,
    }


def _said(request: Request, text: Text | Name) -> str:
    return translate(visit_of(request).language, text)
