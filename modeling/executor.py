"""Heavy maps: a function over chunks of bytes, in order, with a bounded number in flight, on whatever cores the operator gives.

Two executors, one interface: `Processes`, the cores of this machine, and `modeling.ray_executor.RayExecutor`, a Ray cluster. A worker
that dies is replaced and its chunk given to another, once. Work and chunks travel to the workers by pickle, and so do results: between
processes of one owner, who runs the same release everywhere. What another party sent goes to a worker as the bytes that came, and is
parsed there with the checks that it would meet here; nothing of another party's is ever unpickled.

Workers are spawned, not forked: a node runs threads, and a fork in between can inherit a lock that nobody releases; nor do HEU's
threads live on in a child. So keys of HEU are made in the worker, of bytes. A script that makes a `Processes` needs the usual
`if __name__ == "__main__"`, since a spawned worker imports it.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final, Protocol, Self

from modeling.errors import WorkersFailed

Work = Callable[[bytes], bytes]
AHEAD: Final = 3
"""Chunks in flight for each worker: one at work, the others so that it need not wait for the caller."""
ONE_THREAD: Final = {"YACL_NUM_THREADS": "1"}
"""Environment of a worker: HEU starts as many threads in each process as there are cores, and here each core has a process.
It looks when it first computes."""
PROCESSES: Final = "processes"
RAY: Final = "ray://"


class Executor(Protocol):
    """Where heavy maps run. May be shared by threads."""

    def map(self, work: Work, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """`work` of each chunk, in order. `work` can be pickled (a function of a module, or a partial of one).

        Raises what `work` raises, and WorkersFailed if a worker dies over a chunk and another one over the same chunk again.
        """
        ...


def executor_at(name: str) -> AbstractContextManager[Executor]:
    """The executor that an operator names: "processes" or nothing for this machine's cores, "ray://host:port" for a cluster.

    Raises WorkersFailed if the cluster cannot be reached, or its library is not installed.
    """
    if name in {"", PROCESSES}:
        return Processes()
    if not name.startswith(RAY):
        raise WorkersFailed(f"there is no executor {name[:80]!r}: name nothing, {PROCESSES!r}, or {RAY}host:port")
    try:
        from modeling.ray_executor import RayExecutor  # Ray is large, and an extra
    except ModuleNotFoundError as error:
        raise WorkersFailed(f"{name} needs Ray: install xinqiao[ray] ({error})") from error
    return RayExecutor(name)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


class Processes:
    """A pool of worker processes on this machine; 0 workers: everything in the caller's thread."""

    def __init__(self, workers: int | None = None) -> None:
        """`workers`: as many as there are cores if None. They are started with the first piece of work."""
        self.workers = cores() if workers is None else workers
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
        """As in Executor."""
        if self.workers == 0:
            yield from map(work, chunks)
            return
        pending: deque[_Pending] = deque()
        try:
            for chunk in chunks:
                pending.append(self._begin(work, chunk))
                if len(pending) >= AHEAD * self.workers:
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
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, mp_context=spawn, initializer=_begin_worker)


def _begin_worker() -> None:
    os.environ.update(ONE_THREAD)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """A pool's worker waits on a queue of which it holds both ends itself: it would outlive a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Pending:
    """A chunk at work: kept, so that it can be given to another worker."""

    __slots__ = ("chunk", "future", "pool")

    def __init__(self, chunk: bytes, pool: ProcessPoolExecutor, future: Future[bytes]) -> None:
        self.chunk, self.pool, self.future = chunk, pool, future
