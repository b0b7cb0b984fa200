"""The desks: where a member enters its products, and where the hub decides about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from sqlalchemy import Connection, Select

from portal.consents.words import MODES
from portal.errors import PortalError, not_found
from portal.facts.facts import Facts
from portal.forms import Field, Filled, fill
from portal.parsers import edition, plain
from portal.products import fields, publishing, shown, words
from portal.products.eligibility import evaluate
from portal.products.required import by_mode
from portal.products.tables import versions
from portal.states import DRAFT, PRODUCT
from portal.text import Text
from portal.web.authorize import Who, only
from portal.web.doing import do_once
from portal.web.listing import Asked, Listing, Order
from portal.web.pages import form_page, page, portal_of
from portal.web.sent import read_form

Given = Mapping[str, str]
Act = Callable[[Connection, publishing.Version, int], publishing.Version]

LISTING: Final = Listing(
    path="/product-versions",
    filters=(
        Field(name="state", label=Text("State"), parse=plain, kind="choice", longest=20),
        Field(name="name", label=Text("Name of the product"), parse=plain, longest=60),
        Field(name="institution", label=Text("Institution"), parse=plain, longest=41),
    ),
    orders=(Order(name="changed", title=Text("Last change"), column=versions.c.changed_ms),),
    key=versions.c.version_id,
    first="-changed",
)
OWN: Final = replace(LISTING, filters=LISTING.filters[:2])
ACTS: Final = {
    "submit": Text("Submit for review"),
    "recall": Text("Take back to change it"),
    "revise": Text("Change it"),
    "approve": Text("Approve and publish"),
    "reject": Text("Reject"),
}


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_list(app)
    _add_sections(app)
    _add_acts(app)


def wanted(mine: str | None, asked: Asked) -> Select[Any]:
    """The versions that a URL asks for, within an institution or, for the hub, of all."""
    found, given = publishing.rows(mine), asked.values
    if "state" in given:
        found = found.where(versions.c.state == given["state"])
    if "name" in given:
        found = found.where(versions.c.product_name.contains(given["name"], autoescape=True))
    if "institution" in given:
        found = found.where(versions.c.institution == given["institution"])
    return found


def _add_list(app: FastAPI) -> None:
    @app.get("/product-versions")
    async def listed(request: Request, who: Who) -> Response:
        """List the versions: one's own, or for the hub those that were submitted."""
        portal, mine = portal_of(request), only(request, who)
        listing = LISTING if mine is None else OWN
        asked = listing.asked(request.query_params)
        found = await portal.db.read(lambda connection: listing.page(connection, wanted(mine, asked), asked))
        states = [(state, title) for state, title in words.STATES.items() if mine is not None or state != DRAFT]
        choices = {"state": [("", Text("Any")), *states]}
        return page(
            request, "products/desk.html", listing=listing, asked=asked, found=found, choices=choices, words=words
        )

    @app.get("/product-versions/{product_code}/{version}")
    async def one(request: Request, who: Who, product_code: str, version: str) -> Response:
        """Show a version and what may be done with it."""
        return await _version(request, await _found(request, who, product_code, version))

    @app.post("/product-versions")
    async def begin(request: Request, who: Who) -> Response:
        """Begin a new product."""
        portal, sent = portal_of(request), await read_form(request)
        return await do_once(request, sent, lambda c: _first_section(publishing.begin(portal, c, who, {})))

    @app.post("/product-versions/{product_code}/{version}/next")
    async def begin_next(request: Request, who: Who, product_code: str, version: str) -> Response:
        """Begin the next version of a product."""
        portal, sent, mine = portal_of(request), await read_form(request), only(request, who)
        return await do_once(request, sent, lambda c: publishing.begin_next(portal, c, who, mine, product_code).path)


def _add_sections(app: FastAPI) -> None:
    @app.get("/product-versions/{product_code}/{version}/sections/{slug}")
    async def section(request: Request, who: Who, product_code: str, version: str, slug: str) -> Response:
        """Show one section of a draft, as far as it is filled in."""
        found = await _found(request, who, product_code, version)
        if found.state != DRAFT:
            raise not_found()
        return _section(request, found, slug, Filled(given=found.answers))

    @app.post("/product-versions/{product_code}/{version}/sections/{slug}")
    async def keep(request: Request, who: Who, product_code: str, version: str, slug: str) -> Response:
        """Keep one section, also while something in it is missing, and go on."""
        portal, mine, sent = portal_of(request), only(request, who), await read_form(request)
        section = _of(slug)
        filled = fill(section.fields, sent)
        answers = {each.name: sent.get(each.name, "") for each in section.fields}
        if filled.faults and "later" not in sent:
            return _section(request, await _found(request, who, product_code, version), slug, filled)

        def act(connection: Connection) -> str:
            found = publishing.get(connection, mine, product_code, _number(version))
            kept = publishing.answer(portal, connection, found, edition(sent), answers)
            return kept.path if "later" in sent else _following(kept, section)

        try:
            return await do_once(request, sent, act)
        except PortalError as error:
            found = await _found(request, who, product_code, version)
            return _section(request, found, slug, filled.with_faults({"": error.text}), status=error.status)


def _add_acts(app: FastAPI) -> None:
    @app.post("/product-versions/{product_code}/{version}/entry")
    async def enter(request: Request, who: Who, product_code: str, version: str) -> Response:
        """Submit, recall or revise."""
        portal, act = portal_of(request), (await read_form(request)).get("act", "")
        return await _act(
            request, who, (product_code, version), lambda c, found, n: publishing.enter(portal, c, who, found, n, act)
        )

    @app.post("/product-versions/{product_code}/{version}/decision")
    async def decide(request: Request, who: Who, product_code: str, version: str) -> Response:
        """Approve or reject."""
        portal, sent = portal_of(request), await read_form(request)
        act, filled = sent.get("act", ""), fill(fields.DECISION, sent)

        def decided(connection: Connection, found: publishing.Version, number: int) -> publishing.Version:
            reason = filled.require()["reason"]
            return publishing.decide(portal, connection, who, found, number, act, reason)

        return await _act(request, who, (product_code, version), decided, filled)

    @app.post("/product-versions/{product_code}/{version}/withdrawal")
    async def withdraw(request: Request, who: Who, product_code: str, version: str) -> Response:
        """Take a product off the market."""
        portal, filled = portal_of(request), fill(fields.DECISION, await read_form(request))

        def withdrawn(connection: Connection, found: publishing.Version, number: int) -> publishing.Version:
            reason = filled.require()["reason"]
            return publishing.withdraw(portal, connection, who, found, number, reason)

        return await _act(request, who, (product_code, version), withdrawn, filled)


async def _act(request: Request, who: Who, which: tuple[str, str], act: Act, filled: Filled | None = None) -> Response:
    """Do something with a version and show it; what went wrong stands above it, with what was typed."""
    mine, sent, (product_code, version) = only(request, who), await read_form(request), which

    def done(connection: Connection) -> str:
        found = publishing.get(connection, mine, product_code, _number(version))
        return act(connection, found, edition(sent)).path

    try:
        return await do_once(request, sent, done)
    except PortalError as error:
        found = await _found(request, who, product_code, version)
        faults = error.faults or {"": error.text}
        return await _version(request, found, (filled or Filled()).with_faults(faults), status=error.status)


async def _found(request: Request, who: Who, product_code: str, version: str) -> publishing.Version:
    portal, mine, number = portal_of(request), only(request, who), _number(version)
    return await portal.db.read(lambda connection: publishing.get(connection, mine, product_code, number))


async def _version(
    request: Request, found: publishing.Version, filled: Filled | None = None, *, status: int = 200
) -> Response:
    portal, product, whole = portal_of(request), found.product, Filled()
    before = await portal.db.read(lambda connection: publishing.on_offer(connection, found))
    if found.state == DRAFT:
        product, whole = fields.parse(found.answers, found.product_code, found.institution, found.version)
    acts = [act for state, act in PRODUCT.moves if state == found.state and act in ACTS]
    return form_page(
        request,
        "products/version.html",
        fields.DECISION,
        filled,
        status=status,
        one=found,
        sections=fields.SECTIONS,
        product=product,
        wanted=by_mode(product) if product is not None else (),
        demands=evaluate(product.eligibility, Facts(), product.valid_from) if product is not None else (),
        answers=whole,
        differences=shown.differences(before.answers, found.answers) if before is not None else (),
        section_of=fields.section_of,
        entered=[(act, ACTS[act]) for act in acts if act in publishing.ENTERED],
        decisions=[(act, ACTS[act]) for act in acts if act in publishing.DECISIONS],
        choices=shown.choices(),
        words=words,
    )


def _section(request: Request, found: publishing.Version, slug: str, filled: Filled, *, status: int = 0) -> Response:
    section = _of(slug)
    template = "products/items.html" if section is fields.DATA else "products/section.html"
    given = {} if not status else {"status": status}
    return form_page(
        request,
        template,
        section.fields,
        filled,
        one=found,
        section=section,
        number=1 + fields.SECTIONS.index(section),
        total=len(fields.SECTIONS),
        choices=shown.choices(),
        modes=MODES,
        classes=fields.classes(),
        words=words,
        **given,
    )


def _first_section(found: publishing.Version) -> str:
    return f"{found.path}/sections/{fields.SECTIONS[0].slug}"


def _following(found: publishing.Version, section: fields.Section) -> str:
    """The next section, or the whole version after the last one."""
    place = 1 + fields.SECTIONS.index(section)
    further = fields.SECTIONS[place : place + 1]
    return f"{found.path}/sections/{further[0].slug}" if further else found.path


def _of(slug: str) -> fields.Section:
    section = fields.BY_SLUG.get(slug)
    if section is None:
        raise not_found()
    return section


def _number(version: str) -> int:
    if not version.isascii() or not version.isdigit() or len(version) > 6:
        raise not_found()
    return int(version)
