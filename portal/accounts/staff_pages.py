"""Pages of administrators: all accounts of the institution, or of everybody; invitations, removal, help after a loss."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.responses import Response

from portal.accounts import fields, invitations, people, recovery
from portal.errors import PortalError
from portal.forms import Filled, fill
from portal.permissions import TITLES, Role
from portal.web.authorize import Who, only
from portal.web.pages import form_page, portal_of, see
from portal.web.sent import read_form


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/staff")
    async def staff(request: Request, who: Who) -> Response:
        """List the accounts and offer to invite."""
        return await _show(request, who, query=request.query_params)

    @app.post("/staff/invitations")
    async def invite(request: Request, who: Who) -> Response:
        """Invite somebody; the link is shown once."""
        portal, sent = portal_of(request), dict(await read_form(request))
        if who.role is Role.INSTITUTION_ADMIN:
            sent["institution"] = who.institution
        filled = fill(fields.INVITE, sent)
        try:
            given = filled.require()
            if given["role"] not in invitations.may_invite(who):
                raise PortalError("PERMISSION_DENIED", fields.CHOOSE_ROLE, faults={"role": fields.CHOOSE_ROLE})
            invitation = invitations.Invitation(**given, invited_by=who.login)
            token = await portal.db.write(lambda connection: invitations.invite(portal, connection, invitation))
        except PortalError as error:
            return await _show(request, who, filled.with_faults(error.faults), status=error.status)
        return await _show(request, who, link=f"{portal.settings.origin}/invitations/{token}")

    @app.post("/staff/{account_id}/disable")
    async def disable(request: Request, who: Who, account_id: str) -> Response:
        """Remove one of the staff."""
        portal, institution = portal_of(request), only(request, who)
        reason = fill(fields.DISABLE, await read_form(request)).require()["reason"]
        await portal.db.write(
            lambda connection: invitations.disable(portal, connection, who, institution, account_id, reason)
        )
        return see("/staff")

    @app.post("/staff/{account_id}/password-link")
    async def password_link(request: Request, who: Who, account_id: str) -> Response:
        """Make a link for whoever lost a password; it is shown once."""
        portal, institution = portal_of(request), only(request, who)
        reason = fill(fields.DISABLE, await read_form(request)).require()["reason"]
        token = await portal.db.write(
            lambda connection: recovery.make_link(portal, connection, who, institution, account_id, reason)
        )
        return await _show(request, who, link=f"{portal.settings.origin}/passwords/{token}")

    @app.post("/staff/{account_id}/second-factor")
    async def second_factor(request: Request, who: Who, account_id: str) -> Response:
        """Let whoever lost an authenticator set it up anew."""
        portal, institution = portal_of(request), only(request, who)
        reason = fill(fields.DISABLE, await read_form(request)).require()["reason"]
        await portal.db.write(
            lambda connection: recovery.renew_second_factor(portal, connection, who, institution, account_id, reason)
        )
        return see("/staff")


async def _show(
    request: Request,
    who: Who,
    filled: Filled | None = None,
    *,
    link: str = "",
    status: int = 200,
    query: Mapping[str, str] | None = None,
) -> Response:
    portal, institution = portal_of(request), only(request, who)
    listing = people.ALL if institution is None else people.OWN
    asked = listing.asked(query or {})
    found, following = await portal.db.read(lambda connection: people.found(portal, connection, institution, asked))
    return form_page(
        request,
        "accounts/staff.html",
        fields.INVITE,
        filled,
        status=status,
        listing=listing,
        asked=asked,
        people=found,
        following=following,
        choices=people.CHOICES,
        titles=TITLES,
        states=people.STATES,
        roles=[(role.value, TITLES[role]) for role in invitations.may_invite(who)],
        link=link,
        fixed=institution,
    )
