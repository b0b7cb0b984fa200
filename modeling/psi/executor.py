"""All cores for pieces of work: a map over chunks in worker processes, in order, with a bounded number in flight.

Workers are spawned, not forked: a node runs threads, and a fork in between can inherit a lock that nobody releases. What they are
given and return is pickled between processes of one owner on one machine; nothing of another party's is ever unpickled. A script
that makes an `Executor` needs the usual `if __name__ == "__main__"`, since a spawned worker imports it.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Final, Self

from modeling.psi.errors import WorkersFailed

Work = Callable[[bytes], bytes]
_AHEAD: Final = 3
"""Chunks in flight for each worker: one at work, the others so that it need not wait for this process."""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


class Executor:
    """A pool of worker processes; 0 workers: everything in the caller's thread. May be shared by threads."""

    def __init__(self, workers: int | None = None) -> None:
        """`workers`: as many as there are cores if None. They are started with the first piece of work."""
        self._workers = cores() if workers is None else workers
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def map(self, work: Work, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """`work` of each chunk, in order. `work` can be pickled (a function of a module, or a partial of one).

        Raises what `work` raises, and WorkersFailed if a worker dies over a chunk and another one over the same chunk again.
        """
        if self._workers == 0:
            yield from map(work, chunks)
            return
        pending: deque[_Pending] = deque()
        try:
            for chunk in chunks:
                pending.append(self._begin(work, chunk))
                if len(pending) >= _AHEAD * self._workers:
                    yield self._finish(work, pending.popleft())
            while pending:
                yield self._finish(work, pending.popleft())
        finally:
            for each in pending:
                each.future.cancel()

    def _begin(self, work: Work, chunk: bytes) -> _Pending:
        pool = self._current()
        try:
            return _Pending(chunk, pool, pool.submit(work, chunk))
        except BrokenProcessPool:
            pool = self._replaced(pool)
            return _Pending(chunk, pool, pool.submit(work, chunk))

    def _finish(self, work: Work, pending: _Pending) -> bytes:
        try:
            return pending.future.result()
        except BrokenProcessPool:
            pool = self._replaced(pending.pool)
        try:
            return pool.submit(work, pending.chunk).result()
        except BrokenProcessPool as error:
            raise WorkersFailed(
                "worker processes died twice over the same chunk: is there memory, and can they be spawned?"
            ) from error

    def _current(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = self._made()
            return self._pool

    def _replaced(self, broken: ProcessPoolExecutor) -> ProcessPoolExecutor:
        """A pool in the place of the broken one, made by whoever sees the break first."""
        with self._lock:
            if self._pool is broken or self._pool is None:
                self._pool = self._made()
                broken.shutdown(wait=False)
            return self._pool

    def _made(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, mp_context=multiprocessing.get_context("spawn"))


class _Pending:
    """A chunk at work: kept, so that it can be given to another worker."""

    __slots__ = ("chunk", "future", "pool")

    def __init__(self, chunk: bytes, pool: ProcessPoolExecutor, future: Future[bytes]) -> None:
        self.chunk, self.pool, self.future = chunk, pool, future
