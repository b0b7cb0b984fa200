"""Pages that give consent: by hand, for an application, or to a bank that asks; all end at one page that tells everything and signs."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import parse_qsl, urlencode

from fastapi import FastAPI, Request
from fastapi.responses import Response

from consent.documents import ItemMode, Purpose
from portal.accounts.keys import kept_outside
from portal.consents import asking, fields, granting, planning, service
from portal.consents.shown import words
from portal.consents.wanted import Wanted, grant_path
from portal.consents.words import PURPOSES, ROLES
from portal.errors import PortalError
from portal.forms import Filled, fill
from portal.principal import Principal
from portal.text import Text
from portal.web.authorize import Who
from portal.web.pages import form_page, page, portal_of, see
from portal.web.sent import own_path, read_form
from portal.web.visits import visit_of

_BY_HAND: Final = (fields.USER, fields.PURPOSE)
_TERMS: Final = (fields.ITEMS, fields.VALID_DAYS, fields.KEEP_DAYS, fields.MAX_USES)


def routes(app: FastAPI) -> None:
    """Add the routes of this subject; before those of one consent, which would take every word for an id."""
    _add_by_hand(app)
    _add_signing(app)
    _add_requests(app)


def _add_by_hand(app: FastAPI) -> None:
    @app.get("/consents/new")
    async def new(request: Request) -> Response:
        """Ask for the bank and the purpose."""
        return form_page(
            request, "consents/new.html", _BY_HAND, purposes_offered=list(PURPOSES.items()), **await words(request)
        )

    @app.get("/consents/new/items")
    async def items(request: Request) -> Response:
        """Ask for items and time."""
        given = dict(request.query_params)
        filled = fill(_BY_HAND, given)
        if filled.faults:
            return form_page(
                request,
                "consents/new.html",
                _BY_HAND,
                filled,
                purposes_offered=list(PURPOSES.items()),
                **await words(request),
            )
        return await _items_page(request, filled)


def _add_signing(app: FastAPI) -> None:
    @app.get("/consents/grant")
    async def check(request: Request, who: Who) -> Response:
        """Tell in plain words what would be signed."""
        given = dict(request.query_params)
        filled, wanted = fields.wanted_of(given, request.query_params.getlist("items"))
        if wanted is None:
            if not fill(_BY_HAND, given).faults:
                return await _items_page(request, filled)
            raise PortalError("INVALID_ARGUMENT", Text("This address does not say what is to be consented to."))
        return await check_page(request, who, wanted, own_path(given.get("back", "/consents")))

    @app.post("/consents/grant")
    async def sign(request: Request, who: Who) -> Response:
        """Sign what is still needed."""
        portal, sent = portal_of(request), await read_form(request)
        _, wanted = fields.wanted_of(sent)
        if wanted is None:
            raise PortalError("INVALID_ARGUMENT", Text("This address does not say what is to be consented to."))
        filled, back = fill(fields.SIGNING, sent), own_path(sent.get("back", "/consents"))
        try:
            record_ids = await granting.sign(
                portal,
                who,
                wanted,
                separate=filled.require()["separate"],
                signatory=fields.signatory_of(filled),
                language=visit_of(request).language,
            )
        except PortalError as error:
            if not error.faults:
                raise
            return await check_page(request, who, wanted, back, filled.with_faults(error.faults))
        return see("/consents/granted?" + urlencode([*(("record", each) for each in record_ids), ("back", back)]))

    @app.get("/consents/granted")
    async def granted(request: Request, who: Who) -> Response:
        """Show what is signed and where it is recorded."""
        wanted = request.query_params.getlist("record")
        found = [each for each in await service.listed(portal_of(request), who) if each.consent.record_id in wanted]
        back = own_path(request.query_params.get("back", "/consents"))
        return page(request, "consents/granted.html", found=found, back=back, **await words(request))


def _add_requests(app: FastAPI) -> None:
    @app.get("/consents/requests")
    async def requests(request: Request, who: Who) -> Response:
        """List what banks ask for."""
        found = await asking.requests(portal_of(request), who)
        return page(request, "consents/requests.html", found=found, **await words(request))

    @app.get("/consents/requests/{request_id}")
    async def one(request: Request, who: Who, request_id: str) -> Response:
        """Tell in plain words what a bank asks for."""
        return await request_page(request, who, request_id)

    @app.post("/consents/requests/{request_id}/grant")
    async def grant(request: Request, who: Who, request_id: str) -> Response:
        """Grant it as it was asked for."""
        filled = fill(fields.SIGNING, await read_form(request))
        try:
            record_id = await granting.grant_request(
                portal_of(request),
                who,
                request_id,
                separate=filled.require()["separate"],
                signatory=fields.signatory_of(filled),
                language=visit_of(request).language,
            )
        except PortalError as error:
            if not error.faults:
                raise
            return await request_page(request, who, request_id, filled.with_faults(error.faults))
        return see(f"/consents/granted?record={record_id}")

    @app.post("/consents/requests/{request_id}/refuse")
    async def refuse(request: Request, who: Who, request_id: str) -> Response:
        """Say no."""
        filled = fill((fields.REFUSAL_REASON,), await read_form(request))
        if filled.faults:
            return await request_page(request, who, request_id, filled)
        await granting.refuse_request(portal_of(request), who, request_id, filled.values["reason"])
        return see("/consents/requests")


async def _items_page(request: Request, filled: Filled) -> Response:
    portal, rules = portal_of(request), granting.rules()
    purpose = Purpose(filled.given["purpose"])
    offers = await asyncio.to_thread(portal.link.offers)
    choices = sorted(
        {
            (offer.provider, part.item_id, mode)
            for offer in offers
            for part in offer.items
            for mode in part.modes
            if mode is not ItemMode.P and rules.usage.mode_allowed(purpose, mode)
        }
    )
    given = {"valid_days": "90", "keep_days": "90", "max_uses": "", **filled.given}
    ticked = set(given.get("items", "").split(","))
    return form_page(
        request,
        "consents/items.html",
        _TERMS,
        Filled(given, filled.values, filled.faults),
        user=given["user"],
        purpose=purpose,
        choices=choices,
        ticked=ticked,
        levels={item.id: item.level for item in rules.catalogue.items.values()},
        **await words(request),
    )


async def check_page(
    request: Request, who: Principal, wanted: Wanted, back: str, filled: Filled | None = None
) -> Response:
    """The page that tells what would be signed."""
    portal = portal_of(request)
    needed = await granting.needed(portal, who, wanted)
    query = grant_path(wanted, back).partition("?")[2]
    return form_page(
        request,
        "consents/grant.html",
        fields.SIGNING,
        filled or await _prefilled(request, who),
        needed=needed,
        wanted=wanted,
        sent=parse_qsl(query),
        back=back,
        change=f"/consents/new/items?{query}",
        capacities=list(ROLES.items()),
        now_ms=portal.clock(),
        outside=await kept_outside(portal, who),
        **await words(request),
    )


async def request_page(request: Request, who: Principal, request_id: str, filled: Filled | None = None) -> Response:
    """The page of one request."""
    portal = portal_of(request)
    asked = await granting.request(portal, who, request_id)
    draft = planning.draft_of(asked, granting.rules())
    return form_page(
        request,
        "consents/request.html",
        (*fields.SIGNING, fields.REFUSAL_REASON),
        filled or await _prefilled(request, who),
        asked=asked,
        draft=draft,
        capacities=list(ROLES.items()),
        now_ms=portal.clock(),
        outside=await kept_outside(portal, who),
        **await words(request),
    )


async def _prefilled(request: Request, who: Principal) -> Filled:
    """Who signed last is asked for no second time."""
    last = await granting.last_signatory(portal_of(request), who)
    return Filled() if last is None else Filled(given={"signatory": last.name, "role": last.role})
