"""The relay's switch: carries frames between the two ends that `pairing` puts together. Knows no gRPC and no database.

Rules:
1. Frames are opaque bytes; they are counted, and written to the capture file if the settings name one, and nothing else.
2. An end's frames wait in its own bounded queue until its partner takes them.
3. An end that is told to end gets what its partner had sent before (`drain`), unless it is cut off with an error at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from hub.errors import HubError
from hub.relay.frames import FrameQueue
from hub.relay.pairing import End, Pairing, Side


class Stream(Protocol):
    """One attached stream; `read` gives None at its end."""

    async def read(self) -> bytes | None:
        """The next frame."""

    async def write(self, frame: bytes) -> None:
        """Send a frame, waiting for flow control."""


@dataclass(slots=True)
class RelayCounters:
    """What the relay has carried since the start."""

    frames: int = 0
    bytes: int = 0


class Attachment:
    """One end's stream while it lasts."""

    def __init__(self, end: End, node_id: str, queue_frames: int) -> None:
        """Made by `Switch.attach`."""
        self.end = end
        self.node_id = node_id
        self.outbox = FrameQueue(queue_frames)
        self.partner: asyncio.Future[Attachment | None] = asyncio.get_running_loop().create_future()
        self._stopped: asyncio.Future[HubError] = asyncio.get_running_loop().create_future()
        self._last_word: HubError | None = None

    @property
    def stopped(self) -> asyncio.Future[HubError]:
        """Done when this end is cut off at once."""
        return self._stopped

    @property
    def last_word(self) -> HubError | None:
        """The error to end with after the remaining frames; None for a plain end."""
        return self._last_word

    def meet(self, partner: Attachment | None) -> None:
        """The partner is there, or (None) will never come."""
        if not self.partner.done():
            self.partner.set_result(partner)

    def drain(self, error: HubError | None) -> None:
        """Take no more from this end; end it when it has what its partner sent, with this error if there is one."""
        self._last_word = self._last_word or error
        self.outbox.finish()
        self.meet(None)

    def cut(self, error: HubError) -> None:
        """End it at once."""
        self.outbox.finish()
        if not self._stopped.done():
            self._stopped.set_result(error)


class Switch:
    """All attachments of one hub process."""

    def __init__(
        self,
        *,
        queue_frames: int,
        max_frame_bytes: int,
        idle_s: float,
        capture: Path | None = None,
    ) -> None:
        """`max_frame_bytes` bounds a serialised frame; an end waits `idle_s` seconds for its partner."""
        self.counters = RelayCounters()
        self._pairing = Pairing()
        self._attachments: dict[End, Attachment] = {}
        self._queue_frames = queue_frames
        self._max_frame_bytes = max_frame_bytes
        self._idle_s = idle_s
        self._capture: BinaryIO | None = None if capture is None else capture.open("ab", buffering=0)
        self._listeners: list[Callable[[str], None]] = []

    def __len__(self) -> int:
        return len(self._attachments)

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call a listener with each exchange whose two ends have met."""
        self._listeners.append(listener)

    def exchanges(self) -> frozenset[str]:
        """Exchanges that have an end here."""
        return self._pairing.exchanges()

    async def serve(self, exchange_id: str, side: Side, node_id: str, stream: Stream) -> None:
        """Attach a stream and carry frames until it ends. Raises HubError where it ends with one."""
        attachment = self._attach(exchange_id, side, node_id)
        try:
            await self._carry(attachment, stream)
        finally:
            attachment.outbox.finish()
            del self._attachments[attachment.end]
            for end in self._pairing.leave(attachment.end):
                self._drain(end, None)

    def end_exchange(self, exchange_id: str, error: HubError) -> None:
        """An exchange is over: its ends get what is under way, then this error."""
        for end in self._pairing.close(exchange_id):
            self._drain(end, error)

    def end_node(self, node_id: str, error: HubError) -> None:
        """Cut a node's attachments off at once."""
        for attachment in list(self._attachments.values()):
            if attachment.node_id == node_id:
                attachment.cut(error)

    def close(self, error: HubError) -> None:
        """Cut everything off (the hub stops) and close the capture file."""
        for attachment in list(self._attachments.values()):
            attachment.cut(error)
        if self._capture is not None:
            self._capture.close()
            self._capture = None

    def _attach(self, exchange_id: str, side: Side, node_id: str) -> Attachment:
        attached = self._pairing.attach(exchange_id, side)
        for end in attached.ended:
            self._drain(end, None)
        attachment = self._attachments[attached.end] = Attachment(attached.end, node_id, self._queue_frames)
        if attached.partner is not None:
            partner = self._attachments[attached.partner]
            partner.meet(attachment)
            attachment.meet(partner)
            for listener in self._listeners:
                listener(exchange_id)
        return attachment

    def _drain(self, end: End, error: HubError | None) -> None:
        attachment = self._attachments.get(end)
        if attachment is not None:
            attachment.drain(error)

    async def _carry(self, attachment: Attachment, stream: Stream) -> None:
        """Read and write until the writing is done: the partner has left and its frames are delivered."""
        reading = asyncio.ensure_future(self._read(attachment, stream))
        writing = asyncio.ensure_future(self._write(attachment, stream))
        tasks: set[asyncio.Future[Any]] = {reading, writing, attachment.stopped}
        try:
            while True:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if attachment.stopped.done():
                    raise attachment.stopped.result()
                if writing.done():
                    writing.result()
                    break
                reading.result()
                tasks.discard(reading)  # the node will send no more; it may still receive
                if attachment.partner.done() is False:
                    break
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
        if attachment.last_word is not None:
            raise attachment.last_word

    async def _read(self, attachment: Attachment, stream: Stream) -> None:
        outbox, counters = attachment.outbox, self.counters
        while (frame := await stream.read()) is not None:
            if len(frame) > self._max_frame_bytes:
                raise HubError("TOO_LARGE", f"a frame of {len(frame)} bytes is over the limit; send smaller ones")
            counters.frames += 1
            counters.bytes += len(frame)
            if self._capture is not None:
                self._capture.write(frame)
            if not await outbox.put(frame):
                return
        outbox.finish()

    async def _write(self, attachment: Attachment, stream: Stream) -> None:
        try:
            async with asyncio.timeout(self._idle_s):
                partner = await asyncio.shield(attachment.partner)
        except TimeoutError:
            raise HubError(
                "PEER_OFFLINE", "the other node did not attach; try again when its operator has it running"
            ) from None
        if partner is None:
            return
        inbox = partner.outbox
        while (frame := await inbox.get()) is not None:
            await stream.write(frame)
