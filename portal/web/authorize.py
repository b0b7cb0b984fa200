"""The one place where a call is let through: `authorize` stands before every route.

Rules, in this order; the first that fails is the answer:
1. The route has a rule (`portal.permissions`); one without is nobody's.
2. What changes something comes from our own pages: its origin is ours, and it carries the visitor's form token. A program's call
   carries its token instead, which no other site can send.
3. The rule holds for whoever calls. Who is not logged in is asked to be; who still owes the second factor is led to it.
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import Depends, Request

from portal.errors import PortalError, not_found
from portal.permissions import Need, Open, rule_of
from portal.principal import Principal
from portal.text import Text
from portal.web.pages import portal_of
from portal.web.sent import read_form
from portal.web.visits import Visit, visit_of

SAFE: Final = frozenset({"GET", "HEAD"})
API: Final = "/api/"


class Elsewhere(Exception):
    """The visitor is sent to another page first."""

    def __init__(self, path: str) -> None:
        """`path` is one of ours."""
        super().__init__(path)
        self.path = path


async def authorize(request: Request) -> None:
    """Let a call through or raise PortalError, Elsewhere."""
    rule = rule_of(request.method, request.scope["route"].path)
    if rule is None:
        raise not_found()
    visit = visit_of(request)
    if visit.refused:
        raise PortalError("UNAUTHENTICATED", Text("The token does not hold: {reason}.", reason=visit.refused))
    if request.method not in SAFE and not visit.program:
        await _require_own_form(request, visit)
    if rule is Open.EVERYBODY:
        return
    who = visit.principal
    if who is None:
        if request.url.path.startswith(API):
            raise PortalError("UNAUTHENTICATED", Text("Log in first."))
        back = f"?next={quote(request.url.path)}" if request.method in SAFE else ""
        raise Elsewhere(f"/login{back}")
    if rule is Open.HALF_WAY:
        return
    if not who.full:
        raise Elsewhere("/login/code")
    if portal_of(request).policy.suspended(who.institution):
        raise PortalError(
            "PERMISSION_DENIED", Text("Your institution is suspended. Its administrator can ask the hub why.")
        )
    if not who.may(rule):
        raise PortalError(
            "PERMISSION_DENIED", Text("Your role does not include this. Ask your administrator if it should.")
        )


async def _require_own_form(request: Request, visit: Visit) -> None:
    origin = request.headers.get("origin")
    token = request.headers.get("x-csrf-token", "")
    if not token and not request.url.path.startswith(API):
        token = (await read_form(request)).get("csrf", "")
    portal = portal_of(request)
    ours = origin in {None, portal.settings.origin}
    if not ours or not portal.keys.is_form_token(visit.visitor, token):
        raise PortalError(
            "FORM_EXPIRED",
            Text("This page was open for too long or you logged in meanwhile. Load it again, then send it."),
        )


def principal(request: Request) -> Principal:
    """Whoever calls; for routes that need somebody."""
    who = visit_of(request).principal
    if who is None:
        raise PortalError("UNAUTHENTICATED", Text("Log in first."))
    return who


Who = Annotated[Principal, Depends(principal)]


def only(request: Request, who: Principal) -> str | None:
    """The institution that this call must keep to, None for all."""
    rule = rule_of(request.method, request.scope["route"].path)
    if not isinstance(rule, Need):
        raise not_found()
    return who.only(rule)
