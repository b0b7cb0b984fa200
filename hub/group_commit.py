"""The one writer of a hub process: many small functions, one transaction, one fsync.

Rules:
1. One thread writes. It takes what is queued, opens one transaction, runs each function inside a savepoint of its
   own, commits once, and only then tells the callers: what was acknowledged is on the disk.
2. A function that fails is rolled back alone, with everything that it left in memory (`Participant.rewind`); only its
   caller gets the error.
3. If the database itself fails (disk full, connection lost), the whole group is rolled back and every caller of it
   gets that error; nothing of the group was acknowledged, and calling again is safe.
4. What must happen once per transaction (appending a run of leaves, notifying other processes) is done by
   participants before the commit; what must happen only if it held (waking streams) by callbacks after it.
5. A function runs in the writer's thread: it uses the connection it is given, does not wait for anything else, and is
   short.
6. What one signature or one walk through a tree can do for many (proofs under a checkpoint of now) is done by a `finish`:
   once for all functions of a group that share it, after the last of them and before the commit. If it fails, their
   callers get the error, as after a lost reply: what they wrote holds, and calling again is safe.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar, cast

from sqlalchemy import Connection, Engine

from hub.database_errors import of_database, trace_of
from hub.errors import HubError

T = TypeVar("T")
MAX_GROUP: Final = 512
MAX_QUEUED: Final = 20_000
_INFO_KEY: Final = "xinqiao.group"

log = logging.getLogger(__name__)


class Participant(Protocol):
    """State in memory that belongs to an open group: it must follow the savepoints and the outcome."""

    def mark(self) -> object:
        """Return where this state stands, to come back to."""

    def rewind(self, mark: object | None) -> None:
        """Forget what came after the mark (None: everything); the database was rolled back to there."""

    def flush(self, connection: Connection) -> None:
        """Write what is still pending: the commit follows."""

    def settle(self, *, committed: bool) -> None:
        """The group is over."""


@dataclass(slots=True)
class Group:
    """One open transaction of the writer, reachable from its connection."""

    participants: dict[str, Participant] = field(default_factory=dict)
    topics: list[str] = field(default_factory=list)
    callbacks: list[Callable[[], None]] = field(default_factory=list)

    def mark(self) -> tuple[dict[str, object], int, int]:
        """Remember the state before a function runs."""
        return {name: one.mark() for name, one in self.participants.items()}, len(self.topics), len(self.callbacks)

    def rewind(self, mark: tuple[dict[str, object], int, int]) -> None:
        """Forget what the failed function left."""
        marks, topics, callbacks = mark
        for name, one in self.participants.items():
            one.rewind(marks.get(name))
        del self.topics[topics:]
        del self.callbacks[callbacks:]


def open_group(connection: Connection) -> Group | None:
    """The open group of the writer's connection; None for any other connection."""
    group = connection.info.get(_INFO_KEY)
    return group if isinstance(group, Group) else None


def group_of(connection: Connection) -> Group:
    """The open group of the writer's connection. Raises RuntimeError outside `Database.write`."""
    group = open_group(connection)
    if group is None:
        raise RuntimeError("this may only be called inside Database.write")
    return group


def after_commit(connection: Connection, callback: Callable[[], None]) -> None:
    """Run a callback on the caller's event loop once the group is durable, before the caller hears of it."""
    group_of(connection).callbacks.append(callback)


def touch(connection: Connection, topic: str) -> None:
    """Say that something under this topic (a log's origin, for one) changed; listeners hear after the commit."""
    group_of(connection).topics.append(topic)


@dataclass(slots=True)
class _Work(Generic[T]):
    """A queued function and who waits for it."""

    function: Callable[[Connection], Any]
    finish: Callable[[Connection, Sequence[Any]], Sequence[T]] | None
    future: Future[T] | asyncio.Future[T]
    loop: asyncio.AbstractEventLoop | None
    callbacks: list[Callable[[], None]] = field(default_factory=list)
    result: T | None = None
    error: BaseException | None = None

    def deliver(self) -> None:
        """Tell the waiter, on the thread that its future belongs to."""
        for callback in self.callbacks:
            try:
                callback()
            except Exception:
                log.exception("a callback after a commit failed")
        if self.future.cancelled() or self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(cast(T, self.result))


class Writer:
    """The writer's thread over an engine whose transactions are exclusive from their beginning."""

    def __init__(
        self,
        engine: Engine,
        *,
        open_group: Callable[[Connection], None],
        publish: Callable[[Connection, list[str]], None],
    ) -> None:
        """Prepare the thread; `open_group` runs first in each transaction, `publish` last (notices of topics)."""
        self._engine = engine
        self._open_group = open_group
        self._publish = publish
        self._queue: queue.Queue[_Work[Any] | None] = queue.Queue()
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub-writer", daemon=True)
        self.commits = 0
        self.functions = 0

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what is queued, then end."""
        if not self._closed.is_set():
            self._closed.set()
            self._queue.put(None)
            if self._thread.is_alive():
                self._thread.join()

    @property
    def queued(self) -> int:
        """How many functions wait."""
        return self._queue.qsize()

    def listen(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call a listener in the writer's thread with the topics of each group that was committed."""
        self._listeners.append(listener)

    def submit(
        self,
        function: Callable[[Connection], Any],
        loop: asyncio.AbstractEventLoop | None,
        finish: Callable[[Connection, Sequence[Any]], Sequence[T]] | None = None,
    ) -> Future[T] | asyncio.Future[T]:
        """Queue a function; `finish` gets what it and its like returned, and gives what the callers are told (rule 6).

        Raises HubError UNAVAILABLE when stopping or when too much is queued.
        """
        if self._closed.is_set():
            raise HubError("UNAVAILABLE", "the hub is stopping; call again when it is back", retry_after_ms=2000)
        if self._queue.qsize() >= MAX_QUEUED:
            raise HubError(
                "UNAVAILABLE", "the hub has more writes waiting than it can take; call again", retry_after_ms=500
            )
        future: Future[T] | asyncio.Future[T] = Future() if loop is None else loop.create_future()
        self._queue.put(_Work(function, finish, future, loop))
        return future

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            works = [] if first is None else [first]
            last = first is None
            while not last and len(works) < MAX_GROUP:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    last = True
                else:
                    works.append(following)
            if works:
                self._serve([work for work in works if not work.future.cancelled()])
            if last:
                return

    def _serve(self, works: list[_Work[Any]]) -> None:
        """Run one group and tell everybody; the thread survives whatever happens in it."""
        group = Group()
        try:
            self._transact(works, group)
        except Exception as problem:
            log.warning("a group of %d writes was rolled back\n%s", len(works), trace_of(problem))
            for work in works:
                work.callbacks, work.result = [], None
                work.error = of_database(problem) or problem
            self._settle(group, committed=False)
        else:
            self.commits += 1
            self.functions += len(works)
            self._settle(group, committed=True)
        self._tell(works)

    def _transact(self, works: list[_Work[Any]], group: Group) -> None:
        with self._engine.connect() as connection, connection.begin():
            connection.info[_INFO_KEY] = group
            try:
                self._open_group(connection)
                for work in works:
                    self._one(connection, group, work)
                for finish in dict.fromkeys(work.finish for work in works):
                    if finish is not None:
                        done = [work for work in works if work.finish == finish and work.error is None]
                        self._finish(connection, group, finish, done)
                for participant in group.participants.values():
                    participant.flush(connection)
                if group.topics:
                    self._publish(connection, sorted(set(group.topics)))
            finally:
                connection.info.pop(_INFO_KEY, None)

    def _one(self, connection: Connection, group: Group, work: _Work[Any]) -> None:
        """Run a function in a savepoint. Raises only what ends the whole group."""
        callbacks = len(group.callbacks)

        def run() -> None:
            work.result = work.function(connection)

        work.error = self._alone(connection, group, run)
        work.callbacks = group.callbacks[callbacks:]

    def _finish(
        self,
        connection: Connection,
        group: Group,
        finish: Callable[[Connection, Sequence[Any]], Sequence[Any]],
        works: list[_Work[Any]],
    ) -> None:
        """Rule 6 for the works that did not fail. Raises only what ends the whole group."""

        def run() -> None:
            results = finish(connection, [work.result for work in works])
            for work, result in zip(works, results, strict=True):
                work.result = result

        problem = self._alone(connection, group, run) if works else None
        for work in works:
            work.error = problem

    def _alone(self, connection: Connection, group: Group, run: Callable[[], None]) -> Exception | None:
        """Run something in a savepoint of its own; what it raised, once all that it did is undone."""
        # The driver's own connection: a savepoint through SQLAlchemy costs more than a small append.
        driver = cast(Any, connection.connection.driver_connection)
        mark = group.mark()
        driver.execute("SAVEPOINT one")
        try:
            run()
        except Exception as problem:
            if of_database(problem) is not None:
                raise
            driver.execute("ROLLBACK TO SAVEPOINT one")
            driver.execute("RELEASE SAVEPOINT one")
            group.rewind(mark)
            return problem
        driver.execute("RELEASE SAVEPOINT one")
        return None

    def _settle(self, group: Group, *, committed: bool) -> None:
        for participant in group.participants.values():
            try:
                participant.settle(committed=committed)
            except Exception:
                log.exception("a participant of a group failed after its end")
        if committed and group.topics:
            topics = frozenset(group.topics)
            for listener in self._listeners:
                try:
                    listener(topics)
                except Exception:
                    log.exception("a listener of commits failed")

    def _tell(self, works: list[_Work[Any]]) -> None:
        """Wake each event loop once for all its futures: a wake-up costs more than a small write."""
        by_loop: dict[asyncio.AbstractEventLoop | None, list[_Work[Any]]] = {}
        for work in works:
            by_loop.setdefault(work.loop, []).append(work)
        for loop, own in by_loop.items():
            if loop is None:
                _deliver(own)
                continue
            try:
                loop.call_soon_threadsafe(_deliver, own)
            except RuntimeError:  # the loop is closed: nobody waits any more
                log.info("%d writes ended after their event loop was closed", len(own))


def _deliver(works: list[_Work[Any]]) -> None:
    for work in works:
        work.deliver()
