"""How long to wait before trying again: exponential, with jitter, so that a thousand nodes do not return as one."""

from __future__ import annotations

import random
from typing import Final

FIRST_S: Final = 0.2
LONGEST_S: Final = 30.0
_FACTOR: Final = 2.0


class Backoff:
    """Full jitter over a doubling bound: the k-th wait is uniform in [first, first * 2^k], never above the longest.

    `rng` decides the jitter; it protects nothing, so it need not be cryptographic.
    """

    def __init__(self, rng: random.Random, *, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> None:
        self._rng = rng
        self._first_s = first_s
        self._longest_s = longest_s
        self._bound_s = first_s

    def next_s(self) -> float:
        """Return the next wait in seconds and widen the bound."""
        wait_s = self._rng.uniform(self._first_s, self._bound_s)
        self._bound_s = min(self._longest_s, self._bound_s * _FACTOR)
        return wait_s

    def reset(self) -> None:
        """Start again with the shortest wait, after something succeeded."""
        self._bound_s = self._first_s
