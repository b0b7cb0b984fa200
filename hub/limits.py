"""How often a caller may call: a token bucket for each, so that one member cannot starve the others."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from hub.auth import caller
from hub.errors import HubError
from hub.interceptors import Context, Surround

# A caller may use this many seconds' worth of calls at once.
BURST_S: Final = 2.0
_MAX_CALLERS: Final = 50_000


@dataclass(slots=True)
class _Bucket:
    level: float
    at_s: float


class RateLimit:
    """Buckets that fill with `rate` calls per second up to `burst_s` seconds' worth. `clock` gives seconds, monotonic."""

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic, *, burst_s: float = BURST_S) -> None:
        """Start with full buckets for everybody."""
        self._rate = rate
        self._capacity = max(1.0, rate * burst_s)
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, who: str) -> None:
        """Take one call from a caller's bucket. Raises HubError RATE_LIMITED with the time until the next."""
        now_s = self._clock()
        bucket = self._buckets.get(who)
        if bucket is None:
            self._make_room(now_s)
            bucket = self._buckets[who] = _Bucket(self._capacity, now_s)
        bucket.level = min(self._capacity, bucket.level + (now_s - bucket.at_s) * self._rate)
        bucket.at_s = now_s
        if bucket.level < 1.0:
            raise HubError("RATE_LIMITED", retry_after_ms=max(1, round((1.0 - bucket.level) / self._rate * 1000)))
        bucket.level -= 1.0

    def _make_room(self, now_s: float) -> None:
        """Forget callers whose buckets are full again: they are as good as new."""
        if len(self._buckets) >= _MAX_CALLERS:
            refilled = now_s - self._capacity / self._rate
            self._buckets = {who: one for who, one in self._buckets.items() if one.at_s > refilled}


def by_member(limit: RateLimit) -> Surround:
    """Limit the calls of each member; stands inside `auth.node_identity`."""

    @asynccontextmanager
    async def surround(_method: str, _context: Context) -> AsyncIterator[None]:
        limit.take(caller().member_id)
        yield

    return surround


def by_address(limit: RateLimit) -> Surround:
    """Limit the calls of each network address, on the port where nobody is identified yet."""

    @asynccontextmanager
    async def surround(_method: str, context: Context) -> AsyncIterator[None]:
        limit.take(context.peer().rpartition(":")[0])
        yield

    return surround
