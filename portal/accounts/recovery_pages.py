"""Pages of passwords that change and of what was lost."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from portal.accounts import fields, recovery
from portal.errors import PortalError
from portal.forms import Filled, fill
from portal.web.authorize import Who
from portal.web.pages import form_page, portal_of, see
from portal.web.sent import read_form
from portal.web.visits import visit_of


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/account/password")
    async def ask(request: Request, who: Who) -> Response:
        """Ask for the present and a new password."""
        return form_page(request, "accounts/password.html", fields.CHANGE_PASSWORD)

    @app.post("/account/password")
    async def change(request: Request, who: Who) -> Response:
        """Change one's own password; other sessions end."""
        portal, visit = portal_of(request), visit_of(request)
        filled = fill(fields.CHANGE_PASSWORD, await read_form(request))
        try:
            given = filled.require()
            opened = await recovery.change_password(portal, who, given["old"], given["password"])
        except PortalError as error:
            if not error.faults:
                raise
            return _failed(request, "accounts/password.html", filled, error)
        visit.renew_visitor()
        visit.begin(opened)
        return see("/account")

    @app.get("/passwords/{token}")
    async def by_link(request: Request, token: str) -> Response:
        """Ask whoever has a link for a new password."""
        return await _by_link(request, token)

    @app.post("/passwords/{token}")
    async def set_by_link(request: Request, token: str) -> Response:
        """Set a new password by a link."""
        portal = portal_of(request)
        portal.attempt(visit_of(request).address)
        filled = fill(fields.SET_PASSWORD, await read_form(request))
        try:
            await recovery.use_link(portal, token, filled.require()["password"])
        except PortalError as error:
            if not error.faults:
                raise
            return await _by_link(request, token, filled.with_faults(error.faults))
        return see("/login")


def _failed(request: Request, template: str, filled: Filled, error: PortalError) -> Response:
    return form_page(request, template, fields.CHANGE_PASSWORD, filled.with_faults(error.faults), status=error.status)


async def _by_link(request: Request, token: str, filled: Filled | None = None) -> Response:
    portal = portal_of(request)
    login = await portal.db.read(lambda connection: recovery.login_of_link(portal, connection, token))
    return form_page(request, "accounts/new_password.html", fields.SET_PASSWORD, filled, login=login)
