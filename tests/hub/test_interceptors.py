from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio
from xinqiao.v1 import errors_pb2

from hub.errors import HubError
from hub.interceptors import DETAIL_KEY, Around, Context, deadline, errors
from trust.errors import SignatureInvalid


class Method:
    """A service of one method per kind of RPC, over raw bytes, that fails as it is told to."""

    def __init__(self, problem: BaseException | None = None, *, wait_s: float = 0.0) -> None:
        self.problem = problem
        self.wait_s = wait_s

    async def call(self, request: bytes, context: Context) -> bytes:
        await asyncio.sleep(self.wait_s)
        if self.problem is not None:
            raise self.problem
        return request

    async def stream(self, request: bytes, context: Context) -> AsyncIterator[bytes]:
        yield request
        yield await self.call(request, context)

    async def echo(self, requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async for request in requests:
            yield await self.call(request, context)

    async def last(self, requests: AsyncIterator[bytes], context: Context) -> bytes:
        found = b""
        async for request in requests:
            found = await self.call(request, context)
        return found

    async def written(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """A stream that reads and writes by the context, as the relay does."""
        async for request in requests:
            await context.write(await self.call(request, context))

    def handler(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "test.Service",
            {
                "Call": grpc.unary_unary_rpc_method_handler(self.call),
                "Stream": grpc.unary_stream_rpc_method_handler(self.stream),
                "Echo": grpc.stream_stream_rpc_method_handler(self.echo),
                "Last": grpc.stream_unary_rpc_method_handler(self.last),
                "Written": grpc.stream_stream_rpc_method_handler(self.written),
            },
        )


@asynccontextmanager
async def serving(method: Method, *interceptors: Around) -> AsyncIterator[aio.Channel]:
    server = aio.server(interceptors=list(interceptors) or [Around(errors)])
    server.add_generic_rpc_handlers((method.handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(0)


async def use(channel: aio.Channel, kind: str, *, pause_s: float = 0.0) -> list[bytes]:
    """Make one call. A client that still sends when the server ends the call gets an error of its own: hence the pause."""

    async def two() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(pause_s)
        yield b"two"

    if kind == "Call":
        return [await channel.unary_unary("/test.Service/Call")(b"one")]
    if kind == "Stream":
        return [one async for one in channel.unary_stream("/test.Service/Stream")(b"one")]
    if kind == "Last":
        return [await channel.stream_unary("/test.Service/Last")(two())]
    return [one async for one in channel.stream_stream(f"/test.Service/{kind}")(two())]


def detail_of(problem: aio.AioRpcError) -> errors_pb2.ErrorDetail:
    found: Any = dict(problem.trailing_metadata() or ())
    return errors_pb2.ErrorDetail.FromString(found[DETAIL_KEY])


KINDS = ["Call", "Stream", "Echo", "Last", "Written"]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_succeeds_passes_unchanged(kind: str) -> None:
    expected = {"Call": [b"one"], "Stream": [b"one", b"one"], "Last": [b"two"]}.get(kind, [b"one", b"two"])
    async with serving(Method()) as channel:
        assert await use(channel, kind) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("problem", "code", "status"),
    [
        (HubError("RATE_LIMITED", retry_after_ms=250), "RATE_LIMITED", grpc.StatusCode.RESOURCE_EXHAUSTED),
        (SignatureInvalid("key sm2:x did not sign"), "SIGNATURE_INVALID", grpc.StatusCode.PERMISSION_DENIED),
        (OSError(28, "disk"), "DISK_FULL", grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
async def test_a_foreseen_error_carries_its_code_and_status(
    kind: str, problem: Exception, code: str, status: grpc.StatusCode
) -> None:
    async with serving(Method(problem)) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await use(channel, kind, pause_s=0.5)
    detail = detail_of(caught.value)
    assert caught.value.code() is status
    assert errors_pb2.ErrorCode.Name(detail.code) == code
    assert detail.message == caught.value.details()
    assert detail.incident == ""
    assert detail.retry_after_ms == getattr(problem, "retry_after_ms", 0)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unforeseen_error_is_an_incident_whose_text_stays_here(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "hub.interceptors"):
        async with serving(Method(RuntimeError("secret: 42"))) as channel:
            with pytest.raises(aio.AioRpcError) as caught:
                await use(channel, kind, pause_s=0.5)
    detail = detail_of(caught.value)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "42" not in repr(caught.value) + detail.message
    told = [record for record in caplog.records if record.name == "hub.interceptors"]
    assert [record.__dict__["incident"] for record in told] == [detail.incident]
    assert "secret: 42" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
async def test_no_call_outlives_its_deadline(kind: str) -> None:
    async with serving(Method(wait_s=5.0), Around(errors), Around(deadline(0.05))) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await asyncio.wait_for(use(channel, kind, pause_s=0.5), 30)
    assert errors_pb2.ErrorCode.Name(detail_of(caught.value).code) == "UNAVAILABLE"


async def test_a_long_lived_stream_has_no_deadline() -> None:
    unlimited = deadline(0.05, unlimited=frozenset({"/test.Service/Echo"}))
    async with serving(Method(wait_s=0.1), Around(errors), Around(unlimited)) as channel:
        assert await use(channel, "Echo") == [b"one", b"two"]


async def test_an_error_of_an_inner_interceptor_is_mapped_and_the_handler_never_runs() -> None:
    @asynccontextmanager
    async def refuse(_method: str, _context: Context) -> AsyncIterator[None]:
        raise HubError("NODE_REVOKED")
        yield

    method = Method(RuntimeError("must not run"))
    async with serving(method, Around(errors), Around(refuse)) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await use(channel, "Call")
    assert errors_pb2.ErrorCode.Name(detail_of(caught.value).code) == "NODE_REVOKED"


async def test_an_unknown_method_is_left_to_grpc() -> None:
    async with serving(Method()) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await channel.unary_unary("/test.Service/Other")(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
