"""The peer of the query benchmark: a bare gRPC echo through a bare relay, nothing encrypted, decided or recorded.

Three processes, as in the real path: client, relay, echo. Run as `python -m bench.echo relay PORT` and `… echo RELAY_PORT`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc

from cli.demo.network import free_ports

_METHOD = "/bench.Relay/Attach"


class _Relay:
    """Pairs the first two streams and forwards bytes."""

    def __init__(self) -> None:
        self._queues: list[asyncio.Queue[bytes]] = [asyncio.Queue(64), asyncio.Queue(64)]
        self._next = 0

    async def attach(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:  # noqa: ANN401 - grpc's
        mine, self._next = self._next % 2, self._next + 1

        async def forward() -> None:
            async for message in requests:
                await self._queues[1 - mine].put(message)

        task = asyncio.create_task(forward())
        try:
            while True:
                yield await self._queues[mine].get()
        finally:
            task.cancel()


async def relay(port: int) -> None:
    """Serve until killed."""
    handler: Any = grpc.stream_stream_rpc_method_handler(_Relay().attach)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Relay", {"Attach": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def echo(port: int) -> None:
    """Send back what comes, the first eight bytes its number, the rest as large as the real answer."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.stream_stream(_METHOD)(wait_for_ready=True)
        while True:
            message: Any = await call.read()
            size = int.from_bytes(message[8:12], "big")
            await call.write(message[:8] + bytes(size))


async def _measure(port: int, request_bytes: int, reply_bytes: int, seconds: float, concurrency: int) -> float:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.stream_stream(_METHOD)(wait_for_ready=True)
        pending: dict[int, asyncio.Future[None]] = {}
        numbers = iter(range(1 << 60))

        async def read() -> None:
            while True:
                message: Any = await call.read()
                pending.pop(int.from_bytes(message[:8], "big")).set_result(None)

        reading = asyncio.create_task(read())
        done = 0
        writing = asyncio.Lock()

        async def ask(until: float) -> None:
            nonlocal done
            while time.monotonic() < until:
                number = next(numbers)
                future = pending[number] = asyncio.get_running_loop().create_future()
                async with writing:
                    await call.write(number.to_bytes(8, "big") + reply_bytes.to_bytes(4, "big") + bytes(request_bytes))
                await future
                done += 1

        await asyncio.wait_for(ask(time.monotonic() + 0.2), 20)
        done, began = 0, time.monotonic()
        await asyncio.gather(*(ask(began + seconds) for _ in range(concurrency)))
        rate = done / (time.monotonic() - began)
        reading.cancel()
        return rate


def measure(request_bytes: int, reply_bytes: int, seconds: float, concurrency: int) -> float:
    """Round trips a second through the bare relay."""
    (port,) = free_ports(1)
    processes = [subprocess.Popen([sys.executable, "-m", "bench.echo", role, str(port)]) for role in ("relay", "echo")]
    try:
        return asyncio.run(_measure(port, request_bytes, reply_bytes, seconds, concurrency))
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    asyncio.run({"relay": relay, "echo": echo}[sys.argv[1]](int(sys.argv[2])))
