"""One exchange of a job: what the agents say in order, and the bytes of their parties between the session and a process's sockets.

A data frame begins with the number of the attempt, so that what a broken attempt left behind reaches nobody, and with the place of the
party that it goes to or comes from (0: the bank's). The parties' messages are streams here (length and message, as
`modeling.local.SocketChannel` writes them), cut where it is convenient. What one provider sends to another passes through the bank's
agent, sealed (`tunnel`).

Where a link has several destinations nothing may wait for one of them: a party that reads from one peer while another's bytes fill its
socket would never be reached again. Then bytes wait in memory; a link with one destination makes the sender wait instead.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

import msgspec

from nodes.errors import ExchangeFailed
from nodes.exchanges.frames import FrameType
from nodes.exchanges.session import PeerRestarted, Session
from nodes.party.process import PartyProcess
from nodes.party.tunnel import Tunnel

S = TypeVar("S")
_HEAD: Final = struct.Struct(">IB")
_PIECE: Final = 512 << 10
_ROWS_PIECE: Final = 1 << 20
_MOST_EARLY: Final = 256 << 20
"""Bytes that may wait for a process that is being started, each frame with what it costs to keep."""
_FRAME_COST: Final = 256

Forward = Callable[[int, int, bytes], Awaitable[None]]
"""Passes a frame on: attempt, the place that it goes to, what was sealed."""


class _End:
    """A socket of the party's process. `tunnel`: for a peer that is another provider."""

    def __init__(self, end: socket.socket, tunnel: Tunnel | None, *, waits: bool) -> None:
        self._socket, self.tunnel, self._waits = end, tunnel, waits
        end.setblocking(False)
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._writing: asyncio.Task[None] | None = None
        if not waits:
            self._writing = asyncio.get_running_loop().create_task(self._write_all())

    async def write(self, data: bytes) -> None:
        """Hand bytes to the process; one that is gone takes none, and its end is seen elsewhere."""
        if not self._waits:
            self._queue.put_nowait(data)
            return
        # A task that `close` ends, so that the link goes on: a socket that is closed under a sender wakes nobody.
        self._writing = asyncio.get_running_loop().create_task(self._write(data))
        await asyncio.wait({self._writing})

    async def read(self) -> bytes:
        """What the process has written; nothing at its end."""
        try:
            return await asyncio.get_running_loop().sock_recv(self._socket, _PIECE)
        except ConnectionError:
            return b""

    async def close(self) -> None:
        """Let go of the process, also when cancelled meanwhile."""
        try:
            if self._writing is not None:
                self._writing.cancel()
                await asyncio.gather(self._writing, return_exceptions=True)
        finally:
            self._socket.close()

    async def _write(self, data: bytes) -> None:
        with suppress(ConnectionError):
            await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def _write_all(self) -> None:
        while True:
            await self._write(await self._queue.get())


class PartyLink(Generic[S]):
    """Use `run` in a task; then `say`, `hear`, and `join` for as long as a party's process runs."""

    def __init__(self, session: Session, decode: Callable[[bytes], S], forward: Forward | None = None) -> None:
        """`decode`: reads what the agents say. `forward`: at the bank, for what one provider sends to another."""
        self._session = session
        self._decode = decode
        self._forward = forward
        self._heard: asyncio.Queue[S | bytes | Exception] = asyncio.Queue()
        self._restarts = session.restarts
        """Of the other node, as far as the owner of this link has heard."""
        self._attempt = -1
        self._early: deque[tuple[int, int, bytes]] = deque()
        self._early_bytes = 0
        self._ends: dict[int, _End] = {}
        self._pumps: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Read until the session ends; `hear` tells how it ended."""
        while True:
            try:
                kind, payload = await self._session.receive()
                if kind == FrameType.JOINT_DATA:
                    await self._deliver(payload)
                elif kind == FrameType.JOINT:
                    self._heard.put_nowait(self._decode(payload))
                elif kind == FrameType.JOINT_ROWS:
                    self._heard.put_nowait(payload)
                else:
                    raise ExchangeFailed(f"The other node sent a frame of type {kind} in a joint exchange.")
            except PeerRestarted as error:
                self._attempt = -1  # whoever counts the attempts may have begun anew
                self._early.clear()
                self._early_bytes = 0
                self._heard.put_nowait(error)
            except Exception as error:
                self._heard.put_nowait(error)
                return

    async def say(self, said: S) -> None:
        """Send a message. Raises PeerRestarted where the other node began anew and the owner has not heard of it yet."""
        await self._send(FrameType.JOINT, msgspec.json.encode(said))

    async def say_rows(self, data: bytes) -> None:
        """Send bytes about rows, in pieces. Raises as `say`."""
        for at in range(0, len(data), _ROWS_PIECE):
            await self._send(FrameType.JOINT_ROWS, data[at : at + _ROWS_PIECE])

    async def hear(self) -> S:
        """The next message. Raises PeerRestarted, or what ended the session."""
        found = await self._next()
        if isinstance(found, bytes):
            raise ExchangeFailed("The other node sent rows that were not due.")
        return found

    async def hear_rows(self, size: int) -> bytes:
        """So many bytes about rows. Raises as `hear`, and ExchangeFailed for other sizes."""
        parts: list[bytes] = []
        while (missing := size - sum(map(len, parts))) > 0:
            found = await self._next()
            if not isinstance(found, bytes) or not 0 < len(found) <= missing:
                raise ExchangeFailed("The other node did not send the rows that were due.")
            parts.append(found)
        return b"".join(parts)

    async def _send(self, frame_type: FrameType, data: bytes) -> None:
        try:
            await self._session.send(frame_type, data, restarts=self._restarts)
        except PeerRestarted:
            while True:  # what the node said before it was lost is of no use any more
                await self._next()

    async def _next(self) -> S | bytes:
        found = await self._heard.get()
        if isinstance(found, PeerRestarted):
            self._restarts += 1
        if isinstance(found, Exception):
            raise found
        return found

    async def send_data(self, attempt: int, place: int, data: bytes) -> None:
        """One data frame; for an attempt whose session has changed it is dropped."""
        with suppress(PeerRestarted):
            await self._session.send(FrameType.JOINT_DATA, _HEAD.pack(attempt, place) + data)

    async def join(
        self, attempt: int, ends: Mapping[int, socket.socket], tunnels: Mapping[int, Tunnel] | None = None
    ) -> None:
        """Connect a process's sockets for one attempt, by the place of the party at their other end. Takes over the sockets."""
        waits = len(ends) == 1 and self._forward is None
        made = {place: _End(end, (tunnels or {}).get(place), waits=waits) for place, end in ends.items()}
        self._ends = made
        for end in made.values():
            if end.tunnel is not None:
                await end.tunnel.start()
        while self._early:  # what comes meanwhile is put behind
            of, place, data = self._early.popleft()
            self._early_bytes -= len(data) + _FRAME_COST
            if of == attempt:
                await self._hand_over(attempt, place, data)
        self._attempt = attempt
        loop = asyncio.get_running_loop()
        self._pumps = [loop.create_task(self._pump(attempt, place, end)) for place, end in made.items()]

    async def part(self) -> None:
        """End the attempt: what comes of it later is dropped."""
        ends, self._ends = self._ends, {}
        for task in self._pumps:
            task.cancel()
        try:
            await asyncio.gather(*self._pumps, return_exceptions=True)
        finally:
            await asyncio.gather(*(end.close() for end in ends.values()))

    async def drain(self) -> None:
        """Until everything that the process wrote before it ended has been handed to the session."""
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _pump(self, attempt: int, place: int, end: _End) -> None:
        while data := await end.read():
            if end.tunnel is not None:
                await end.tunnel.seal(data)
            else:
                await self.send_data(attempt, place, data)

    async def _deliver(self, payload: bytes) -> None:
        if len(payload) <= _HEAD.size:
            raise ExchangeFailed("The other node sent an empty data frame.")
        attempt, place = _HEAD.unpack_from(payload)
        data = payload[_HEAD.size :]
        if attempt > self._attempt:  # the other process was quicker: this one is being started
            self._early.append((attempt, place, data))
            self._early_bytes += len(data) + _FRAME_COST
            if self._early_bytes > _MOST_EARLY:
                raise ExchangeFailed("The other node sends before this one has begun.", code="PROTOCOL_VIOLATION")
        elif attempt == self._attempt:
            await self._hand_over(attempt, place, data)

    async def _hand_over(self, attempt: int, place: int, data: bytes) -> None:
        end = self._ends.get(place)
        if end is None:
            if self._forward is not None and place > 0 and self._ends:
                await self._forward(attempt, place, data)
            return
        opened = data if end.tunnel is None else await end.tunnel.open(data)
        if opened:
            await end.write(opened)


async def end_party(process: PartyProcess, *links: PartyLink[Any]) -> None:
    """End an attempt: part its links, kill its process, close its sockets. All of it also when cancelled meanwhile."""
    try:
        await asyncio.gather(*(link.part() for link in links))
    finally:
        for end in process.sockets.values():  # of links that were not joined yet
            end.close()
        await process.kill()
