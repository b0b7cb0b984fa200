"""Worker processes that keep what they have loaded: chunk i of a map meets the same process each time.

A lane is an executor of one worker. Work that finds its worker without what it needs (a new one, or one that had to make room) answers
nothing, and gets the chunk again with all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Protocol, Self, TypeVar

from modeling.executor import Executor, Processes, Work, cores

T = TypeVar("T")
COLUMN_BYTES: Final = 512 << 20
"""Encoded columns that are kept in all lanes together, by default: a million rows of 30 features take 484 MB."""


class Chunk(Protocol):
    """The bytes of a place's chunk; `whole`: with everything that a worker could lack."""

    def __call__(self, place: int, *, whole: bool) -> bytes:
        """For a worker that has all else, or has nothing."""
        ...


class Lanes:
    """One executor of one worker for each core."""

    def __init__(self, executors: Sequence[Executor] | None = None, column_bytes: int = COLUMN_BYTES) -> None:
        """None: one process for each core of this machine, begun at first use, ended with the lanes."""
        self._stack = ExitStack()
        if executors is None:
            executors = [self._stack.enter_context(Processes(1)) for _ in range(cores())]
        self._lanes = list(executors)
        self.column_bytes = column_bytes // len(self._lanes)
        """Of one lane."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def each(self, work: Work, chunk: bytes) -> list[bytes]:
        """`work` of one chunk in every lane, at the same time."""
        return self._run(lambda lane: next(iter(self._lanes[lane].map(work, [chunk]))))

    def map(self, work: Work, chunk: Chunk, count: int) -> list[bytes]:
        """`work` of the chunks of all places, in order. Raises what `work` raises, and WorkersFailed."""

        def run(lane: int) -> list[bytes]:
            places, executor = range(lane, count, len(self._lanes)), self._lanes[lane]
            answers = executor.map(work, (chunk(place, whole=False) for place in places))
            return [
                answer or next(iter(executor.map(work, [chunk(place, whole=True)])))
                for place, answer in zip(places, answers, strict=True)
            ]

        by_lane = self._run(run)
        return [by_lane[place % len(by_lane)][place // len(by_lane)] for place in range(count)]

    def _run(self, run: Callable[[int], T]) -> list[T]:
        """In a thread for each lane, which waits for its process; in the caller's where there is one."""
        if len(self._lanes) == 1:
            return [run(0)]
        with ThreadPoolExecutor(len(self._lanes)) as threads:
            return list(threads.map(run, range(len(self._lanes))))
