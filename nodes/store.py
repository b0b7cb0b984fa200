"""The node's database: SQLite with one writer thread and group commit.

The rules of this module:
1. Whoever got the result of `write` can rely on it after `kill -9` and after loss of power (WAL,
   synchronous=FULL).
2. Many functions share one transaction, each inside its own savepoint: one that raises is rolled back alone
   and its caller gets the error; the others are not touched.
3. If the commit fails, none of them happened and every caller is told.
4. Functions run one after another on the writer thread, so that what they read and then write cannot race.
5. One process per database: a lock file refuses the second, unless it is opened as `shared`; then processes wait for one
   another's transactions.

The cost of an fsync is shared by all functions that arrive while the one before is under way; nobody waits
for a timer.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from nodes.errors import DiskFull, SchemaTooNew, StoreFailed, StoreInUse
from nodes.schema import MIGRATIONS

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_log = logging.getLogger(__name__)

_GROUP_LIMIT: Final = 1024
"""Functions per transaction at most, so that the first caller never waits for more than these."""
_READERS: Final = 2
_BUSY_TIMEOUT_MS: Final = 10_000


@dataclass(slots=True)
class _Job:
    work: Work[Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Store:
    """An open node database. `open` it in the event loop's thread, `await close()` it at the end.

    A function given to `write` or `read` gets a `sqlite3.Connection`, returns a value, and must neither
    commit, roll back nor keep the connection.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: IO[str] | None) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-read")
        self._reader = threading.local()
        self._reader_connections: list[sqlite3.Connection] = []
        self._closed = False
        self._writer = threading.Thread(target=self._write_loop, name="store-write", daemon=True)
        self._writer.start()

    @classmethod
    def open(cls, path: Path, *, migrations: Sequence[Sequence[str]] = MIGRATIONS, shared: bool = False) -> Store:
        """Open or create the database and bring its tables up to date. `shared`: other processes may have it open too.

        Raises StoreInUse if another process holds it, SchemaTooNew if a newer version wrote it, StoreFailed
        if it is damaged, DiskFull without space.
        """
        lock = None if shared else _lock(path.with_name(path.name + ".lock"))
        try:
            connection = _connect(path)
            try:
                _migrate(connection, migrations)
            except BaseException:
                connection.close()
                raise
        except BaseException as error:
            if lock is not None:
                lock.close()
            if isinstance(error, sqlite3.Error):
                raise store_error(error) from error
            raise
        path.chmod(0o600)
        return cls(path, connection, lock)

    async def write(self, work: Work[T]) -> T:
        """Run `work` in the next group transaction and return its value once that is durable.

        Raises what `work` raised (alone rolled back), or StoreFailed / DiskFull if the transaction was lost.
        """
        if self._closed:
            raise StoreFailed(f"the database {self.path.name} is closed; the node is stopping")
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future())
        self._jobs.put(job)
        result: T = await job.future
        return result

    async def read(self, work: Work[T]) -> T:
        """Run `work` on a reading connection: it sees one committed state and cannot write."""
        if self._closed:
            raise StoreFailed(f"the database {self.path.name} is closed; the node is stopping")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def close(self) -> None:
        """Finish what was handed in, then close. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._writer.join)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._reader_connections:
            connection.close()
        self._connection.close()
        if self._lock is not None:
            self._lock.close()

    # -- the writer thread
    # -------------------------------------------------------------------------------------------

    def _write_loop(self) -> None:
        ended = False
        while not ended:
            first = self._jobs.get()
            group: list[_Job] = []
            while first is not None:
                group.append(first)
                if len(group) == _GROUP_LIMIT:
                    break
                try:
                    first = self._jobs.get_nowait()
                except queue.Empty:
                    break
            ended = first is None
            if group:
                self._run_group(group)
                _resolve(group)

    def _run_group(self, group: list[_Job]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._run_job(job)
            connection.execute("COMMIT")
        except BaseException as error:  # rule 3: told to every caller, never swallowed
            told = store_error(error) if isinstance(error, sqlite3.Error) else error
            for job in group:
                job.result, job.error = None, job.error or told
            self._abandon()

    def _run_job(self, job: _Job) -> None:
        connection = self._connection
        connection.execute("SAVEPOINT job")
        try:
            job.result = job.work(connection)
        except BaseException as error:  # rule 2: handed to its caller
            job.error = store_error(error) if isinstance(error, sqlite3.Error) else error
            # A full disk can make SQLite drop the whole transaction; then nobody in the group may be told
            # "done".
            if not connection.in_transaction:
                raise
            connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")

    def _abandon(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            _log.error("store_rollback_failed", extra={"detail": str(error)})

    # -- the readers
    # -------------------------------------------------------------------------------------------------

    def _read(self, work: Work[T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._reader, "connection", None)
        try:
            if connection is None:
                connection = _connect(self.path)
                connection.execute("PRAGMA query_only = ON")
                self._reader.connection = connection
                self._reader_connections.append(connection)
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise store_error(error) from error


def store_error(error: sqlite3.Error) -> StoreFailed:
    """Name a database failure: DiskFull where space ran out, else StoreFailed."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return DiskFull("no space for the node's database; free space and try again, what was acknowledged is safe")
    return StoreFailed(f"the node's database refused an operation and kept nothing of it: {error}")


def _resolve(group: list[_Job]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in group:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        if loop.is_closed():
            _log.warning("store_result_without_reader", extra={"count": len(jobs)})
            continue
        loop.call_soon_threadsafe(_settle, jobs)  # one wake-up of the loop for the whole group


def _settle(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():  # its caller was cancelled; the work is done all the same
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


def _lock(path: Path) -> IO[str]:
    handle = path.open("w", encoding="ascii")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        handle.close()
        raise StoreInUse(f"another process serves this node ({path.name} is locked); stop it first") from error
    return handle


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA cache_size = -32768")  # 32 MiB
    return connection


def _migrate(connection: sqlite3.Connection, migrations: Sequence[Sequence[str]]) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(migrations):
        raise SchemaTooNew(
            f"the node's database has schema {version}, this software knows {len(migrations)}; "
            "install the newer version"
        )
    for number, statements in enumerate(migrations[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            if connection.execute("PRAGMA user_version").fetchone() == (number - 1,):  # else another process was faster
                for statement in statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
