"""A relay in memory that pairs two ends as the hub does, and can cut, alter, repeat and drop what it forwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nodes.errors import HubUnavailable

Tamper = Callable[[bytes], list[bytes]]


class MemoryRelay:
    """Two ends attach by name; frames of one go to the other. `tamper` may change what passes."""

    def __init__(self) -> None:
        self.ends: dict[str, _End] = {}
        self.passed: list[bytes] = []
        self.tamper: Tamper = lambda data: [data]
        self.down = False

    def link(self, name: str) -> _Link:
        return _Link(self, name)

    def cut(self) -> None:
        """Lose both connections."""
        for end in list(self.ends.values()):
            end.inbox.put_nowait(None)
        self.ends.clear()


class _Link:
    def __init__(self, relay: MemoryRelay, name: str) -> None:
        self.relay, self.name = relay, name

    async def attach(self, exchange_id: str) -> _End:
        await asyncio.sleep(0)
        if self.relay.down:
            raise HubUnavailable("the relay is down")
        old = self.relay.ends.get(self.name)
        if old is not None:
            self.relay.cut()
        elif len(self.relay.ends) == 0:
            pass
        end = _End(self.relay, self.name)
        self.relay.ends[self.name] = end
        for other in self.relay.ends.values():
            if other is not end:
                for data in other.waiting:
                    end.inbox.put_nowait(data)
                other.waiting.clear()
        return end


class _End:
    def __init__(self, relay: MemoryRelay, name: str) -> None:
        self.relay, self.name = relay, name
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.waiting: list[bytes] = []

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        if self.relay.ends.get(self.name) is not self:
            raise HubUnavailable("the connection was lost")
        self.relay.passed.append(data)
        other = next((end for end in self.relay.ends.values() if end is not self), None)
        for piece in self.relay.tamper(data):
            if other is None:
                self.waiting.append(piece)
            else:
                other.inbox.put_nowait(piece)

    async def read(self) -> bytes | None:
        return await self.inbox.get()

    async def finish(self) -> None:
        """The other end gets what was sent; then the pair is over, as at the hub."""
        other = next((end for end in self.relay.ends.values() if end is not self), None)
        if other is not None:
            other.inbox.put_nowait(None)
        self.inbox.put_nowait(None)

    def cancel(self) -> None:
        if self.relay.ends.get(self.name) is self:
            del self.relay.ends[self.name]
            for other in self.relay.ends.values():
                other.inbox.put_nowait(None)
            self.relay.ends.clear()
