"""What travels through the relay, and how it leaves: many small frames in one message.

A message is one byte that says which of three things follows:

    0 handshake   a message of `trust.handshake`; a first one also says "I hold no keys (any more)"
    1 resumption  epoch and the next sequence number expected: "I still hold the keys, go on from here"
    2 sealed      frames of the secure channel, each after its length (4 bytes, big-endian)

Rules:
1. Messages leave one after another in the order in which they were added.
2. What is sealed while a message is being written leaves together in the next one. There is no timer: an idle connection sends at
   once, a busy one shares the cost of a message among its frames.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, Protocol

from nodes.errors import ExchangeFailed, NodeError

SHARED_BYTES: Final = 256 << 10
"""Frames share a message up to this size; a larger frame has one for itself."""
_QUEUE_BYTES: Final = 4 << 20
_LENGTH: Final = struct.Struct(">I")


class MessageKind(IntEnum):
    """First byte of a message; part of the wire contract."""

    HANDSHAKE = 0
    RESUMPTION = 1
    SEALED = 2


class RelayStream(Protocol):
    """One attachment to the relay."""

    async def write(self, data: bytes) -> None:
        """Send one message. Raises NodeError."""
        ...

    async def read(self) -> bytes | None:
        """The next message, or None when the relay or the other node went away."""
        ...

    async def finish(self) -> None:
        """Say that no more will be written."""
        ...

    def cancel(self) -> None:
        """Let go of the attachment."""
        ...


def frames_of(message: bytes) -> Iterator[memoryview]:
    """The frames of a sealed message. Raises ExchangeFailed if lengths and message do not fit."""
    view = memoryview(message)
    at = 1
    while at < len(view):
        end = at + _LENGTH.size
        if end > len(view):
            raise malformed_message()
        begin, end = end, end + _LENGTH.unpack_from(view, at)[0]
        if end > len(view):
            raise malformed_message()
        yield view[begin:end]
        at = end


class Outgoing:
    """The messages of one attachment on their way out. `run` writes; nobody else writes to the stream."""

    def __init__(self, stream: RelayStream) -> None:
        self._stream = stream
        self._waiting: deque[tuple[MessageKind, bytes]] = deque()
        self._waiting_bytes = 0
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._written = asyncio.Event()
        self._ended = False

    def add(self, kind: MessageKind, body: bytes) -> None:
        """Queue a message, or a frame of one."""
        if self._ended:
            return
        self._waiting.append((kind, body))
        self._waiting_bytes += len(body)
        self._written.clear()
        self._some.set()

    async def room(self) -> None:
        """Until the queue is short again: what makes a fast sender wait for a slow connection."""
        while self._waiting_bytes > _QUEUE_BYTES and not self._ended:
            self._room.clear()
            await self._room.wait()

    async def flush(self) -> None:
        """Until everything is written, or the connection is lost."""
        while self._waiting and not self._ended:
            await self._written.wait()

    async def run(self) -> None:
        """Write until the connection is lost. Raises NodeError if it was refused for good."""
        try:
            while True:
                while not self._waiting:
                    self._written.set()
                    self._some.clear()
                    await self._some.wait()
                await self._stream.write(self._take())
                self._room.set()
        except NodeError as error:
            if not error.retryable:
                raise
        finally:
            self._ended = True
            self._waiting.clear()
            self._room.set()
            self._written.set()

    def _take(self) -> bytes:
        """The next message: one control message, or as many frames as may share one."""
        waiting = self._waiting
        kind, body = waiting.popleft()
        size = len(body)
        parts = [bytes((kind,))]
        if kind is MessageKind.SEALED:
            parts.append(_LENGTH.pack(len(body)))
        parts.append(body)
        while kind is MessageKind.SEALED and waiting and waiting[0][0] is kind:
            if size + len(waiting[0][1]) > SHARED_BYTES:
                break
            _, frame = waiting.popleft()
            size += len(frame)
            parts += (_LENGTH.pack(len(frame)), frame)
        self._waiting_bytes -= size
        return b"".join(parts)


def malformed_message() -> ExchangeFailed:
    """What a message that fits no form is answered with."""
    return ExchangeFailed("The relay delivered something that is no message of this protocol; the exchange was ended.")
