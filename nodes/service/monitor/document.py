"""The monitor's figures as a document, for programs and for the page."""

from __future__ import annotations

from typing import Final

import msgspec

from modeling.monitoring import Compared, Drift, Level, Realised

LEVELS: Final[dict[Level, int]] = {"none": 0, "few": 1, "stable": 2, "watch": 3, "alarm": 4}
"""How much each level matters."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the document."""


class Day(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A day (UTC, as milliseconds since the epoch at its start): enterprises scored and refused, and the mean probability."""

    start_ms: int
    scored: int
    refused: int
    mean: float | None


class Alarm(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that somebody should look at. `what`: score_drift, column_drift or calibration; `name`: the column."""

    level: Level
    what: str
    name: str
    value: float


class ModelWatch(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model in the window. `latency_ms`: quantiles 50%, 95% and 99%; `source`: of its population, "" if it has none."""

    model_id: str
    title: str
    role: str
    state: str
    why: str
    share: float
    scored: int
    refused: dict[str, int]
    days: tuple[Day, ...]
    latency_ms: tuple[float, ...] | None
    source: str
    score: Drift | None
    columns: tuple[Drift, ...]
    realised: Realised | None
    alarms: tuple[Alarm, ...]

    @property
    def level(self) -> Level:
        """The worst that is told of it; "none" if nothing could be compared."""
        told = [each.level for each in (self.score, self.realised, *self.columns) if each is not None]
        return max(told, key=lambda level: LEVELS[level], default="none")


class MonitorReport(_Part, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole. Times in milliseconds; the window is from_ms .. made_ms. `compared`: challenger against champion."""

    made_ms: int
    from_ms: int
    days: int
    models: tuple[ModelWatch, ...]
    compared: Compared | None
    champion: str
    challenger: str


def to_json(report: MonitorReport) -> bytes:
    """Equal reports have equal bytes."""
    return msgspec.json.encode(report, order="deterministic")
