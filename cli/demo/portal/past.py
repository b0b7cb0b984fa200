"""What happened in the past, in its order: acts at their times, under a clock that only runs forward."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from portal.state import Portal

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
_TOGETHER: Final = 200
"""Acts in one transaction; each commit waits for the disk."""

Act = Callable[[Connection], None]


@dataclass
class Clock:
    """Milliseconds since the epoch, as a portal takes them."""

    now_ms: int

    def __call__(self) -> int:
        """Now."""
        return self.now_ms

    def go(self, now_ms: int) -> None:
        """Go on to a moment. Raises ValueError for one that is past."""
        if now_ms < self.now_ms:
            raise ValueError("the clock does not run back")
        self.now_ms = now_ms


@dataclass
class Past:
    """Acts that are to happen; each may add later ones."""

    portal: Portal
    clock: Clock
    _acts: list[tuple[int, int, Act]] = field(default_factory=list)
    _count: int = 0

    def at(self, time_ms: int, act: Act) -> None:
        """Let an act happen at a time."""
        self._count += 1
        heapq.heappush(self._acts, (time_ms, self._count, act))

    def play(self) -> int:
        """Let everything happen in its order; how many acts."""
        done = 0
        while self._acts:
            done += self.portal.db.write_now(self._some)
        return done

    def _some(self, connection: Connection) -> int:
        done = 0
        while self._acts and done < _TOGETHER:
            time_ms, _, act = heapq.heappop(self._acts)
            self.clock.go(time_ms)
            act(connection)
            done += 1
        return done
