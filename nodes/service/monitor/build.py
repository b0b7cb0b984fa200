"""From what service.db keeps to the monitor's figures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from modeling.monitoring import (
    Compared,
    Counted,
    Drift,
    Population,
    Realised,
    Thresholds,
    compared,
    drift,
    population,
    quantiles,
    realised,
    score_drift,
)
from nodes.service.ledger import population_of
from nodes.service.models import ServedModel
from nodes.service.monitor.document import LEVELS, Alarm, Day, ModelWatch, MonitorReport
from nodes.service.records import DAY_MS, DayCount, Records, ScoreRows
from nodes.service.roles import Appointed, Roles

DEFAULT_DAYS: Final = 90
MOST_DAYS: Final = 1095
FIRST_SCORES: Final = 1000
"""Where nothing is known of whom a model was made on, it is held against as many scores as it gave first."""


async def monitor_report(
    records: Records,
    roles: Roles,
    models: Sequence[ServedModel],
    clock: Callable[[], int],
    *,
    days: int = DEFAULT_DAYS,
    thresholds: Thresholds | None = None,
) -> MonitorReport:
    """Of all models that scored in the last `days`, and of champion and challenger. `models`: what the agent knows, or nothing."""
    now_ms, limits = clock(), thresholds or Thresholds()
    from_ms = (now_ms // DAY_MS - days + 1) * DAY_MS
    appointed = await roles.now()
    known = {each.model_id: each for each in models}
    named = [each.model_id for each in (appointed.champion, appointed.challenger) if each is not None]
    ids = [*named, *(each for each in await records.models(from_ms) if each not in named)]
    window = (from_ms, now_ms + 1)
    rows = {each: await records.scores(each, *window) for each in ids}
    watched = [await _watch(records, each, known.get(each), appointed, rows[each], window, limits) for each in ids]
    pair = tuple(each.model_id if each is not None else "" for each in (appointed.champion, appointed.challenger))
    return MonitorReport(
        made_ms=now_ms,
        from_ms=from_ms,
        days=days,
        models=tuple(watched),
        compared=await asyncio.to_thread(_compare, rows[pair[0]], rows[pair[1]]) if all(pair) else None,
        champion=next((each.title for each in watched if each.model_id == pair[0]), ""),
        challenger=next((each.title for each in watched if each.model_id == pair[1]), ""),
    )


async def _watch(
    records: Records,
    model_id: str,
    model: ServedModel | None,
    appointed: Appointed,
    rows: ScoreRows,
    window: tuple[int, int],
    limits: Thresholds,
) -> ModelWatch:
    found = await records.population(model_id) if model is None else await population_of(records, model)
    counts = {} if found is None else await records.column_counts(model_id, found, *window)
    made_on = found.population if found is not None else Population(source="")
    if made_on.score is None:
        first = await _first_scores(records, model_id)
        if first is not None:
            made_on = Population(source=made_on.source or "first_scores", score=first, columns=made_on.columns)

    labelled = await records.labelled(model_id, *window)
    days = await records.days(model_id, *window)

    def figures() -> tuple[Drift | None, tuple[Drift, ...], Realised | None]:
        given = rows.probability[~np.isnan(rows.probability)]
        score = score_drift(made_on.score, given, limits) if made_on.score is not None else None
        columns = (drift(each, counts[each.bins.name], limits) for each in made_on.columns)
        ordered = tuple(sorted(columns, key=lambda each: (-LEVELS[each.level], -each.value)))
        return score, ordered, realised(labelled.probability, labelled.label, labelled.bands, limits)

    score, columns, outcomes = await asyncio.to_thread(figures)
    challenger = appointed.challenger
    return ModelWatch(
        model_id=model_id,
        title=model.title if model is not None else model_id,
        role=appointed.role_of(model_id),
        state=model.state if model is not None else "",
        why=model.why if model is not None else "",
        share=challenger.share if challenger is not None and challenger.model_id == model_id else 1.0,
        scored=sum(each.scored for each in days),
        refused=await records.refusals(model_id, *window),
        days=_days(days, window[1] // DAY_MS),
        latency_ms=quantiles(rows.latency_ms),
        source=made_on.source,
        score=score,
        columns=columns,
        realised=outcomes,
        alarms=_alarms(score, columns, outcomes),
    )


async def _first_scores(records: Records, model_id: str) -> Counted | None:
    first = await records.first_scores(model_id, FIRST_SCORES)
    return population("", first, {}).score if len(first) == FIRST_SCORES else None


def _days(counts: Sequence[DayCount], last: int) -> tuple[Day, ...]:
    """Every day from the first with a score on, up to the window's last."""
    by_day = {each.day: each for each in counts}
    first = min(by_day, default=last + 1)
    found = (by_day.get(day, DayCount(day=day, scored=0, refused=0, sum=0.0)) for day in range(first, last + 1))
    return tuple(
        Day(
            start_ms=each.day * DAY_MS,
            scored=each.scored,
            refused=each.refused,
            mean=each.sum / each.scored if each.scored else None,
        )
        for each in found
    )


def _alarms(score: Drift | None, columns: Sequence[Drift], outcomes: Realised | None) -> tuple[Alarm, ...]:
    """What is at watch or alarm, the worst first."""
    found = [Alarm(level=each.level, what="column_drift", name=each.name, value=each.value) for each in columns]
    if score is not None:
        found.append(Alarm(level=score.level, what="score_drift", name=score.name, value=score.value))
    if outcomes is not None:
        found.append(Alarm(level=outcomes.level, what="calibration", name="", value=outcomes.deviation))
    loud = [each for each in found if LEVELS[each.level] > LEVELS["stable"]]
    return tuple(sorted(loud, key=lambda each: (-LEVELS[each.level], each.what, -abs(each.value))))


def _compare(champion: ScoreRows, challenger: ScoreRows) -> Compared | None:
    places = {each: place for place, each in enumerate(champion.score_ids)}
    pairs = [
        (places[each], place)
        for place, each in enumerate(challenger.score_ids)
        if each in places
        and not np.isnan(challenger.probability[place])
        and not np.isnan(champion.probability[places[each]])
    ]
    ours, theirs = np.array(pairs, np.int64).reshape(-1, 2).T
    return compared(
        champion.probability[ours],
        challenger.probability[theirs],
        champion.label[ours],
        [champion.bands[place] for place in ours.tolist()],
        [challenger.bands[place] for place in theirs.tolist()],
    )
