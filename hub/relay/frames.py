"""A bounded queue of frames in one direction: the relay's backpressure.

One producer, one consumer, one event loop. A full queue stops the producer's reading, which stops the sender by HTTP/2 flow
control; the hub holds at most the limit of frames for each direction, however slow the receiver is.
"""

from __future__ import annotations

import asyncio
from collections import deque


class FrameQueue:
    """See the module."""

    def __init__(self, limit: int) -> None:
        """An empty queue of at most `limit` frames."""
        self._limit = limit
        self._frames: deque[bytes] = deque()
        self._finished = False
        self._room = asyncio.Event()
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._frames)

    async def put(self, frame: bytes) -> bool:
        """Add a frame, waiting for room; False if nobody will take it any more."""
        while len(self._frames) >= self._limit and not self._finished:
            self._room.clear()
            await self._room.wait()
        if self._finished:
            return False
        self._frames.append(frame)
        self._some.set()
        return True

    async def get(self) -> bytes | None:
        """The next frame, waiting for one; None when the queue is finished and empty."""
        while not self._frames:
            if self._finished:
                return None
            self._some.clear()
            await self._some.wait()
        self._room.set()
        return self._frames.popleft()

    def finish(self) -> None:
        """Take no more frames; those that are here can still be taken out."""
        self._finished = True
        self._some.set()
        self._room.set()
