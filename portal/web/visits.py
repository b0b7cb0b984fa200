"""Each request's surroundings, around the whole application: request id, address and its limit, language, session, cookies, headers.

Rules:
1. Every answer carries the headers of `HEADERS`: a page loads nothing but our own files, runs no script within itself, is framed by
   nobody, and is kept in no cache (files of ours are).
2. Cookies are HttpOnly and SameSite=Lax; over TLS also Secure and bound to this host by their name.
3. A body longer than the settings allow is refused before it is read.
4. The log has method, route, status and time of a request; never its path, query, body or address.
"""

from __future__ import annotations

import logging
import secrets
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.errors import HubError
from portal.accounts.sessions import Opened, recognise
from portal.clients.service import recognise as act_for
from portal.clients.token import TokenInvalid
from portal.principal import Principal
from portal.state import Portal, household
from portal.web.i18n import DEFAULT, LANGUAGES

log = logging.getLogger(__name__)

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
HSTS: Final = "max-age=63072000; includeSubDomains"
VISITOR, LANGUAGE, ACCESS, REFRESH = "xq_visitor", "xq_language", "xq_access", "xq_refresh"
YEAR_S: Final = 365 * 86400
_VISITOR_BYTES: Final = 16
_FILES: Final = "/static/"
_API: Final = "/api/"
_PLACES: Final = 12


@dataclass
class Visit:
    """What is known of whoever makes a request.

    `program`: a program makes it, with a token and without cookies; `refused`: why its token does not hold.
    """

    visitor: str
    language: str
    address: str
    agent: str
    secure: bool
    principal: Principal | None = None
    program: bool = False
    refused: str = ""
    set_cookies: list[str] = field(default_factory=list)

    def set_cookie(self, name: str, value: str, lifetime_s: int) -> None:
        """Give the browser a cookie; a lifetime of 0 takes it away."""
        prefix, flag = ("__Host-", "; Secure") if self.secure else ("", "")
        age = f"; Max-Age={lifetime_s}"
        self.set_cookies.append(f"{prefix}{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}{flag}")

    def begin(self, opened: Opened) -> None:
        """Go on in a session that was just opened or renewed."""
        self.principal = opened.principal
        if opened.access:
            self.set_cookie(ACCESS, opened.access, opened.access_s)
        if opened.refresh:
            self.set_cookie(REFRESH, opened.refresh, opened.refresh_s)

    def renew_visitor(self) -> None:
        """Change what forms are bound to, when somebody logs in or out."""
        self.visitor = secrets.token_hex(_VISITOR_BYTES)
        self.set_cookie(VISITOR, self.visitor, YEAR_S)

    def end(self) -> None:
        """Forget the session."""
        self.principal = None
        self.set_cookie(ACCESS, "", 0)
        self.set_cookie(REFRESH, "", 0)
        self.renew_visitor()


def visit_of(request: Request) -> Visit:
    """The visit that the middleware made."""
    visit = request.state.visit
    assert isinstance(visit, Visit)  # noqa: S101 (the middleware is around every route)
    return visit


class Visits:
    """The middleware."""

    def __init__(self, app: ASGIApp, portal: Portal, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Surround an application."""
        self._app = app
        self._portal = portal
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        started, status = self._monotonic(), 500
        request = Request(scope)
        visit = self._visit(request)
        scope.setdefault("state", {})["visit"] = visit
        file = request.url.path.startswith(_FILES)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._headers(visit, file=file and status == 200)]
            await send(message)

        try:
            await self._answer(request, visit, receive, answer)
        except Exception as error:
            # It was answered by `portal.web.app`; the server would log its text, and values stand in that.
            log.error("failed", extra={"failure": type(error).__qualname__, "places": places(error)})
        route = scope.get("route")
        log.info(
            "request",
            extra={
                "method": request.method,
                "route": getattr(route, "path", "-"),
                "status": status,
                "ms": round(1000 * (self._monotonic() - started), 1),
            },
        )

    async def _answer(self, request: Request, visit: Visit, receive: Receive, send: Send) -> None:
        refusal = self._refusal(request, visit)
        if refusal is not None:
            await refusal(request.scope, receive, send)
            return
        token = _bearer(request)
        if token:
            visit.program = True
            try:
                visit.principal = await self._portal.db.read(
                    lambda connection: act_for(self._portal, connection, token)
                )
            except TokenInvalid as error:
                visit.refused = str(error)
        elif not request.url.path.startswith(_FILES):
            cookies = _cookies(request, secure=visit.secure)
            opened = await recognise(self._portal, cookies.get(ACCESS, ""), cookies.get(REFRESH, ""))
            if opened is not None:
                visit.begin(opened)
        if visit.principal is not None:
            visit.principal = (await self._portal.in_force()).applied(visit.principal)
        await self._app(request.scope, _bounded(receive, self._portal.settings.max_body), send)

    def _visit(self, request: Request) -> Visit:
        secure = self._portal.settings.secure
        cookies = _cookies(request, secure=secure)
        language = cookies.get(LANGUAGE, "")
        visit = Visit(
            visitor=cookies.get(VISITOR, ""),
            language=language if language in LANGUAGES else DEFAULT,
            address=self._address(request),
            agent=request.headers.get("user-agent", "")[:400],
            secure=secure,
        )
        if len(visit.visitor) != 2 * _VISITOR_BYTES or not visit.visitor.isalnum():
            visit.renew_visitor()
        return visit

    def _address(self, request: Request) -> str:
        """The nearest address that is not a trusted proxy's."""
        peer = request.client.host if request.client else ""
        hops = [each.strip() for each in request.headers.get("x-forwarded-for", "").split(",") if each.strip()]
        while peer in self._portal.settings.trusted_proxies and hops:
            peer = hops.pop()
        return peer

    def _refusal(self, request: Request, visit: Visit) -> PlainTextResponse | None:
        try:
            self._portal.calls.take(household(visit.address))
        except HubError as error:
            wait_s = max(1, -(-error.retry_after_ms // 1000))
            return PlainTextResponse(
                "请求过于频繁，请稍候。 Too many requests; wait a moment.",
                status_code=429,
                headers={"Retry-After": str(wait_s)},
            )
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._portal.settings.max_body:
            return PlainTextResponse(
                "提交的内容过大，请返回上一页缩短后再提交，已填写的内容仍在。 "
                "What was sent is too large; go back, where your text still is, shorten it and send it again.",
                status_code=413,
            )
        return None

    def _headers(self, visit: Visit, *, file: bool) -> list[tuple[bytes, bytes]]:
        found = HEADERS | {"cache-control": "public, max-age=3600" if file else "no-store"}
        if visit.secure:
            found["strict-transport-security"] = HSTS
        cookies = [] if file or visit.program else [("set-cookie", each) for each in visit.set_cookies]
        return [(name.encode(), value.encode("latin-1")) for name, value in (*found.items(), *cookies)]


def places(error: BaseException) -> list[str]:
    """Where a failure passed through, for the log: never its text."""
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def _bounded(receive: Receive, most: int) -> Receive:
    """A body without a stated length is cut off where it grows too long: the form is then refused as malformed."""
    got = 0

    async def bounded() -> Message:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        return message if got <= most else {"type": "http.disconnect"}

    return bounded


def _bearer(request: Request) -> str:
    """The token of a program (RFC 6750); only the API takes one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and request.url.path.startswith(_API) else ""


def _cookies(request: Request, *, secure: bool) -> dict[str, str]:
    prefix = "__Host-" if secure else ""
    try:
        found = SimpleCookie(request.headers.get("cookie", ""))
    except CookieError:
        return {}
    return {
        name.removeprefix(prefix): morsel.value for name, morsel in found.items() if not prefix or name[:7] == prefix
    }
