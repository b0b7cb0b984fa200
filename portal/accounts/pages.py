"""Pages of accounts: login and its second factor, one's own account, invitations."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Request
from fastapi.responses import Response

from portal.accounts import fields, invitations, keys, notices, service, sessions, totp
from portal.accounts.passwords import hash_password, require_strong
from portal.errors import PortalError
from portal.forms import Filled, Wrong, fill
from portal.permissions import TITLES, Role
from portal.web.authorize import Who
from portal.web.pages import form_page, page, portal_of, see
from portal.web.sent import own_path, read_form
from portal.web.visits import visit_of

LANDING = {
    Role.APPLICANT: "/registration",
    Role.ENTERPRISE: "/consents",
    Role.REVIEWER: "/registrations",
    Role.EDITOR: "/content",
    Role.EXPERT: "/questions",
    Role.INSTITUTION_ADMIN: "/staff",
    Role.SECURITY_ADMIN: "/staff",
    Role.SYSTEM_ADMIN: "/institutions",
    Role.AUDIT_ADMIN: "/events",
}
"""Where each role begins; others on their account's page."""


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""
    _add_login(app)
    _add_second_factor(app)
    _add_own(app)
    _add_invitation(app)


def _add_login(app: FastAPI) -> None:
    @app.get("/login")
    async def login(request: Request, next: str = "") -> Response:
        """Ask for login and password."""
        return form_page(request, "accounts/login.html", fields.LOGIN, next=own_path(next) if next else "")

    @app.post("/login")
    async def log_in(request: Request) -> Response:
        """Open a session."""
        portal, visit, sent = portal_of(request), visit_of(request), await read_form(request)
        filled = fill(fields.LOGIN, sent)
        then = own_path(sent["next"]) if sent.get("next") else ""
        try:
            portal.attempt(visit.address)
            given = filled.require()
            source = service.Source(address=visit.address, agent=visit.agent)
            opened = await service.log_in(portal, given["login"], given["password"], source)
            if opened.principal.role is Role.ENTERPRISE:
                await keys.unlock(portal, opened.principal, given["password"])
        except PortalError as error:
            filled = filled.with_faults(error.faults or {"password": error.text})
            return form_page(request, "accounts/login.html", fields.LOGIN, filled, status=error.status, next=then)
        visit.renew_visitor()
        visit.begin(opened)
        who = opened.principal
        return see(then or LANDING.get(who.role, "/account") if who.full else "/login/code")

    @app.post("/logout")
    async def log_out(request: Request) -> Response:
        """End the session."""
        portal, visit = portal_of(request), visit_of(request)
        who = visit.principal
        if who is not None:
            await portal.db.write(lambda connection: sessions.end(portal, connection, who.session_id))
        visit.end()
        return see("/")


def _add_second_factor(app: FastAPI) -> None:
    async def ask(request: Request, who: Who, filled: Filled | None = None, status: int = 200) -> Response:
        portal = portal_of(request)
        secret = await portal.db.read(lambda connection: service.unconfirmed_secret(portal, connection, who.account_id))
        return form_page(
            request,
            "accounts/code.html",
            fields.CODE,
            filled,
            status=status,
            secret=secret,
            picture=totp.picture(secret, who.login) if secret else "",
        )

    @app.get("/login/code")
    async def code(request: Request, who: Who) -> Response:
        """Ask for a code; the first time show what an authenticator app needs."""
        return see(LANDING.get(who.role, "/account")) if who.full else await ask(request, who)

    @app.post("/login/code")
    async def give_code(request: Request, who: Who) -> Response:
        """Pass the second factor."""
        if who.full:
            return see(LANDING.get(who.role, "/account"))
        portal, visit = portal_of(request), visit_of(request)
        filled = fill(fields.CODE, await read_form(request))
        try:
            portal.attempt(visit.address)
            opened = await service.give_code(portal, who, filled.require()["code"])
        except PortalError as error:
            return await ask(request, who, filled.with_faults(error.faults or {"code": error.text}), error.status)
        visit.renew_visitor()
        visit.begin(opened)
        return see(LANDING.get(who.role, "/account"))


def _add_own(app: FastAPI) -> None:
    @app.get("/account")
    async def account(request: Request, who: Who) -> Response:
        """Show one's notices and where one logged in from."""
        portal = portal_of(request)
        found = await portal.db.read(lambda connection: notices.inbox(connection, who.account_id))
        places = await portal.db.read(lambda connection: service.known_sources(connection, who.account_id))
        return page(request, "accounts/account.html", notices=found, places=places)

    @app.post("/account/notices")
    async def read(request: Request, who: Who) -> Response:
        """Mark all notices as read."""
        portal = portal_of(request)
        await portal.db.write(lambda connection: notices.mark_read(connection, who.account_id, portal.clock()))
        return see("/account")

    @app.get("/account/operator-key")
    async def operator_key(request: Request, who: Who) -> Response:
        """Show whether a reviewer's operator key is kept."""
        return await _operator_key(request, who)

    @app.post("/account/operator-key")
    async def keep_operator_key(request: Request, who: Who) -> Response:
        """Keep a reviewer's operator key under the reviewer's password."""
        filled = fill(fields.OPERATOR_KEY, await read_form(request))
        try:
            kept = await keys.keep_operator_key(portal_of(request), who, **filled.require())
        except PortalError as error:
            if not error.faults:
                raise
            return await _operator_key(request, who, filled.with_faults(error.faults))
        return await _operator_key(request, who, kept=kept)


async def _operator_key(request: Request, who: Who, filled: Filled | None = None, *, kept: str = "") -> Response:
    row = await portal_of(request).db.read(lambda connection: service.get(connection, who.account_id))
    return form_page(
        request, "accounts/operator_key.html", fields.OPERATOR_KEY, filled, operator=row.operator, kept=kept
    )


def _add_invitation(app: FastAPI) -> None:
    @app.get("/invitations/{token}")
    async def invitation(request: Request, token: str) -> Response:
        """Show an invitation."""
        portal = portal_of(request)
        found = await portal.db.read(lambda connection: invitations.find(portal, connection, token))
        return form_page(request, "accounts/invitation.html", fields.ACCEPT, invitation=found, titles=TITLES)

    @app.post("/invitations/{token}")
    async def accept(request: Request, token: str) -> Response:
        """Make the account that an invitation is for."""
        portal, visit = portal_of(request), visit_of(request)
        portal.attempt(visit.address)
        found = await portal.db.read(lambda connection: invitations.find(portal, connection, token))
        filled = fill(fields.ACCEPT, await read_form(request))
        try:
            given = filled.require()
            require_strong(given["password"], [found.login, given["name"], found.institution])
            hashed = await asyncio.to_thread(hash_password, given["password"])
        except (PortalError, Wrong) as error:
            faults = error.faults if isinstance(error, PortalError) else {"password": error.text}
            filled = filled.with_faults(faults)
            return form_page(
                request, "accounts/invitation.html", fields.ACCEPT, filled, invitation=found, titles=TITLES
            )
        await portal.db.write(lambda connection: invitations.accept(portal, connection, token, given["name"], hashed))
        return see("/login")
