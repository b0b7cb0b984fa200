"""What a party is given to run a job with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from modeling.executor import Executor

Phase = str
"""prepare, train, score."""


class Work(Protocol):
    """The party's surroundings. Everything is asked from the one thread that runs the party."""

    @property
    def executor(self) -> Executor | None:
        """Where heavy maps run, if the operator names a place; else in this process."""
        ...

    def kept(self) -> bytes | None:
        """The newest checkpoint, if the job was broken off."""
        ...

    def keep(self, checkpoint: bytes) -> None:
        """Keep a checkpoint in the place of the one before; durable when this returns."""
        ...

    def withdrawn(self) -> Sequence[int]:
        """Rows of the cohort whose subjects have withdrawn by now."""
        ...

    def progress(self, phase: Phase, done: int, total: int) -> None:
        """Tell how far a phase is."""
        ...


class Unattended:
    """A party that keeps nothing, hears of no withdrawal and tells nobody: for tests and notebooks."""

    executor: Executor | None = None

    def kept(self) -> bytes | None:
        """Nothing."""
        return None

    def keep(self, checkpoint: bytes) -> None:
        """Forget it."""

    def withdrawn(self) -> Sequence[int]:
        """Nobody."""
        return ()

    def progress(self, phase: Phase, done: int, total: int) -> None:
        """Tell nobody."""
