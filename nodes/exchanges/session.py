"""The conversation of two nodes inside one exchange: encrypted end to end, ordered, surviving lost connections.

What travels through the relay is told in `outgoing`. Rules, in this order:
1. Whoever attaches with keys resumes; whoever attaches without (first time, or after a restart) shakes hands anew.
2. A resumption at the epoch that both hold sends again, byte for byte, what the other has not seen; the channel drops repetitions
   only then.
3. A handshake replaces the keys at both ends. What was under way is lost, and both owners are told by `PeerRestarted`: they
   continue from their own durable state (a query is repeated under its request key, a transfer from its last complete part).
4. Any frame that is forged, repeated, missing or out of order ends the session at both ends.

The hub sees sizes and times of frames and nothing else. Resumption messages are not authenticated: a lying hub can only make the
exchange fail.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Literal, Protocol

from nodes.errors import ExchangeFailed, NodeError
from nodes.exchanges.frames import Failure, FrameType, decode, encode
from nodes.exchanges.outgoing import MessageKind, Outgoing, RelayStream, frames_of, malformed_message
from trust.channel import SecureChannel
from trust.errors import TrustError
from trust.handshake import ChannelContext, Handshake
from trust.sm2 import PrivateKey, PublicKey

log = logging.getLogger(__name__)

_HANDSHAKE, _RESUMPTION, _SEALED = (bytes((kind,)) for kind in MessageKind)
_RESUMPTION_FORM = struct.Struct(">IQ")

_ACK_EVERY_FRAMES = 64
_ACK_EVERY_BYTES = 512 << 10  # below the smallest window that can be configured, or a sender would wait for ever
_LAST_WORD_S = 2.0
_LOOK_EVERY_S = 0.5


class PeerRestarted(Exception):
    """The other node lost its keys; what was under way must be taken up again."""


class Relay(Protocol):
    """Attaches to an exchange's relay. Raises NodeError; `retryable` says whether trying again can help."""

    async def attach(self, exchange_id: str) -> RelayStream:
        """Attach once more."""
        ...


@dataclass(frozen=True, kw_only=True)
class SessionTerms:
    """Who talks to whom about what; bound into the keys."""

    exchange_id: str
    requester_node: str
    provider_node: str
    mode: str
    policy_digest: bytes
    role: Literal["requester", "provider"]


@dataclass(frozen=True, kw_only=True)
class SessionLimits:
    """Deadlines in seconds and the most that may be in flight."""

    join_s: float = 30.0
    reconnect_s: float = 60.0
    backoff_s: float = 0.05
    window_bytes: int = 32 << 20
    inbox_bytes: int = 8 << 20


class Session:
    """One node's end of the conversation. Owner calls `run()` in a task, then `send` and `receive`."""

    def __init__(
        self,
        terms: SessionTerms,
        *,
        identity: PrivateKey,
        peer_identity: PublicKey,
        relay: Relay,
        limits: SessionLimits | None = None,
    ) -> None:
        self._terms = terms
        self._identity = identity
        self._peer_identity = peer_identity
        self._relay = relay
        self._limits = limits or SessionLimits()
        self._epoch = 0
        self._channel: SecureChannel | None = None
        self._handshake: Handshake | None = None
        self._stream: RelayStream | None = None
        self._outgoing: Outgoing | None = None
        self._inbox: asyncio.Queue[tuple[int, bytes] | Exception] = asyncio.Queue()
        self._inbox_bytes = 0
        self._taken = asyncio.Event()
        self._detached = asyncio.Event()
        self._detached.set()
        self._ready = asyncio.Event()
        self._window = asyncio.Event()
        self._failure: Exception | None = None
        self._closing = False
        self._unacked_frames = 0
        self._unacked_bytes = 0
        self._patience_until: float | None = None
        self._was_ready = False
        self.restarts = 0
        """How often the keys were replaced, each told by one `PeerRestarted`."""

    @property
    def terms(self) -> SessionTerms:
        """What this session is bound to."""
        return self._terms

    # -- the owner's side -------------------------------------------------------------------------------------------------

    async def wait_ready(self) -> None:
        """Until both nodes share keys. Raises the failure that prevents it."""
        await self._ready.wait()
        self._check()

    async def writable(self) -> SecureChannel:
        """Until less than the window is unacknowledged; the channel that then takes frames. Raises as `send`."""
        await self._ready.wait()
        self._check()
        channel = self._channel
        while channel is not None and channel.in_flight_bytes > self._limits.window_bytes:
            self._window.clear()
            await self._window.wait()
            self._check()
        if channel is None:
            raise PeerRestarted
        return channel

    async def send(self, frame_type: FrameType, payload: bytes, *, restarts: int | None = None) -> None:
        """Seal and send; waits while more than the window is unacknowledged or the connection is away.

        `restarts`: of which the sender knows; what it says to a peer that it believes to be there is not for one that began anew.
        Raises PeerRestarted when the keys were replaced meanwhile, else what ended the session.
        """
        channel = await self.writable()
        if channel is not self._channel or restarts not in {None, self.restarts}:
            raise PeerRestarted
        self._seal(channel, frame_type, payload)
        if self._outgoing is not None:
            await self._outgoing.room()

    async def send_message(self, frame_type: FrameType, message: object) -> None:
        """Send a control payload."""
        await self.send(frame_type, encode(message))  # type: ignore[arg-type]

    async def receive(self) -> tuple[int, bytes]:
        """The next frame's type and payload. Raises PeerRestarted, or what ended the session."""
        if self._failure is not None and self._inbox.empty():
            raise self._failure
        item = await self._inbox.get()
        if isinstance(item, Exception):
            raise item
        frame_type, payload = item
        self._inbox_bytes -= len(payload)
        self._taken.set()
        if frame_type == FrameType.ERROR:
            failure = decode(payload, Failure)
            raise ExchangeFailed(
                f"The other node broke off: {failure.message}", code=failure.code, reason=failure.reason
            )
        if frame_type == FrameType.CLOSE:
            raise SessionClosed
        return frame_type, payload

    async def close(self, failure: Failure | None = None) -> None:
        """Tell the other node that this is the end, wait until it has let go, and end."""
        self._closing = True
        stream, outgoing = self._stream, self._outgoing
        if stream is not None and outgoing is not None and self._ready.is_set() and self._failure is None:
            with suppress(TimeoutError, NodeError, TrustError):
                async with asyncio.timeout(_LAST_WORD_S):
                    await self._say_last(stream, outgoing, failure)
        if self._stream is not None:
            self._stream.cancel()

    async def _say_last(self, stream: RelayStream, outgoing: Outgoing, failure: Failure | None) -> None:
        if self._channel is None:
            return
        kind = FrameType.CLOSE if failure is None else FrameType.ERROR
        self._seal(self._channel, kind, b"" if failure is None else encode(failure))
        await outgoing.flush()
        await stream.finish()
        await self._detached.wait()  # the relay ends our side when the other has everything

    def wait_longer(self, seconds: float) -> None:
        """The other node's operator has to approve first: wait for it up to this long."""
        self._patience_until = asyncio.get_running_loop().time() + seconds

    async def abort(self, failure: Exception) -> None:
        """End for a reason that did not come through the channel (the hub says that the exchange is over)."""
        self._closing = True
        await self._end(failure)
        if self._stream is not None:
            self._stream.cancel()

    # -- the connection's side --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Attach, converse, and attach again until closed or failed. Never raises; `receive` and `send` tell."""
        try:
            await self._attach_until_closed()
        except asyncio.CancelledError:
            await self._end(SessionClosed())
            raise
        except (NodeError, TrustError) as error:
            await self._end(error)

    async def _attach_until_closed(self) -> None:
        loop = asyncio.get_running_loop()
        self._patience_until = max(self._patience_until or 0.0, loop.time() + self._limits.join_s)
        backoff_s = self._limits.backoff_s
        while not self._closing:
            if loop.time() > self._patience_until:
                raise ExchangeFailed(
                    "The other node did not answer in time. It may be down: ask its operator, then try again.",
                    code="PEER_OFFLINE",
                )
            try:
                async with self._attached() as (stream, outgoing):
                    await self._converse(stream, outgoing)
            except NodeError as error:
                if not error.retryable:
                    raise
            if self._ready_once():
                self._patience_until = loop.time() + self._limits.reconnect_s
                backoff_s = self._limits.backoff_s
            if not self._closing:
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, 1.0)
        await self._end(SessionClosed())

    def _ready_once(self) -> bool:
        """Whether the connection that just ended was a working one; asked once for each."""
        was, self._was_ready = self._was_ready, False
        return was

    @asynccontextmanager
    async def _attached(self) -> AsyncIterator[tuple[RelayStream, Outgoing]]:
        stream = await self._relay.attach(self._terms.exchange_id)
        self._stream = stream
        outgoing = self._outgoing = Outgoing(stream)
        self._detached.clear()
        try:
            yield stream, outgoing
        finally:
            self._stream = self._outgoing = None
            self._ready.clear()
            self._detached.set()
            stream.cancel()

    async def _converse(self, stream: RelayStream, outgoing: Outgoing) -> None:
        """Rule 1, then read until the stream ends, or until the other node has not answered for too long."""
        self._handshake = None
        if self._channel is not None:
            outgoing.add(MessageKind.RESUMPTION, _RESUMPTION_FORM.pack(self._epoch, self._channel.next_expected))
        else:
            self._start_handshake(outgoing)
        writing = asyncio.ensure_future(outgoing.run())
        reading = asyncio.ensure_future(self._read(stream, outgoing))
        try:
            while not reading.done():
                due = {reading} if writing.done() else {reading, writing}
                await asyncio.wait(due, timeout=_LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                if writing.done():
                    writing.result()
                if not self._ready.is_set() and asyncio.get_running_loop().time() > (self._patience_until or 0.0):
                    return
            reading.result()
        finally:
            reading.cancel()
            writing.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)

    async def _read(self, stream: RelayStream, outgoing: Outgoing) -> None:
        while (message := await stream.read()) is not None:
            await self._handle(outgoing, message)

    async def _handle(self, outgoing: Outgoing, message: bytes) -> None:
        kind = message[:1]
        if kind == _SEALED:
            if self._channel is not None and self._ready.is_set():
                for frame in frames_of(message):
                    await self._deliver(self._channel, frame)
        elif kind == _HANDSHAKE:
            self._shake(outgoing, message[1:])
        elif kind == _RESUMPTION and len(message) == 1 + _RESUMPTION_FORM.size:
            self._resume(outgoing, *_RESUMPTION_FORM.unpack_from(message, 1))
        else:
            raise malformed_message()

    async def _deliver(self, channel: SecureChannel, frame: memoryview) -> None:
        opened = channel.open(frame)
        if opened is None:  # a repetition during resumption
            return
        frame_type, payload = opened
        if frame_type == FrameType.ACK:
            channel.acknowledge(int.from_bytes(payload, "big"))
            self._window.set()
            return
        self._unacked_frames += 1
        self._unacked_bytes += len(payload)
        self._inbox_bytes += len(payload)
        self._inbox.put_nowait((frame_type, payload))
        if self._unacked_frames >= _ACK_EVERY_FRAMES or self._unacked_bytes >= _ACK_EVERY_BYTES:
            self._unacked_frames = self._unacked_bytes = 0
            self._seal(channel, FrameType.ACK, channel.next_expected.to_bytes(8, "big"))
        while self._inbox_bytes > self._limits.inbox_bytes and not self._closing:
            self._taken.clear()
            await self._taken.wait()

    def _seal(self, channel: SecureChannel, frame_type: FrameType, payload: bytes) -> None:
        """Seal first: if the connection is away the frame waits in the channel and is sent again on resumption."""
        frame = channel.seal(int(frame_type), payload)
        if self._outgoing is not None and self._ready.is_set():
            self._outgoing.add(MessageKind.SEALED, frame)

    def _start_handshake(self, outgoing: Outgoing) -> Handshake:
        terms = self._terms
        context = ChannelContext(
            exchange_id=terms.exchange_id,
            requester_node=terms.requester_node,
            provider_node=terms.provider_node,
            mode=terms.mode,
            policy_digest=terms.policy_digest,
            epoch=self._epoch + 1,
        )
        self._handshake = Handshake(context, terms.role, self._identity, self._peer_identity)
        for message in self._handshake.step(None):
            outgoing.add(MessageKind.HANDSHAKE, message)
        return self._handshake

    def _shake(self, outgoing: Outgoing, message: bytes) -> None:
        handshake = self._handshake
        if handshake is None:  # the other node lost its keys: rule 3
            self._ready.clear()
            handshake = self._start_handshake(outgoing)
        for answer in handshake.step(message):
            outgoing.add(MessageKind.HANDSHAKE, answer)
        if handshake.done:
            restarted = self._channel is not None
            self._channel = SecureChannel(handshake.keys, self._terms.role)
            self._epoch = handshake.keys.epoch
            self._handshake = None
            self._unacked_frames = self._unacked_bytes = 0
            self._become_ready()
            if restarted:
                self.restarts += 1
                self._inbox.put_nowait(PeerRestarted())

    def _resume(self, outgoing: Outgoing, epoch: int, next_expected: int) -> None:
        channel = self._channel
        if channel is None or self._handshake is not None:
            return  # we have said hello; the other side will shake hands
        if epoch != self._epoch:  # the last handshake was completed at one end only
            self._start_handshake(outgoing)
            return
        channel.acknowledge(next_expected)
        channel.resume()
        for frame in channel.unacknowledged():
            outgoing.add(MessageKind.SEALED, frame)
        self._become_ready()

    def _become_ready(self) -> None:
        self._was_ready = True
        self._ready.set()
        self._window.set()

    async def _end(self, failure: Exception) -> None:
        self._failure = failure
        self._ready.set()
        self._window.set()
        self._taken.set()
        self._inbox.put_nowait(failure)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure


class SessionClosed(ExchangeFailed):
    """The other node, or this one, ended the exchange in order."""

    def __init__(self) -> None:
        super().__init__("The exchange was closed. Open a new one.", code="EXCHANGE_ENDED")
