"""The exchange's session as a link of whole messages: what is said, with the blobs that it brings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from nodes.errors import ExchangeFailed
from nodes.exchanges.frames import FrameType
from nodes.exchanges.session import Session
from nodes.scoring.messages import Said, decode

_PIECE: Final = 1 << 20

Heard = tuple[Said, tuple[bytes, ...]]


class ScoreLink:
    """Many may `say` at once; one `hear`s. `sent_bytes`, `received_bytes`: of blobs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._saying = asyncio.Lock()
        self.sent_bytes = self.received_bytes = 0

    async def say(self, said: Said, blobs: Sequence[bytes] = ()) -> None:
        """Send a message and its blobs. Raises PeerRestarted, or what ended the session."""
        told = msgspec.structs.replace(said, sizes=tuple(map(len, blobs)))
        data = b"".join(blobs)
        self.sent_bytes += len(data)
        async with self._saying:
            await self._session.send(FrameType.SCORE, msgspec.json.encode(told))
            for at in range(0, len(data), _PIECE):
                await self._session.send(FrameType.SCORE_DATA, data[at : at + _PIECE])

    async def hear(self) -> Heard:
        """The next message. Raises PeerRestarted, ExchangeFailed, or what ended the session."""
        kind, payload = await self._session.receive()
        if kind != FrameType.SCORE:
            raise ExchangeFailed(f"The other node sent a frame of type {kind} in an exchange of scoring.")
        said = decode(payload)
        data = bytearray()
        while len(data) < sum(said.sizes):
            kind, payload = await self._session.receive()
            if kind != FrameType.SCORE_DATA or not payload:
                raise ExchangeFailed("The other node did not send the bytes that it had announced.")
            data += payload
        if len(data) != sum(said.sizes):
            raise ExchangeFailed("The other node sent more bytes than it had announced.")
        self.received_bytes += len(data)
        blobs, at = [], 0
        for size in said.sizes:
            blobs.append(bytes(data[at : at + size]))
            at += size
        return said, tuple(blobs)
