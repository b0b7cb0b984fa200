"""Two providers of one job talk through the bank, which carries their frames and reads none of them.

The same handshake and channel as between any two nodes, by their identity keys in the directory; bound to the job and both nodes, with
new keys in each attempt. There is no resumption: below lie two exchanges that lose nothing, and when one of them breaks the attempt
is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from consent.directory import Directory
from nodes.errors import ExchangeFailed
from nodes.exchanges.frames import FrameType
from trust.channel import Role, SecureChannel
from trust.errors import TrustError
from trust.handshake import ChannelContext, Handshake
from trust.sm2 import PrivateKey
from trust.suite import sm3

_SHAKE, _SEALED = b"\0", b"\1"
_DOMAIN: Final = b"xinqiao/joint-tunnel/v1\0"
_PIECE: Final = 1 << 20
"""Sealed, with the link's head, it still fits one frame of the exchange that it passes through."""

Send = Callable[[bytes], Awaitable[None]]


class Tunnel:
    """One end. `leads`: this node's place is the lower one."""

    def __init__(
        self,
        *,
        job: str,
        attempt: int,
        own_node: str,
        peer_node: str,
        leads: bool,
        identity: PrivateKey,
        directory: Directory,
        apart_from: frozenset[str],
        send: Send,
    ) -> None:
        """Raises ExchangeFailed unless the peer is an active node of a member other than `apart_from` (the bank, and this one)."""
        peer = directory.node(peer_node)
        if peer is None or peer.revoked or peer.member_id in apart_from:
            raise ExchangeFailed(
                f"Node {peer_node} is no active node of a further provider; this node does not talk to it through the bank.",
                code="PROTOCOL_VIOLATION",
            )
        first, second = (own_node, peer_node) if leads else (peer_node, own_node)
        context = ChannelContext(
            exchange_id=job,
            requester_node=first,
            provider_node=second,
            mode="joint",
            policy_digest=sm3(_DOMAIN + job.encode()),
            epoch=attempt,
        )
        self._role: Role = "requester" if leads else "provider"
        self._handshake = Handshake(context, self._role, identity, peer.identity_key)
        self._channel: SecureChannel | None = None
        self._ready = asyncio.Event()
        self._send = send
        self._sent = 0

    async def start(self) -> None:
        """Say hello."""
        for message in self._handshake.step(None):
            await self._send(_SHAKE + message)

    async def seal(self, data: bytes) -> None:
        """Send the party's bytes, once both share keys."""
        await self._ready.wait()
        if self._channel is None:
            raise AssertionError
        for at in range(0, len(data), _PIECE):
            frame = self._channel.seal(int(FrameType.JOINT_DATA), data[at : at + _PIECE])
            self._sent += 1
            self._channel.acknowledge(self._sent)  # nothing is lost below: nothing is kept to be sent again
            await self._send(_SEALED + frame)

    async def open(self, data: bytes) -> bytes:
        """The party's bytes in what came; none in a message of the handshake. Raises ExchangeFailed."""
        kind, body = data[:1], data[1:]
        try:
            if kind == _SEALED and self._channel is not None:
                opened = self._channel.open(body)
                return b"" if opened is None else opened[1]
            if kind != _SHAKE or self._channel is not None:
                raise ExchangeFailed("Another provider's frame came out of turn.", code="PROTOCOL_VIOLATION")
            for answer in self._handshake.step(body):
                await self._send(_SHAKE + answer)
            if self._handshake.done:
                self._channel = SecureChannel(self._handshake.keys, self._role)
                self._ready.set()
        except TrustError as error:
            raise ExchangeFailed(
                f"Another provider's frame is not genuine: {error}", code="PROTOCOL_VIOLATION"
            ) from error
        return b""
