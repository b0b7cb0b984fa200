"""Whether the event loop has its turn while something is decided, without looking at a clock."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any


class AfterTurn:
    """What a decision reads, but not before the event loop had a turn: who decides in the loop's own thread waits in vain."""

    def __init__(self, read: object) -> None:
        self._read = read
        self._reached, self._turn = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        self._reached.set()
        assert self._turn.wait(10), "the event loop had no turn"
        return getattr(self._read, name)

    async def turn(self, change: Callable[[], None]) -> None:
        """What another coroutine does once the decision is under way."""
        while not self._reached.is_set():
            await asyncio.sleep(0.001)
        change()
        self._turn.set()
