"""What surrounds every call: errors become status and detail, deadlines hold, nothing unforeseen is told.

An interceptor here is a function that gives an asynchronous context manager for a call; `Around` wraps the handler of
each of the four kinds of RPC in it. The first in the server's list is the outermost: errors, then identity, then
limits, then deadline.

Rules of the errors:
1. `HubError`, and the cores' errors that `CORE_CODES` names, become their code with its status, and an ErrorDetail in
   the trailing metadata `xinqiao-error-bin`.
2. Anything else is INTERNAL: the caller gets an incident number, the text stays in our log under that number.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, cast

import grpc
from grpc import aio
from xinqiao.v1 import errors_pb2

from consent.errors import ConsentError
from hub.database_errors import of_database, trace_of
from hub.errors import HubError, of_core_error
from trust.errors import TrustError

DETAIL_KEY: Final = "xinqiao-error-bin"
# gRPC limits what fits into headers; a message is a sentence or two.
MAX_MESSAGE: Final = 2000

Context = aio.ServicerContext[Any, Any]
Surround = Callable[[str, Context], AbstractAsyncContextManager[None]]

log = logging.getLogger(__name__)


class Around(aio.ServerInterceptor):
    """Runs every call inside the context manager that `surround(method, context)` gives."""

    def __init__(self, surround: Surround) -> None:
        """Wrap calls in `surround`."""
        self._surround = surround

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Replace the handler's behaviour; serialisers stay as they are (the relay has none)."""
        handler = cast(Any, await continuation(handler_call_details))
        if handler is None:
            return cast("grpc.RpcMethodHandler[Any, Any]", handler)
        method = str(handler_call_details.method)
        return cast("grpc.RpcMethodHandler[Any, Any]", self._wrap(method, handler))

    def _wrap(self, method: str, handler: Any) -> Any:  # noqa: ANN401 (grpc's handlers are untyped tuples)
        for name, make in _KINDS.items():
            behaviour = getattr(handler, name)
            if behaviour is None:
                continue
            wrapped = (
                _stream(method, behaviour, self._surround)
                if inspect.isasyncgenfunction(behaviour)
                else _call(method, behaviour, self._surround)
            )
            return make(
                wrapped,
                request_deserializer=handler.request_deserializer,
                response_serializer=handler.response_serializer,
            )
        return handler


_KINDS: Final[dict[str, Callable[..., Any]]] = {
    "unary_unary": grpc.unary_unary_rpc_method_handler,
    "unary_stream": grpc.unary_stream_rpc_method_handler,
    "stream_unary": grpc.stream_unary_rpc_method_handler,
    "stream_stream": grpc.stream_stream_rpc_method_handler,
}


def _call(method: str, behaviour: Callable[..., Any], surround: Surround) -> Callable[..., Any]:
    async def call(request: object, context: Context) -> object:
        async with surround(method, context):
            answer = behaviour(request, context)
            return await answer if inspect.isawaitable(answer) else answer

    return call


def _stream(method: str, behaviour: Callable[..., Any], surround: Surround) -> Callable[..., Any]:
    async def stream(request: object, context: Context) -> AsyncIterator[object]:
        async with surround(method, context):
            async for one in behaviour(request, context):
                yield one

    return stream


@asynccontextmanager
async def errors(method: str, context: Context) -> AsyncIterator[None]:
    """Turn what a call raises into a status with detail. The outermost of all."""
    try:
        yield
    except (aio.AbortError, asyncio.CancelledError, GeneratorExit):
        raise
    except Exception as problem:
        error = known_error(problem)
        incident = ""
        if error is None:
            incident = secrets.token_hex(6)
            what = {"event": "incident", "incident": incident, "method": method}
            log.error("unforeseen failure\n%s", trace_of(problem), extra=what)
            error = HubError("INTERNAL")
        else:
            log.info("refused", extra={"event": "refused", "code": error.code, "method": method})
        await abort(context, error, incident)


def known_error(problem: BaseException) -> HubError | None:
    """The error that the caller may see, or None for one that nobody foresaw."""
    if isinstance(problem, HubError):
        return problem
    if isinstance(problem, TrustError | ConsentError):
        return of_core_error(problem.code, str(problem))
    if isinstance(problem, TimeoutError):
        return HubError("UNAVAILABLE", "the call took longer than its deadline; call again", retry_after_ms=1000)
    return of_database(problem)


async def abort(context: Context, error: HubError, incident: str = "") -> None:
    """End a call with this error. Raises aio.AbortError."""
    message = error.message[:MAX_MESSAGE]
    detail = errors_pb2.ErrorDetail(
        code=cast(Any, errors_pb2.ErrorCode.Value(error.code)),
        message=message,
        reason=error.reason,
        retry_after_ms=error.retry_after_ms,
        incident=incident,
    )
    await context.abort(error.status, message, ((DETAIL_KEY, detail.SerializeToString()),))


def deadline(seconds: float, *, unlimited: frozenset[str] = frozenset()) -> Surround:
    """No call runs longer than this, whatever the client asked for, but the long-lived streams in `unlimited`."""

    @asynccontextmanager
    async def surround(method: str, _context: Context) -> AsyncIterator[None]:
        if method in unlimited:
            yield
            return
        async with asyncio.timeout(seconds):
            yield

    return surround
