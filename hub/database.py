"""The one seam to the database: SQLite by default, PostgreSQL by URL, the same services over both.

Rules:
1. Everything is written through `write`, by one thread in groups (`hub.group_commit`); everything else reads through
   `read`, in one snapshot, on a few threads, and cannot write.
2. SQLite runs in WAL mode with synchronous=FULL: a commit that returned survives kill -9 and a power cut. A write
   transaction begins IMMEDIATE, so that it never fails half-way for a lock.
3. On PostgreSQL a writer's transaction takes an advisory lock first: several hub processes append to the same logs in
   turn. What one committed, the others hear by NOTIFY.
4. The schema is brought up to date when the database is opened; a database newer than the program is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar, cast, overload

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url

from hub.database_errors import of_database
from hub.errors import HubError
from hub.group_commit import Writer, after_commit, group_of, open_group, touch
from hub.notices import CHANNEL, Notices

__all__ = ["Database", "after_commit", "group_of", "open_database", "open_group", "touch"]

S = TypeVar("S")
T = TypeVar("T")
READERS: Final = 4
BUSY_TIMEOUT_MS: Final = 10_000
# "xinqiao" in ASCII; any constant that other users of the same PostgreSQL do not take.
ADVISORY_LOCK: Final = 0x78696E7169616F


class Database:
    """An open database. Made by `open_database`; `close` ends its threads."""

    def __init__(self, url: URL, writing: Engine, reading: Engine) -> None:
        """Start the writer over two engines of the same database."""
        self.dialect = writing.dialect.name
        self._writing = writing
        self._reading = reading
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="hub-reader")
        self.writer = Writer(writing, open_group=self._lock, publish=self._notify)
        self._listeners: list[tuple[asyncio.AbstractEventLoop, Callable[[frozenset[str]], None]]] = []
        self.writer.listen(self._pass_on)
        self._notices = Notices(url, self._pass_on) if self.dialect == "postgresql" else None
        self.writer.start()
        if self._notices is not None:
            self._notices.start()

    @overload
    async def write(self, function: Callable[[Connection], T]) -> T: ...

    @overload
    async def write(
        self, function: Callable[[Connection], S], finish: Callable[[Connection, Sequence[S]], Sequence[T]]
    ) -> T: ...

    async def write(
        self,
        function: Callable[[Connection], Any],
        finish: Callable[[Connection, Sequence[Any]], Sequence[T]] | None = None,
    ) -> T:
        """Run a function in the writer's transaction and return once it is durable.

        `finish` is run once for all functions of the transaction that came with this very one (rule 6 of `hub.group_commit`).
        Raises what the function raised (its changes are undone), HubError DISK_FULL or UNAVAILABLE if the database
        failed. When the waiting task is cancelled the write may still take place.
        """
        future = self.writer.submit(function, asyncio.get_running_loop(), finish)
        return await cast("asyncio.Future[T]", future)

    def write_now(self, function: Callable[[Connection], T]) -> T:
        """The same for a thread without an event loop (commands, set-up). Never call it from an event loop."""
        return cast("Future[T]", self.writer.submit(function, None)).result()

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Run a function over one snapshot on a reader's thread; it cannot write."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.read_now, function)

    def read_now(self, function: Callable[[Connection], T]) -> T:
        """The same on the calling thread."""
        try:
            with self._reading.connect() as connection, connection.begin():
                return function(connection)
        except Exception as problem:
            known = of_database(problem)
            if known is not None:
                raise known from problem
            raise

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call a listener on the running event loop with the topics of every commit, other processes' included."""
        self._listeners.append((asyncio.get_running_loop(), listener))

    def close(self) -> None:
        """Finish the queued writes and end the threads. A second call does nothing."""
        self.writer.stop()
        if self._notices is not None:
            self._notices.stop()
        self._pool.shutdown()
        self._writing.dispose()
        self._reading.dispose()

    def _pass_on(self, topics: frozenset[str]) -> None:
        for loop, listener in self._listeners:
            if not loop.is_closed():
                loop.call_soon_threadsafe(listener, topics)

    def _lock(self, connection: Connection) -> None:
        if self.dialect == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})

    def _notify(self, connection: Connection, topics: list[str]) -> None:
        if self._notices is not None:
            for payload in self._notices.payloads(topics):
                connection.execute(
                    text("SELECT pg_notify(:channel, :payload)"), {"channel": CHANNEL, "payload": payload}
                )


def open_database(url: str, upgrade: Callable[[Connection], None] | None = None) -> Database:
    """Open a database and bring its schema up to date, by the hub's own migrations unless others are given.

    Raises HubError UNAVAILABLE if it cannot be reached, DISK_FULL, INVALID_ARGUMENT for a URL of another kind.
    """
    from hub import migrations

    address = make_url(url)
    writing, reading = _engines(address)
    try:
        with writing.connect() as connection, connection.begin():
            if writing.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            (upgrade or migrations.upgrade)(connection)
    except Exception as problem:
        writing.dispose()
        reading.dispose()
        known = of_database(problem)
        if known is not None:
            raise known from problem
        raise
    return Database(address, writing, reading)


def _engines(url: URL) -> tuple[Engine, Engine]:
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, writes=True), _sqlite(url, writes=False)
    if url.get_backend_name() == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
        writing = create_engine(url, pool_size=1, max_overflow=1, pool_pre_ping=True, hide_parameters=True)
        # One snapshot for a whole read: size, tiles and entries must belong together.
        reading = create_engine(
            url, pool_size=READERS, isolation_level="REPEATABLE READ", pool_pre_ping=True, hide_parameters=True
        )
        return writing, reading.execution_options(postgresql_readonly=True)
    raise HubError(
        "INVALID_ARGUMENT", f"a database of kind {url.get_backend_name()!r} is not supported; use SQLite or PostgreSQL"
    )


def _sqlite(url: URL, *, writes: bool) -> Engine:
    engine = create_engine(
        url,
        pool_size=1 if writes else READERS,
        max_overflow=1,
        hide_parameters=True,
        connect_args={"check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 (the driver's own connection)
        connection.isolation_level = (
            None  # we begin transactions ourselves: sqlite3's implicit ones cannot be IMMEDIATE
        )
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA foreign_keys=ON")
        if writes:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        else:
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
