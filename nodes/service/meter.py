"""What is told of calls and scores to whoever measures (`prometheus`)."""

from __future__ import annotations

from typing import Protocol

from nodes.service.models import ServedModel


class CallMeter(Protocol):
    """Is told of calls."""

    def called(self, door: str, route: str, status: str, seconds: float) -> None:
        """One call. `door`: http or grpc."""
        ...


class ScoreMeter(Protocol):
    """Is told of scores."""

    def scored(self, model: ServedModel, role: str, refused: str) -> None:
        """One subject. `refused`: empty, or why."""
        ...

    def shadow_failed(self, model: ServedModel, code: str) -> None:
        """A challenger did not score."""
        ...
