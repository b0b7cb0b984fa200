"""Worker processes that keep what they have loaded: a block of rows meets the same process each time."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from modeling.executor import Executor


class Lanes:
    """One executor of one worker for each core; chunk i of a map goes to lane i modulo their number."""

    def __init__(self, executors: Sequence[Executor] | None = None) -> None:
        """None: one process for each core of this machine, begun at first use."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError
