"""The conversation of two nodes inside one exchange: encrypted end to end, ordered, surviving lost connections.

What travels through the relay is one byte that says which of three things follows:

    0 handshake   a message of `trust.handshake`; a first one also says "I hold no keys (any more)"
    1 resumption  epoch and the next sequence number expected: "I still hold the keys, go on from here"
    2 sealed      a frame of the secure channel

Rules, in this order:
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
from trust.channel import SecureChannel
from trust.errors import TrustError
from trust.handshake import ChannelContext, Handshake
from trust.sm2 import PrivateKey, PublicKey

log = logging.getLogger(__name__)

_HANDSHAKE, _RESUME, _SEALED = 0, 1, 2
_RESUME_FORM = struct.Struct(">BIQ")

_ACK_EVERY_FRAMES = 64
_ACK_EVERY_BYTES = 512 << 10  # below the smallest window that can be configured, or a sender would wait for ever


class PeerRestarted(Exception):
    """The other node lost its keys; what was under way must be taken up again."""


class RelayStream(Protocol):
    """One attachment to the relay."""

    async def write(self, data: bytes) -> None:
        """Send one message. Raises NodeError."""
        ...

    async def read(self) -> bytes | None:
        """The next message, or None when the relay or the other node went away."""
        ...

    def cancel(self) -> None:
        """Let go of the attachment."""
        ...


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
    inbox_frames: int = 16


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
        self._inbox: asyncio.Queue[tuple[int, bytes] | Exception] = asyncio.Queue(self._limits.inbox_frames)
        self._ready = asyncio.Event()
        self._window = asyncio.Event()
        self._sending = asyncio.Lock()
        self._failure: Exception | None = None
        self._closing = False
        self._unacked_frames = 0
        self._unacked_bytes = 0
        self._patience_until: float | None = None
        self._was_ready = False

    @property
    def terms(self) -> SessionTerms:
        """What this session is bound to."""
        return self._terms

    # -- the owner's side -------------------------------------------------------------------------------------------------

    async def wait_ready(self) -> None:
        """Until both nodes share keys. Raises the failure that prevents it."""
        await self._ready.wait()
        self._check()

    async def send(self, frame_type: FrameType, payload: bytes) -> None:
        """Seal and send; waits while more than the window is unacknowledged or the connection is away.

        Raises PeerRestarted when the keys were replaced meanwhile, else what ended the session.
        """
        await self._ready.wait()
        self._check()
        channel = self._channel
        while channel is not None and channel.in_flight_bytes > self._limits.window_bytes:
            self._window.clear()
            await self._window.wait()
            self._check()
        # Whoever stops waiting does not stop the write: a cancelled write would cancel the stream, and a second one beside it fails.
        await asyncio.shield(self._send_in_turn(channel, frame_type, payload))

    async def _send_in_turn(self, channel: SecureChannel | None, frame_type: FrameType, payload: bytes) -> None:
        async with self._sending:
            if channel is None or channel is not self._channel:
                raise PeerRestarted
            await self._write_sealed(channel, frame_type, payload)

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
        if frame_type == FrameType.ERROR:
            failure = decode(payload, Failure)
            raise ExchangeFailed(
                f"The other node broke off: {failure.message}", code=failure.code, reason=failure.reason
            )
        if frame_type == FrameType.CLOSE:
            raise SessionClosed
        return frame_type, payload

    async def close(self, failure: Failure | None = None) -> None:
        """Tell the other node that this is the end, and end."""
        self._closing = True
        if self._channel is not None and self._stream is not None and self._failure is None:
            with suppress(Exception):
                kind = FrameType.ERROR if failure is not None else FrameType.CLOSE
                last = encode(failure) if failure is not None else b""
                await asyncio.wait_for(self._send_in_turn(self._channel, kind, last), 2.0)
                await asyncio.sleep(0)
        if self._stream is not None:
            self._stream.cancel()

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
                async with self._attached() as stream:
                    await self._converse(stream)
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
    async def _attached(self) -> AsyncIterator[RelayStream]:
        stream = await self._relay.attach(self._terms.exchange_id)
        self._stream = stream
        try:
            yield stream
        finally:
            self._stream = None
            self._ready.clear()
            stream.cancel()

    async def _converse(self, stream: RelayStream) -> None:
        """Rule 1, then read until the stream ends, or until the other node has not answered for too long."""
        self._handshake = None
        if self._channel is not None:
            await stream.write(_RESUME_FORM.pack(_RESUME, self._epoch, self._channel.next_expected))
        else:
            await self._start_handshake(stream)
        reading = asyncio.ensure_future(stream.read())
        try:
            while True:
                while not self._ready.is_set() and not reading.done():
                    if asyncio.get_running_loop().time() > (self._patience_until or 0.0):
                        return
                    await asyncio.wait({reading}, timeout=0.5)
                data = await reading
                if data is None:
                    return
                await self._handle(stream, data)
                reading = asyncio.ensure_future(stream.read())
        finally:
            reading.cancel()

    async def _handle(self, stream: RelayStream, data: bytes) -> None:
        kind = data[0] if data else -1
        if kind == _SEALED and self._channel is not None and self._ready.is_set():
            await self._deliver(self._channel, data)
        elif kind == _HANDSHAKE:
            await self._shake(stream, data[1:])
        elif kind == _RESUME and len(data) == _RESUME_FORM.size:
            await self._resume(stream, data)
        elif kind not in (_SEALED, _RESUME):
            raise ExchangeFailed(
                "The relay delivered something that is no message of this protocol; the exchange was ended."
            )

    async def _deliver(self, channel: SecureChannel, data: bytes) -> None:
        opened = channel.open(memoryview(data)[1:])
        if opened is None:  # a repetition during resumption
            return
        frame_type, payload = opened
        if frame_type == FrameType.ACK:
            channel.acknowledge(int.from_bytes(payload, "big"))
            self._window.set()
            return
        self._unacked_frames += 1
        self._unacked_bytes += len(payload)
        await self._inbox.put((frame_type, payload))
        if self._unacked_frames >= _ACK_EVERY_FRAMES or self._unacked_bytes >= _ACK_EVERY_BYTES:
            self._unacked_frames = self._unacked_bytes = 0
            async with self._sending:
                if channel is self._channel:
                    await self._write_sealed(channel, FrameType.ACK, channel.next_expected.to_bytes(8, "big"))

    async def _write_sealed(self, channel: SecureChannel, frame_type: FrameType, payload: bytes) -> None:
        """Seal first: if the connection is away the frame waits in the channel and is sent again on resumption."""
        frame = channel.seal(int(frame_type), payload)
        stream = self._stream
        if stream is not None and self._ready.is_set():
            try:
                await stream.write(b"\x02" + frame)
            except NodeError as error:
                if not error.retryable:
                    raise

    async def _start_handshake(self, stream: RelayStream) -> None:
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
            await stream.write(bytes((_HANDSHAKE,)) + message)

    async def _shake(self, stream: RelayStream, message: bytes) -> None:
        if self._handshake is None:  # the other node lost its keys: rule 3
            self._ready.clear()
            await self._start_handshake(stream)
        handshake = self._handshake
        if handshake is None:
            raise ExchangeFailed("The handshake could not be started; the exchange was ended.")
        for answer in handshake.step(message):
            await stream.write(bytes((_HANDSHAKE,)) + answer)
        if handshake.done:
            restarted = self._channel is not None
            async with self._sending:
                self._channel = SecureChannel(handshake.keys, self._terms.role)
                self._epoch = handshake.keys.epoch
                self._handshake = None
                self._unacked_frames = self._unacked_bytes = 0
            self._become_ready()
            if restarted:
                await self._inbox.put(PeerRestarted())

    async def _resume(self, stream: RelayStream, data: bytes) -> None:
        _, epoch, next_expected = _RESUME_FORM.unpack(data)
        channel = self._channel
        if channel is None or self._handshake is not None:
            return  # we have said hello; the other side will shake hands
        if epoch != self._epoch:  # the last handshake was completed at one end only
            await self._start_handshake(stream)
            return
        async with self._sending:
            channel.acknowledge(next_expected)
            channel.resume()
            for frame in channel.unacknowledged():
                await stream.write(b"\x02" + frame)
            self._become_ready()

    def _become_ready(self) -> None:
        self._was_ready = True
        self._ready.set()
        self._window.set()

    async def _end(self, failure: Exception) -> None:
        self._failure = failure
        self._ready.set()
        self._window.set()
        with suppress(asyncio.QueueFull):
            self._inbox.put_nowait(failure)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure


class SessionClosed(ExchangeFailed):
    """The other node, or this one, ended the exchange in order."""

    def __init__(self) -> None:
        super().__init__("The exchange was closed. Open a new one.", code="EXCHANGE_ENDED")
