"""The nodes that are connected to this hub process: one push stream each.

Rules:
1. A node has one session. A newer stream of the same node ends the older one: after a broken connection the old stream may
   look alive for a while, and two would both be half right.
2. A session is ended by its error at once, whatever it is doing (`end_node` when a node is revoked); who registered with
   `listen` hears of it and ends what else that node has open.
3. Everything here belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hub.errors import HubError


class Session:
    """One node's open push stream."""

    def __init__(self, node_id: str, version: str) -> None:
        """Made by `PushSessions.open`."""
        self.node_id = node_id
        self.version = version
        self._ended: asyncio.Future[HubError] = asyncio.get_running_loop().create_future()

    def end(self, error: HubError) -> None:
        """End the stream with this error; the first one counts."""
        if not self._ended.done():
            self._ended.set_result(error)

    async def run(self, work: Awaitable[None]) -> None:
        """Do the stream's work until it fails or the session is ended. Raises the error that ended it."""
        task = asyncio.ensure_future(work)
        waiting: set[asyncio.Future[Any]] = {task, self._ended}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                raise self._ended.result()
            task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class PushSessions:
    """The registry (`hub.state.Sessions`)."""

    def __init__(self) -> None:
        """Nobody is connected."""
        self._open: dict[str, Session] = {}
        self._listeners: list[Callable[[str, HubError], None]] = []

    def connected(self) -> list[str]:
        """Ids of the connected nodes, sorted."""
        return sorted(self._open)

    def version_of(self, node_id: str) -> str:
        """The software of a connected node, as it says itself; empty for one that is not."""
        session = self._open.get(node_id)
        return "" if session is None else session.version

    def is_connected(self, node_id: str) -> bool:
        """Whether this node has an open stream here."""
        return node_id in self._open

    @contextmanager
    def open(self, node_id: str, version: str = "") -> Iterator[Session]:
        """A session for as long as the context lasts; `version`: the node's software."""
        older = self._open.get(node_id)
        if older is not None:
            older.end(
                HubError("UNAVAILABLE", "a newer stream of this node has replaced this one; run one agent per node")
            )
        session = self._open[node_id] = Session(node_id, version)
        try:
            yield session
        finally:
            if self._open.get(node_id) is session:
                del self._open[node_id]

    def listen(self, listener: Callable[[str, HubError], None]) -> None:
        """Call a listener with (node id, error) when a node is cut off, whether it is connected or not."""
        self._listeners.append(listener)

    def end_node(self, node_id: str, code: str, message: str) -> None:
        """Cut a node off: end its stream at once, and tell the listeners."""
        error = HubError(code, message)
        session = self._open.get(node_id)
        if session is not None:
            session.end(error)
        for listener in self._listeners:
            listener(node_id, error)

    def end_all(self, error: HubError) -> None:
        """End every stream (the hub stops)."""
        for session in list(self._open.values()):
            session.end(error)
