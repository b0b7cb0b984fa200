"""Pages of my data: consents, their withdrawal, and the record of use."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import Response

from consent.catalogue import load_catalogue
from consent.documents import ItemMode, Purpose
from portal.accounts.fields import PASSWORD
from portal.accounts.keys import unlock
from portal.consents import service
from portal.errors import PortalError
from portal.forms import Field, fill
from portal.text import Text
from portal.web.authorize import API, Who
from portal.web.failures import told
from portal.web.pages import form_page, page, portal_of, see
from portal.web.sent import own_path, read_form
from portal.web.visits import visit_of

PURPOSES: Final = {
    Purpose.VERIFICATION: Text("Check of information"),
    Purpose.PRE_LOAN: Text("Assessment before a loan"),
    Purpose.POST_LOAN: Text("Management during a loan"),
    Purpose.JOINT_MODELLING: Text("Training of a joint model"),
    Purpose.SCORING: Text("Scoring by a model"),
    Purpose.SHARING: Text("Sharing with a licensed bureau"),
}
MODES: Final = {
    ItemMode.P: Text("Public: anybody may read it"),
    ItemMode.Q: Text("Query: the named bank is shown the fields below, masked where the rules say so"),
    ItemMode.R: Text("Transfer: the named bank gets the records and keeps them for the stated time"),
    ItemMode.V: Text("Verification: the bank learns yes or no, or a range, never the value"),
    ItemMode.J: Text("Joint computation: the bank gets a model or score; your values stay encrypted with the office"),
    ItemMode.X: Text("Comparison of lists only: nothing of the content is shown"),
}
STATES: Final = {
    "active": Text("In force"),
    "withdrawn": Text("Withdrawn"),
    "expired": Text("Expired"),
    "superseded": Text("Replaced by a newer one"),
}
WHY: Final = Field(
    name="reason",
    label=Text("Reason, if you want to say"),
    parse=str,
    longest=500,
)


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.exception_handler(service.KeyLocked)
    async def locked(request: Request, _error: Exception) -> Response:
        if request.url.path.startswith(API):
            text = Text("Your key was closed after a while. Open it again by your password on the page /unlock.")
            return told(request, PortalError("UNAUTHENTICATED", text))
        back = request.url.path if request.method == "GET" else "/consents"
        return see(f"/unlock?next={quote(back)}")

    @app.get("/unlock")
    async def ask(request: Request, next: str = "/consents") -> Response:
        """Ask for the password that opens the key."""
        return form_page(request, "consents/unlock.html", (PASSWORD,), next=own_path(next))

    @app.post("/unlock")
    async def open_key(request: Request, who: Who) -> Response:
        """Open the key for this session."""
        sent = await read_form(request)
        filled, then = fill((PASSWORD,), sent), own_path(sent.get("next", ""))
        try:
            await unlock(portal_of(request), who, filled.require()["password"])
        except PortalError as error:
            filled = filled.with_faults(error.faults or {"password": error.text})
            return form_page(request, "consents/unlock.html", (PASSWORD,), filled, next=then, status=error.status)
        return see(then)

    @app.get("/consents")
    async def listed(request: Request, who: Who) -> Response:
        """List one's consents."""
        found = await service.listed(portal_of(request), who)
        return page(request, "consents/list.html", found=found, **_words(request))

    @app.get("/consents/{record_id}")
    async def one(request: Request, who: Who, record_id: str) -> Response:
        """Show one consent and offer to withdraw it."""
        found = await service.get(portal_of(request), who, record_id)
        return form_page(request, "consents/one.html", (WHY,), one=found, **_words(request))

    @app.post("/consents/{record_id}/withdraw")
    async def withdraw(request: Request, who: Who, record_id: str) -> Response:
        """Withdraw a consent, and show which nodes have confirmed."""
        reason = fill((WHY,), await read_form(request)).require()["reason"]
        done = await service.withdraw(portal_of(request), who, record_id, reason)
        return page(request, "consents/withdrawn.html", done=done)

    @app.get("/uses")
    async def uses(request: Request, who: Who) -> Response:
        """List every use, each verified."""
        found = await service.uses(portal_of(request), who)
        return page(request, "consents/uses.html", found=found, uses=service.paired(found.uses), **_words(request))


def _words(request: Request) -> dict[str, Any]:
    chinese = visit_of(request).language == "zh"
    names = {item.id: item.name if chinese else item.name_en for item in load_catalogue().items.values()}
    return {"purposes": PURPOSES, "modes": MODES, "states": STATES, "items": names}
