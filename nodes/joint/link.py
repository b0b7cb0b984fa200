"""One exchange of a job: what the agents say in order, and the bytes of their parties between the session and a process's socket.

A data frame begins with the number of the attempt, so that what a broken attempt left behind reaches
nobody. The party's messages are a stream here (length and message, `modeling.local.SocketChannel`), cut where it is convenient.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final

from nodes.errors import ExchangeFailed
from nodes.exchanges.frames import FrameType
from nodes.exchanges.session import PeerRestarted, Session
from nodes.joint.messages import Said, decode, encode

_HEAD: Final = struct.Struct(">I")
_PIECE: Final = 512 << 10
_ROWS_PIECE: Final = 1 << 20


class JointLink:
    """Use `run` in a task; then `say`, `hear`, and `join` for as long as a party's process runs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._heard: asyncio.Queue[Said | bytes | Exception] = asyncio.Queue()
        self._attempt = -1
        self._joined = asyncio.Event()
        self._socket: socket.socket | None = None
        self._up: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Read until the session ends; `hear` tells how it ended."""
        while True:
            try:
                kind, payload = await self._session.receive()
                if kind == FrameType.JOINT_DATA:
                    await self._deliver(payload)
                elif kind == FrameType.JOINT:
                    self._heard.put_nowait(decode(payload))
                elif kind == FrameType.JOINT_ROWS:
                    self._heard.put_nowait(payload)
                else:
                    raise ExchangeFailed(f"The other node sent a frame of type {kind} in a joint exchange.")
            except PeerRestarted as error:
                self._heard.put_nowait(error)
            except Exception as error:
                self._heard.put_nowait(error)
                return

    async def say(self, said: Said) -> None:
        """Send a message."""
        await self._session.send(FrameType.JOINT, encode(said))

    async def say_rows(self, data: bytes) -> None:
        """Send bytes about rows, in pieces."""
        for at in range(0, len(data), _ROWS_PIECE):
            await self._session.send(FrameType.JOINT_ROWS, data[at : at + _ROWS_PIECE])

    async def hear(self) -> Said:
        """The next message. Raises PeerRestarted, or what ended the session."""
        found = await self._heard.get()
        if isinstance(found, Exception):
            raise found
        if isinstance(found, bytes):
            raise ExchangeFailed("The other node sent rows that were not due.")
        return found

    async def hear_rows(self, size: int) -> bytes:
        """So many bytes about rows. Raises as `hear`, and ExchangeFailed for other sizes."""
        parts: list[bytes] = []
        while (missing := size - sum(map(len, parts))) > 0:
            found = await self._heard.get()
            if isinstance(found, Exception):
                raise found
            if not isinstance(found, bytes) or not 0 < len(found) <= missing:
                raise ExchangeFailed("The other node did not send the rows that were due.")
            parts.append(found)
        return b"".join(parts)

    def join(self, attempt: int, end: socket.socket) -> None:
        """Connect a process's socket for one attempt. Takes over the socket."""
        end.setblocking(False)
        self._attempt, self._socket = attempt, end
        self._joined.set()
        self._up = asyncio.get_running_loop().create_task(self._pump(attempt, end))

    async def part(self) -> None:
        """End the attempt: what comes of it later is dropped."""
        end, self._socket = self._socket, None
        if self._up is not None:
            self._up.cancel()
            await asyncio.gather(self._up, return_exceptions=True)
        if end is not None:
            end.close()

    async def drain(self) -> None:
        """Until everything that the process wrote before it ended has been handed to the session."""
        if self._up is not None:
            await asyncio.gather(self._up, return_exceptions=True)

    async def _pump(self, attempt: int, end: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        head = _HEAD.pack(attempt)
        with suppress(ConnectionError, PeerRestarted):
            while data := await loop.sock_recv(end, _PIECE):
                await self._session.send(FrameType.JOINT_DATA, head + data)

    async def _deliver(self, payload: bytes) -> None:
        if len(payload) <= _HEAD.size:
            raise ExchangeFailed("The other node sent an empty data frame.")
        (attempt,) = _HEAD.unpack_from(payload)
        while attempt > self._attempt:  # the other process was quicker: this one is being started
            self._joined.clear()
            await self._joined.wait()
        if attempt == self._attempt and self._socket is not None:
            with suppress(ConnectionError):  # the process is gone; its end is seen elsewhere
                await asyncio.get_running_loop().sock_sendall(self._socket, payload[_HEAD.size :])
