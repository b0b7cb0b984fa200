"""Pages of notices: the address for mail, its confirmation, and the switches."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from portal.forms import Filled, fill
from portal.mail import fields, service
from portal.mail.service import Switch
from portal.mail.topics import ALWAYS_IN_INBOX, TITLES, Topic
from portal.web.authorize import Who
from portal.web.pages import form_page, page, portal_of, see
from portal.web.sent import read_form
from portal.web.visits import visit_of


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/account/mail")
    async def settings(request: Request, who: Who) -> Response:
        """Show where notices go."""
        return await _settings(request, who)

    @app.post("/account/mail")
    async def give(request: Request, who: Who) -> Response:
        """Give an address, or none."""
        portal, filled = portal_of(request), fill(fields.ADDRESS, await read_form(request))
        if filled.faults:
            return await _settings(request, who, filled)
        address, language = filled.values["address"], visit_of(request).language
        portal.attempt(visit_of(request).address)
        await portal.db.write(lambda connection: service.give_address(portal, connection, who, address, language))
        return see("/account/mail")

    @app.post("/account/switches")
    async def switch(request: Request, who: Who) -> Response:
        """Set the switches."""
        portal, sent = portal_of(request), await read_form(request)
        wanted = {topic: Switch(inbox=f"inbox-{topic}" in sent, mail=f"mail-{topic}" in sent) for topic in Topic}
        await portal.db.write(lambda connection: service.set_switches(portal, connection, who, wanted))
        return see("/account/mail")

    @app.get("/account/mail/{code}")
    async def opened(request: Request, code: str) -> Response:
        """Ask for one click, because mail programs open links by themselves."""
        return page(request, "mail/confirm.html", code=code)

    @app.post("/account/mail/{code}")
    async def confirm(request: Request, who: Who, code: str) -> Response:
        """Confirm the address."""
        portal = portal_of(request)
        await portal.db.write(lambda connection: service.confirm(portal, connection, who, code))
        return see("/account/mail")


async def _settings(request: Request, who: Who, filled: Filled | None = None) -> Response:
    portal = portal_of(request)
    given = await portal.db.read(lambda connection: service.address_of(portal, connection, who.account_id))
    switches = await portal.db.read(lambda connection: service.switches_of(connection, who.account_id))
    return form_page(
        request,
        "mail/settings.html",
        fields.ADDRESS,
        filled or Filled(given={"address": given.address if given else ""}),
        given=given,
        switches=switches,
        titles=TITLES,
        always=ALWAYS_IN_INBOX,
        sends=bool(portal.settings.mail_host),
    )
