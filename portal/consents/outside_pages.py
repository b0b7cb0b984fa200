"""Pages for an enterprise that keeps its key outside: what is to be signed is downloaded, and uploaded signed."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

import msgspec
from fastapi import FastAPI, Request
from fastapi.responses import Response

from consent.documents import CONSENT_REFUSAL_TYPE, CONSENT_REVOCATION_TYPE, CONSENT_TYPE, encode
from consent.outside import write_to_sign
from portal.accounts.keys import kept_outside
from portal.consents import fields, granting, outside, service
from portal.consents.asking import KeyOutside
from portal.consents.grant_pages import check_page, request_page
from portal.errors import PortalError
from portal.forms import Filled, fill
from portal.text import Text
from portal.web.authorize import API, Who
from portal.web.failures import told
from portal.web.pages import form_page, page, portal_of, see
from portal.web.sent import own_path, read_file, read_form
from portal.web.visits import visit_of


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_upload(app)
    _add_downloads(app)


def _add_upload(app: FastAPI) -> None:
    @app.exception_handler(KeyOutside)
    async def elsewhere(request: Request, _error: Exception) -> Response:
        if request.url.path.startswith(API):
            text = Text("Your key is kept outside: sign there what the page /outside gives, or use the command.")
            return told(request, PortalError("WRONG_STATE", text))
        query = f"?{request.url.query}" if request.url.query else ""
        back = request.url.path + query if request.method == "GET" else "/consents"
        return see(f"/outside?next={quote(back)}")

    @app.get("/outside")
    async def ask(request: Request, who: Who, next: str = "/consents") -> Response:
        """Say what is to be signed where the key is."""
        if not await kept_outside(portal_of(request), who):
            return see(own_path(next))
        return form_page(request, "consents/outside.html", (), next=own_path(next))

    @app.get("/outside/questions")
    async def questions(request: Request, who: Who) -> Response:
        """Give what is asked of the hub, to be signed."""
        return _download(outside.questions(portal_of(request), who), "questions.json")

    @app.post("/outside")
    async def take(request: Request, who: Who) -> Response:
        """Take a signed file."""
        then = own_path((await read_form(request)).get("next", "/consents"))
        try:
            taken = await outside.take(portal_of(request), who, await read_file(request, outside.FILE))
        except PortalError as error:
            if not error.faults:
                raise
            return form_page(request, "consents/outside.html", (), Filled(faults=error.faults), next=then)
        if taken.withdrawals:
            return see(f"/consents/{taken.withdrawals[0]}/withdrawal")
        if taken.consents or taken.refusals:
            return page(request, "consents/taken.html", taken=taken, next=then)
        return see(then)


def _add_downloads(app: FastAPI) -> None:
    @app.get("/outside/consents")
    async def consents(request: Request, who: Who) -> Response:
        """Give the consents that are still needed, to be signed."""
        portal, given = portal_of(request), dict(request.query_params)
        _, wanted = fields.wanted_of(given)
        if wanted is None:
            raise PortalError("INVALID_ARGUMENT", Text("This address does not say what is to be consented to."))
        filled = fill(fields.SIGNING, given)
        try:
            _, prepared = await granting.prepare(
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
            back = own_path(given.get("back", "/consents"))
            return await check_page(request, who, wanted, back, filled.with_faults(error.faults))
        if not prepared:
            raise PortalError("WRONG_STATE", Text("Nothing is left to sign."))
        return _waiting(CONSENT_TYPE, prepared, "consents.json")

    @app.get("/outside/requests/{request_id}")
    async def answer(request: Request, who: Who, request_id: str) -> Response:
        """Give the consent that grants a request, to be signed."""
        filled = fill(fields.SIGNING, dict(request.query_params))
        try:
            prepared = await granting.prepare_answer(
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
        return _waiting(CONSENT_TYPE, [prepared], "consent.json")

    @app.get("/outside/requests/{request_id}/refusal")
    async def refusal(request: Request, who: Who, request_id: str) -> Response:
        """Give the refusal of a request, to be signed."""
        reason = fill((fields.REFUSAL_REASON,), dict(request.query_params)).require()["reason"]
        prepared = await granting.prepare_refusal(portal_of(request), who, request_id, reason)
        return _waiting(CONSENT_REFUSAL_TYPE, [prepared], "refusal.json")

    @app.get("/outside/withdrawals/{record_id}")
    async def withdrawal(request: Request, who: Who, record_id: str) -> Response:
        """Give the withdrawal of a consent, to be signed."""
        reason = fill((fields.WITHDRAWAL_REASON,), dict(request.query_params)).require()["reason"]
        prepared = await service.prepare_withdrawal(portal_of(request), who, record_id, reason)
        return _waiting(CONSENT_REVOCATION_TYPE, [prepared], "withdrawal.json")


def _waiting(kind: str, documents: Iterable[msgspec.Struct], name: str) -> Response:
    return _download(write_to_sign((kind, encode(each)) for each in documents), name)


def _download(content: bytes, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type="application/json", headers=headers)
