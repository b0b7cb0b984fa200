"""What stands before every HTTP call.

In this order:
1. The call gets a request id: its own (X-Request-ID) if that is one, else a new one. It is in the answer and in the log.
2. A body that says it is too large is refused before a byte of it is read; one that turns out so, at the limit.
3. The API key is checked, but for what is public: health and the API's own pages.
4. The key's calls a minute are counted.
5. Only then the body is read, in a bounded time, and handed on whole.

A log line has the request id, the key's id, the route, the status and the time: nothing that was sent.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import msgspec

from nodes.errors import NodeError
from nodes.service.keys import ApiKey, KeyStore, RateLimit, unauthenticated
from nodes.service.meter import CallMeter
from nodes.service.problems import CallFailed, as_node_error, http_status, places, problem, problem_headers

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY_BYTES: Final = 1 << 20
BODY_TIMEOUT_S: Final = 10.0
PUBLIC: Final = frozenset({"/v1/health", "/docs", "/openapi.json"})
STATIC: Final = "/static/"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,64}")
_EVERYWHERE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_NOTHING_LOADS: Final = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'"


class Gate:
    """The application behind it, as ASGI has it. The key is in `scope["state"]["key"]`, the id in `scope["state"]["request_id"]`."""

    def __init__(self, app: App, keys: KeyStore, limit: RateLimit, meter: CallMeter) -> None:
        self._app = app
        self._keys = keys
        self._limit = limit
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection's call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = _Call(scope, send)
        try:
            try:
                whole = await self._let_in(scope, receive, call)
                await self._app(scope, whole, call.send)
            except Exception as error:
                told = as_node_error(error)
                if told.code == "INTERNAL":
                    log.error("call_failed", extra={"request_id": call.request_id} | places(error))
                if not call.status:  # else the answer has begun, and ends here
                    await call.tell(told)
        finally:
            route, status = getattr(scope.get("route"), "path", "none"), str(call.status)
            seconds = time.perf_counter() - call.began_s
            self._meter.called("http", route, status, seconds)
            extra = {
                "request_id": call.request_id,
                "route": route,
                "status": call.status,
                "ms": round(seconds * 1000, 1),
            }
            log.info("call", extra=extra | ({"key": call.key.key_id} if call.key else {}))

    async def _let_in(self, scope: Scope, receive: Receive, call: _Call) -> Receive:
        """Rules 2 to 5. Raises NodeError."""
        length = call.headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > MOST_BODY_BYTES:
            raise _too_large()
        path = scope["path"]
        if path not in PUBLIC and not path.startswith(STATIC):
            call.key = await self._keys.check(presented_key(call.headers.get("authorization", "")))
            scope["state"]["key"] = call.key
            self._limit.take(call.key)
        try:
            body = await asyncio.wait_for(_read(receive), BODY_TIMEOUT_S)
        except TimeoutError:
            raise CallFailed("INVALID_ARGUMENT", "The body did not come in time.", status=408) from None
        return _replaying(body, receive)


class _Call:
    """One call, as far as it has come."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        given = self.headers.get("x-request-id", "")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
        scope.setdefault("state", {})["request_id"] = self.request_id
        self.key: ApiKey | None = None
        self.status = 0
        self.began_s = time.perf_counter()
        self._send = send

    async def send(self, message: Message) -> None:
        """Send on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), *_EVERYWHERE, (b"x-request-id", self.request_id.encode())]
            if not any(name.lower() == b"content-security-policy" for name, _ in headers):
                headers.append((b"content-security-policy", _NOTHING_LOADS))
            message = {**message, "headers": headers}
        await self._send(message)

    async def tell(self, error: NodeError) -> None:
        """Answer with a problem. What was not read of a body is not waited for."""
        body = msgspec.json.encode(problem(error, self.request_id))
        headers = [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            *problem_headers(error),
            *([("Connection", "close")] if http_status(error) in {401, 408, 413, 429} else []),
        ]
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers]
        await self.send({"type": "http.response.start", "status": http_status(error), "headers": encoded})
        await self.send({"type": "http.response.body", "body": body})


def presented_key(authorization: str) -> str:
    """The key out of the header: as a bearer's, or as the password that a browser asks for. Raises CallFailed UNAUTHENTICATED."""
    scheme, _, rest = authorization.strip().partition(" ")
    if scheme.lower() == "bearer" and rest:
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            pass
    raise unauthenticated("No API key was sent.")


def _too_large() -> CallFailed:
    return CallFailed(
        "TOO_LARGE", f"A body has at most {MOST_BODY_BYTES:,} bytes; send fewer enterprises at once, or a batch."
    )


async def _read(receive: Receive) -> bytes:
    """The whole body. Raises CallFailed TOO_LARGE at the limit."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > MOST_BODY_BYTES:
            raise _too_large()
        if not message.get("more_body"):
            return body


def _replaying(body: bytes, receive: Receive) -> Receive:
    """The body in one message; after it what the connection tells (that the caller went away)."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
