"""Wakes who waits for a change: topics of committed writes in, events of waiters out.

A topic is only a hint that something changed; whoever is woken reads the database. Everything here belongs to the event
loop's thread. A waiter registers before it reads, so that a change between its reading and its waiting is not lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from hub.notices import EVERYTHING


class Watch:
    """One waiter's event; a context manager that registers and forgets it."""

    def __init__(self, wakeups: Wakeups, topics: Iterable[str]) -> None:
        """Made by `Wakeups.watch`."""
        self._wakeups = wakeups
        self._topics = frozenset(topics)
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Something changed."""
        self._event.set()

    async def wait(self) -> None:
        """Return when something has changed since the last return (or since the registration)."""
        await self._event.wait()
        self._event.clear()

    def __enter__(self) -> Self:
        self._wakeups.add(self, self._topics)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wakeups.remove(self, self._topics)


class Wakeups:
    """All waiters of a hub process. `hear` is a listener of `Database.subscribe`."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self._watches: dict[str, set[Watch]] = {}

    def watch(self, topics: Iterable[str]) -> Watch:
        """A waiter for any of these topics; enter it before reading."""
        return Watch(self, topics)

    def hear(self, topics: frozenset[str]) -> None:
        """Wake who waits for one of these topics."""
        touched = self._watches.keys() if EVERYTHING in topics else topics & self._watches.keys()
        for topic in touched:
            for watch in self._watches[topic]:
                watch.wake()

    def add(self, watch: Watch, topics: frozenset[str]) -> None:
        """For `Watch` only."""
        for topic in topics:
            self._watches.setdefault(topic, set()).add(watch)

    def remove(self, watch: Watch, topics: frozenset[str]) -> None:
        """For `Watch` only."""
        for topic in topics:
            waiting = self._watches.get(topic, set())
            waiting.discard(watch)
            if not waiting:
                self._watches.pop(topic, None)
