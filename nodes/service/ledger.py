"""What was answered is written in one transaction: the answer for who asks again, the scores, the own columns as counts."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Final

import msgspec

from nodes.service.answers import Answers, Question
from nodes.service.calls import Features, ScoreAnswer
from nodes.service.models import ServedModel
from nodes.service.records import Records, ScoreRecord, SetPopulation
from nodes.store import Store

POPULATION_FOR_S: Final = 10.0
"""How long a population serves before it is looked up again."""


class Ledger:
    """See the module. `clock`: milliseconds since the epoch; `timer`: seconds, monotonic."""

    def __init__(
        self,
        store: Store,
        answers: Answers,
        records: Records,
        clock: Callable[[], int],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._answers = answers
        self._records = records
        self._clock = clock
        self._timer = timer
        self._populations: dict[str, tuple[float, SetPopulation | None]] = {}

    async def keep(
        self,
        model: ServedModel,
        role: str,
        answer: ScoreAnswer,
        given: Features,
        latency_ms: float,
        question: Question | None = None,
    ) -> None:
        """Write; durable when this returns. `question`: to keep the answer for. Raises StoreFailed."""
        now_ms = self._clock()
        records = [
            ScoreRecord(
                score_id=each.score_id,
                model_id=model.model_id,
                role=role,
                at_ms=now_ms,
                probability=each.probability,
                band=each.band,
                refused=each.refused,
                latency_ms=latency_ms,
            )
            for each in answer.results
        ]
        population = await self._population(model)
        counted = [given[each.uscc] for each in answer.results if not each.refused]
        encoded = msgspec.json.encode(answer)

        def work(connection: sqlite3.Connection) -> None:
            self._records.keep(connection, records)
            if population is not None and counted:
                self._records.count_columns(connection, model.model_id, population, counted)
            if question is not None:
                self._answers.keep(connection, question, encoded)

        await self._store.write(work)

    async def _population(self, model: ServedModel) -> SetPopulation | None:
        now_s = self._timer()
        until_s, found = self._populations.get(model.model_id, (0.0, None))
        if now_s >= until_s:
            found = await population_of(self._records, model)
            self._populations[model.model_id] = (now_s + POPULATION_FOR_S, found)
        return found


async def population_of(records: Records, model: ServedModel) -> SetPopulation | None:
    """Whom a model was made on: as was said (`xinqiao score population`), else as its document says."""
    found = await records.population(model.model_id)
    if found is not None:
        return found
    own = model.own_population()
    return None if own is None else SetPopulation(0, own)
