"""What is kept of each score for monitoring: when, which model, probability, band or why not; outcomes; own columns as counts by day.

No enterprise is named: a score has a random `score_id`, which the caller gets with the score and names again when it knows what became
of it. Of feature values only the bin is counted, where it is known how the training data was distributed (`Population`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from modeling.monitoring import Population
from modeling.preparation.binning import CategoryBins, histogram
from nodes.scoring.scorer import Value
from nodes.store import Store

DAY_MS: Final = 86_400_000
KEPT_DAYS: Final = 1095
"""As long as receipts."""
MOST_ROWS: Final = 100_000
"""Scores that are looked at one by one: enough for any figure; volumes and refusals are counted over all."""


@dataclass(frozen=True, kw_only=True)
class ScoreRecord:
    """One model's outcome for one subject. `refused`: empty, or why it has no probability."""

    score_id: str
    model_id: str
    role: str
    at_ms: int
    probability: float | None
    band: str
    refused: str
    latency_ms: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a scored enterprise. `observed`: the day, ISO 8601."""

    score_id: str
    defaulted: bool
    observed: str


@dataclass(frozen=True)
class SetPopulation:
    """A population and its number; 0: the model's own."""

    number: int
    population: Population


@dataclass(frozen=True)
class ScoreRows:
    """Scores of a model as arrays of n, the oldest first. `probability`, `label`: NaN where there is none."""

    score_ids: tuple[str, ...]
    probability: npt.NDArray[np.float64]
    label: npt.NDArray[np.float64]
    latency_ms: npt.NDArray[np.float64]
    bands: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DayCount:
    """A day (UTC, days since the epoch) of a model: enterprises scored and refused, and the sum of the probabilities."""

    day: int
    scored: int
    refused: int
    sum: float


class Records:
    """The records in service.db. Methods that take a connection run within a caller's transaction."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._pruned_day = -1

    def keep(self, connection: sqlite3.Connection, scores: Sequence[ScoreRecord]) -> None:
        """Keep scores; once a day forget those older than KEPT_DAYS."""
        connection.executemany(
            "INSERT OR IGNORE INTO scores (score_id, model_id, role, at_ms, probability, band, refused, latency_ms) "
            "VALUES (?,?,?,?,?,?,?,?)",
            [
                (
                    each.score_id,
                    each.model_id,
                    each.role,
                    each.at_ms,
                    each.probability,
                    each.band,
                    each.refused,
                    each.latency_ms,
                )
                for each in scores
            ],
        )
        today = self._clock() // DAY_MS
        if today != self._pruned_day:
            self._pruned_day = today
            connection.execute("DELETE FROM scores WHERE at_ms < ?", ((today - KEPT_DAYS) * DAY_MS,))
            connection.execute("DELETE FROM outcomes WHERE score_id NOT IN (SELECT score_id FROM scores)")
            connection.execute("DELETE FROM column_counts WHERE day < ?", (today - KEPT_DAYS,))

    def count_columns(
        self, connection: sqlite3.Connection, model_id: str, set_: SetPopulation, rows: Sequence[Mapping[str, Value]]
    ) -> None:
        """Count own columns of some subjects over the bins of a population."""
        day = self._clock() // DAY_MS
        for each in set_.population.columns:
            found = _bins_of(each.bins, [row.get(each.bins.name) for row in rows])
            connection.executemany(
                "INSERT INTO column_counts (model_id, population_no, day, name, bin, rows) VALUES (?,?,?,?,?,?) "
                "ON CONFLICT DO UPDATE SET rows = rows + excluded.rows",
                [(model_id, set_.number, day, each.bins.name, place, count) for place, count in found],
            )

    async def report(self, outcomes: Iterable[Outcome], key_id: str) -> tuple[int, tuple[str, ...]]:
        """Record outcomes; a later one corrects an earlier one. Returns how many were recorded, and identifiers that are not known."""
        now_ms = self._clock()
        given = list(outcomes)

        def work(connection: sqlite3.Connection) -> tuple[int, tuple[str, ...]]:
            unknown = []
            for each in given:
                known = connection.execute(
                    "SELECT 1 FROM scores WHERE score_id = ? LIMIT 1", (each.score_id,)
                ).fetchone()
                if known is None:
                    unknown.append(each.score_id)
                    continue
                connection.execute(
                    "INSERT OR REPLACE INTO outcomes (score_id, defaulted, observed, at_ms, key_id) VALUES (?,?,?,?,?)",
                    (each.score_id, int(each.defaulted), each.observed, now_ms, key_id),
                )
            return len(given) - len(unknown), tuple(unknown)

        return await self._store.write(work)

    async def set_population(self, model_id: str, population: Population, user: str) -> None:
        """Say whom a model was made on; own columns are counted anew from here on."""
        document, now_ms = msgspec.json.encode(population), self._clock()
        await self._store.write(
            lambda connection: (
                connection.execute(
                    "INSERT INTO populations (model_id, document, set_ms, user) VALUES (?,?,?,?)",
                    (model_id, document, now_ms, user),
                )
                and None
            )
        )

    async def population(self, model_id: str) -> SetPopulation | None:
        """The newest that was set for a model."""
        row = await self._store.read(
            lambda connection: connection.execute(
                "SELECT population_no, document FROM populations WHERE model_id = ? ORDER BY population_no DESC LIMIT 1",
                (model_id,),
            ).fetchone()
        )
        return None if row is None else SetPopulation(row[0], msgspec.json.decode(row[1], type=Population))

    async def models(self, from_ms: int) -> tuple[str, ...]:
        """The models that scored since a time."""
        rows = await self._store.read(
            lambda connection: connection.execute(
                "SELECT DISTINCT model_id FROM scores WHERE at_ms >= ? ORDER BY model_id", (from_ms,)
            ).fetchall()
        )
        return tuple(row[0] for row in rows)

    async def scores(self, model_id: str, from_ms: int, to_ms: int) -> ScoreRows:
        """The scores of a model with a time in from_ms .. to_ms - 1 and their outcomes; the newest MOST_ROWS of them."""
        return await self._scores("LEFT JOIN", model_id, from_ms, to_ms)

    async def labelled(self, model_id: str, from_ms: int, to_ms: int) -> ScoreRows:
        """Those of them with an outcome; the newest MOST_ROWS."""
        return await self._scores("JOIN", model_id, from_ms, to_ms)

    async def _scores(self, join: str, model_id: str, from_ms: int, to_ms: int) -> ScoreRows:
        def work(connection: sqlite3.Connection) -> ScoreRows:
            found = connection.execute(
                "SELECT s.score_id, s.probability, o.defaulted, s.latency_ms, s.band FROM scores s "  # noqa: S608 (own words)
                f"{join} outcomes o ON o.score_id = s.score_id WHERE s.model_id = ? AND s.at_ms >= ? AND s.at_ms < ? "
                "ORDER BY s.at_ms DESC, s.score_id LIMIT ?",
                (model_id, from_ms, to_ms, MOST_ROWS),
            ).fetchall()
            return _rows(found[::-1])

        return await self._store.read(work)

    async def days(self, model_id: str, from_ms: int, to_ms: int) -> tuple[DayCount, ...]:
        """Every day with a score of a model, in order."""
        rows = await self._store.read(
            lambda connection: connection.execute(
                "SELECT at_ms / ?, COUNT(probability), COUNT(*), TOTAL(probability) FROM scores "
                "WHERE model_id = ? AND at_ms >= ? AND at_ms < ? GROUP BY 1 ORDER BY 1",
                (DAY_MS, model_id, from_ms, to_ms),
            ).fetchall()
        )
        return tuple(
            DayCount(day=day, scored=scored, refused=all_ - scored, sum=total) for day, scored, all_, total in rows
        )

    async def refusals(self, model_id: str, from_ms: int, to_ms: int) -> dict[str, int]:
        """How many were refused, by reason, the most frequent first."""
        rows = await self._store.read(
            lambda connection: connection.execute(
                "SELECT refused, COUNT(*) FROM scores WHERE model_id = ? AND at_ms >= ? AND at_ms < ? AND refused != '' "
                "GROUP BY refused ORDER BY 2 DESC, 1",
                (model_id, from_ms, to_ms),
            ).fetchall()
        )
        return dict(rows)

    async def first_scores(self, model_id: str, count: int) -> npt.NDArray[np.float64]:
        """The probabilities that a model gave first, fewer than `count` if there are fewer."""
        rows = await self._store.read(
            lambda connection: connection.execute(
                "SELECT probability FROM scores WHERE model_id = ? AND probability IS NOT NULL ORDER BY at_ms, score_id LIMIT ?",
                (model_id, count),
            ).fetchall()
        )
        return np.array([row[0] for row in rows], np.float64)

    async def column_counts(
        self, model_id: str, set_: SetPopulation, from_ms: int, to_ms: int
    ) -> dict[str, npt.NDArray[np.int64]]:
        """int64[bins] of each column of a population, over the days from that of from_ms to that of to_ms."""
        rows = await self._store.read(
            lambda connection: connection.execute(
                "SELECT name, bin, SUM(rows) FROM column_counts WHERE model_id = ? AND population_no = ? AND day BETWEEN ? AND ? "
                "GROUP BY name, bin",
                (model_id, set_.number, from_ms // DAY_MS, to_ms // DAY_MS),
            ).fetchall()
        )
        found = {each.bins.name: np.zeros(each.bins.count, np.int64) for each in set_.population.columns}
        for name, place, count in rows:
            found[name][place] = count
        return found


def _rows(rows: Sequence[Any]) -> ScoreRows:
    ids, probability, label, latency, bands = zip(*rows, strict=True) if rows else ((),) * 5
    return ScoreRows(
        score_ids=tuple(ids),
        probability=np.array([np.nan if each is None else each for each in probability], np.float64),
        label=np.array([np.nan if each is None else each for each in label], np.float64),
        latency_ms=np.array(latency, np.float64),
        bands=tuple(bands),
    )


def _bins_of(bins: Any, values: Sequence[Value]) -> list[tuple[int, int]]:  # noqa: ANN401 - modeling's union of bins
    """(bin, rows) of the bins that occur; values of a kind that the bins do not have are not counted."""
    if isinstance(bins, CategoryBins):
        data: npt.NDArray[Any] = np.array([None if each is None else str(each) for each in values], dtype=object)
    else:
        data = np.array([np.nan if each is None or isinstance(each, str) else each for each in values], np.float64)
    try:
        counts = histogram(bins, data)
    except DataUnusable:
        return []
    return [(place, count) for place, count in enumerate(counts.tolist()) if count]
