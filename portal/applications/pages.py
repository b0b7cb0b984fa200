"""The enterprise's pages: its applications, one question a page, the consents on the way, and what became of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection

from portal.applications import covering, fields, lending, listings, service
from portal.applications.application import Application
from portal.applications.moving import By, by, get, grant_of, timeline
from portal.applications.shown import as_typed, choices, context, tried
from portal.consents import asking
from portal.consents.wanted import grant_path
from portal.errors import not_found
from portal.facts import service as facts
from portal.forms import Field, Filled
from portal.parsers import edition
from portal.products import service as products
from portal.products.product import Product
from portal.products.words import GUARANTEES, PURPOSES, UNITS
from portal.state import Portal
from portal.states import APPLICATION, Mover
from portal.text import Name, Text
from portal.web.authorize import Who
from portal.web.pages import form_page, page, portal_of, see
from portal.web.sent import read_form

FACTS: Final = "/facts"


@dataclass(frozen=True, kw_only=True)
class _Open:
    """An application while it is answered, with the product that it is for."""

    one: Application
    product: Product

    def fields(self, step: fields.Step) -> list[Field]:
        """What this step asks: not what the product leaves no choice about."""
        settled = {
            "purpose": len(self.product.purposes) == 1,
            "guarantee": len(self.product.guarantee_types) == 1,
        }
        unit = UNITS[self.product.term_unit]
        term = replace(fields.TERM, label=Text("For how long ({unit})", unit=unit))
        return [term if each is fields.TERM else each for each in step.fields if not settled.get(each.name)]

    def given(self) -> dict[str, str]:
        """What was answered so far, as it was typed."""
        return {
            "amount": as_typed(self.one.amount_fen),
            "term": str(self.one.term or ""),
            "purpose": self.one.purpose,
            "guarantee": self.one.guarantee,
        }

    def following(self) -> str:
        """The first page that is still to be answered."""
        given, path = self.given(), f"/applications/{self.one.application_no}"
        for step in fields.STEPS:
            if any(not given[each.name] for each in self.fields(step)):
                return f"{path}/steps/{step.slug}"
        return f"{path}/facts"


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_own(app)
    _add_steps(app)
    _add_submission(app)


def _add_own(app: FastAPI) -> None:
    @app.get("/applications")
    async def listed(request: Request, who: Who) -> Response:
        """List one's own applications."""
        portal, asked = portal_of(request), listings.OWN.asked(request.query_params)
        found = await portal.db.read(lambda connection: listings.own(connection, who.institution, asked))
        return page(request, "applications/list.html", found=found, **context())

    @app.post("/applications")
    async def begin(request: Request, who: Who) -> Response:
        """Begin an application for a product, or go on with the one that there is."""
        portal, code = portal_of(request), (await read_form(request)).get("product_code", "")
        number = await portal.db.write(lambda connection: service.begin(portal, connection, who, code))
        found = await portal.db.read(lambda connection: get(portal, connection, number, by(who)))
        if found.state not in service.EDITABLE:
            return see(f"/applications/{number}")
        return see((await _open(portal, by(who), number)).following())

    @app.get("/applications/{application_no}")
    async def one(request: Request, who: Who, application_no: str) -> Response:
        """Show where one application stands, and what can be done."""
        return await _own(request, who, application_no)

    @app.post("/applications/{application_no}/cancel")
    async def cancel(request: Request, who: Who, application_no: str) -> Response:
        """End it."""
        portal, sent = portal_of(request), await read_form(request)
        version = edition(sent, "version")

        async def act(given: Mapping[str, Any]) -> Response:
            reason = given["reason"]
            await portal.db.write(
                lambda connection: service.cancel(portal, connection, by(who), application_no, version, reason)
            )
            return see(f"/applications/{application_no}")

        return await tried(
            fields.CANCEL, sent, act, lambda filled, status: _own(request, who, application_no, filled, status)
        )

    @app.post("/applications/{application_no}/verify")
    async def verify(request: Request, who: Who, application_no: str) -> Response:
        """Look into one's own verified record of use for the exchanges that the bank named."""
        portal = portal_of(request)
        await portal.db.read(lambda connection: get(portal, connection, application_no, by(who)))
        used = await asking.uses(portal, who)
        exchanges = {each.receipt.exchange_id for each in used.uses}
        now_ms = portal.clock()
        await portal.db.write(lambda connection: lending.verify(connection, application_no, exchanges, now_ms))
        return see(f"/applications/{application_no}#findings")


def _add_steps(app: FastAPI) -> None:
    @app.get("/applications/{application_no}/steps/{slug}")
    async def question(request: Request, who: Who, application_no: str, slug: str) -> Response:
        """Ask one question, with what was answered before."""
        found = await _open(portal_of(request), by(who), application_no)
        return _question(request, found, _step(slug), Filled(given=found.given()))

    @app.post("/applications/{application_no}/steps/{slug}")
    async def answer(request: Request, who: Who, application_no: str, slug: str) -> Response:
        """Keep an answer and go on."""
        portal, step, sent = portal_of(request), _step(slug), await read_form(request)
        found = await _open(portal, by(who), application_no)
        version = edition(sent, "version")

        async def act(given: Mapping[str, Any]) -> Response:
            await portal.db.write(
                lambda connection: service.answer(portal, connection, by(who), application_no, version, given)
            )
            return see((await _open(portal, by(who), application_no)).following())

        async def again(filled: Filled, status: int) -> Response:
            now = await _open(portal, by(who), application_no)
            return _question(request, now, step, filled, status)

        return await tried(found.fields(step), sent, act, again)

    @app.get("/applications/{application_no}/facts")
    async def told(request: Request, who: Who, application_no: str) -> Response:
        """Ask for facts that are not known yet; go on if all are."""
        portal, onward = portal_of(request), f"/applications/{application_no}/authorizations"
        await _open(portal, by(who), application_no)
        known = await portal.db.read(lambda connection: facts.of(portal, connection, who.institution))
        return see(onward if known.complete else f"{FACTS}?next={quote(onward)}")

    @app.get("/applications/{application_no}/authorizations")
    async def authorizations(request: Request, who: Who, application_no: str) -> Response:
        """Lead to what is to be signed, one page after another, and back here; go on when everything stands."""
        portal = portal_of(request)
        found = await portal.db.read(lambda connection: get(portal, connection, application_no, by(who)))
        product = await _product(portal, found)
        looked = await covering.refresh(portal, who, found, product)
        path = f"/applications/{application_no}"
        if looked.left is not None:
            return see(grant_path(looked.left, back=f"{path}/authorizations"))
        return see(f"{path}/check" if found.state in service.EDITABLE else path)


def _add_submission(app: FastAPI) -> None:
    @app.get("/applications/{application_no}/check")
    async def check(request: Request, who: Who, application_no: str) -> Response:
        """Show everything before it is sent."""
        return await _check(request, who, application_no)

    @app.post("/applications/{application_no}/submit")
    async def submit(request: Request, who: Who, application_no: str) -> Response:
        """Send it, if every consent that the bank needs stands."""
        portal, sent = portal_of(request), await read_form(request)
        version = edition(sent, "version")
        found = await _open(portal, by(who), application_no)
        looked = await covering.look(portal, who, found.one, found.product)
        if looked.left is not None:
            return see(f"/applications/{application_no}/authorizations")

        async def act(_given: Mapping[str, Any]) -> Response:
            def write(connection: Connection) -> None:
                service.submit(portal, connection, by(who), application_no, version, looked.standing)

            await portal.db.write(write)
            return see(f"/applications/{application_no}")

        return await tried((), sent, act, lambda filled, status: _check(request, who, application_no, filled, status))


async def _own(
    request: Request, who: Who, application_no: str, filled: Filled | None = None, status: int = 200
) -> Response:
    portal = portal_of(request)

    def read(connection: Connection) -> dict[str, Any]:
        found = get(portal, connection, application_no, by(who))
        return {
            "one": found,
            "moves": timeline(connection, application_no, Mover.ENTERPRISE),
            "grant": grant_of(connection, application_no),
            "findings": lending.findings_of(connection, application_no),
            "consents": covering.ended(connection, application_no, portal.clock()),
        }

    shown = await portal.db.read(read)
    acts = APPLICATION.acts(shown["one"].state, Mover.ENTERPRISE)
    return form_page(
        request,
        "applications/one.html",
        fields.CANCEL,
        filled,
        status=status,
        can=acts,
        **shown,
        **context(Mover.ENTERPRISE),
    )


async def _check(
    request: Request, who: Who, application_no: str, filled: Filled | None = None, status: int = 200
) -> Response:
    portal = portal_of(request)
    found = await _open(portal, by(who), application_no)
    if found.following() != f"/applications/{application_no}/facts":
        return see(found.following())
    known = await portal.db.read(lambda connection: facts.of(portal, connection, who.institution))
    looked = await covering.look(portal, who, found.one, found.product)
    if looked.left is not None or not known.complete:
        return see(f"/applications/{application_no}/facts")
    steps = [(step, found.fields(step)) for step in fields.STEPS]
    return form_page(
        request,
        "applications/check.html",
        (),
        filled,
        status=status,
        one=found.one,
        product=found.product,
        steps=steps,
        told=known,
        looked=looked,
        facts_path=f"{FACTS}?next={quote(f'/applications/{application_no}/check')}",
        **context(),
    )


def _question(request: Request, found: _Open, step: fields.Step, filled: Filled, status: int = 200) -> Response:
    return form_page(
        request,
        "applications/step.html",
        found.fields(step),
        filled,
        status=status,
        step=step,
        one=found.one,
        product=found.product,
        choices=_offered(found.product),
        number=1 + fields.STEPS.index(step),
        total=len(fields.STEPS) + 2,
        amount_hint=service.amount_fault(found.product),
        **context(),
    )


def _offered(product: Product) -> Mapping[str, list[tuple[str, Text | Name]]]:
    """Only what the bank offers for the product."""
    first = choices()["purpose"][0]
    purposes = product.purposes or tuple(PURPOSES)
    return {
        "purpose": [first, *((each.value, PURPOSES[each]) for each in purposes)],
        "guarantee": [first, *((each.value, GUARANTEES[each]) for each in product.guarantee_types)],
    }


async def _open(portal: Portal, mover: By, application_no: str) -> _Open:
    def read(connection: Connection) -> _Open:
        one = service.editable(portal, connection, mover, application_no)
        return _Open(one=one, product=service.offered(connection, one.product_code, portal.clock()))

    return await portal.db.read(read)


async def _product(portal: Portal, found: Application) -> Product | None:
    if not found.product_code:
        return None
    code, version = found.product_code, found.product_version
    return await portal.db.read(lambda connection: products.version_of(connection, code, version))


def _step(slug: str) -> fields.Step:
    step = fields.BY_SLUG.get(slug)
    if step is None:
        raise not_found()
    return step
