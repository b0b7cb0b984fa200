"""From what the active party has at the end of a job to its report. Pure, given the generator of the bootstrap."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import ModelingError
from modeling.evaluation import Evaluation, Stability, evaluate, score_stability
from modeling.jobs.active import ActiveResult
from modeling.jobs.leaks import Leak
from modeling.jobs.table import Flags, Table
from modeling.metrics import auc, ks
from modeling.preparation.binning import Bins, assign, bin_labels, category_bins, quantile_bins, stability
from modeling.preparation.woe import count_labels, evidence
from modeling.report.document import (
    Baseline,
    Bin,
    BinTable,
    Cohort,
    Importance,
    Party,
    PhaseCost,
    Points,
    Report,
    ScorecardPart,
)
from modeling.scorecard import Scale, scorecard

BINS = 8
MAX_TABLES = 60
_SOFTWARE = ("xinqiao", "numpy", "sf-heu", "tenseal")


def installed() -> dict[str, str]:
    """Versions of what a training computes with, where installed."""
    found = {}
    for name in _SOFTWARE:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the report says that no computation finds. `parties`: the active one first, columns and names are filled in."""

    job: str
    name: str
    reason: str
    purpose: str
    settings: dict[str, Any]
    made_ms: int
    commitment: str
    parties: tuple[Party, ...]
    refused: dict[str, dict[str, int]]
    attempts: int
    leaks: tuple[Leak, ...]
    scale: Scale
    versions: dict[str, str] = field(default_factory=installed)


def build_report(result: ActiveResult, table: Table, present: Flags, told: Told, random: np.random.Generator) -> Report:
    """The whole report. `table`, `present`: the active party's own columns. Raises DataUnusable for test rows of one class."""
    label, weight = _floats(result.label), _floats(result.weight)
    size, counts = result.training, weight > 0
    test = counts[size:]
    probabilities = _floats(result.probabilities)
    fitted = _floats(result.fitted)
    tested = evaluate(label[size:][test], probabilities[test], random)
    trained = evaluate(label[:size][counts[:size]], fitted[counts[:size]], random) if len(fitted) else None
    return Report(
        job=told.job,
        name=told.name,
        reason=told.reason,
        purpose=told.purpose,
        algorithm=result.part.prepared.algorithm,
        settings=told.settings,
        made_ms=told.made_ms,
        commitment=told.commitment,
        parties=_parties(result, told),
        cohort=Cohort(
            rows=len(label),
            usable=int(counts.sum()),
            training=int(counts[:size].sum()),
            test=int(test.sum()),
            withdrawn=len(result.withdrawn),
            refused=told.refused,
        ),
        test=tested,
        train=trained,
        score_stability=_score_stability(
            trained, fitted[counts[:size]] if len(fitted) else fitted, probabilities[test]
        ),
        steps=result.steps,
        settled=result.settled,
        curve=result.curve,
        importance=_importance(result, told),
        scorecard=_scorecard(result, table, present, told.scale),
        tables=_tables(result, table, label, counts),
        baselines=(_baseline(label[size:][test], _floats(result.alone)[test]),),
        phases=tuple(msgspec.convert(msgspec.to_builtins(each), PhaseCost) for each in result.phases),
        attempts=told.attempts,
        leaks=told.leaks,
        versions=told.versions,
    )


def _parties(result: ActiveResult, told: Told) -> tuple[Party, ...]:
    first, *others = told.parties
    names = result.part.prepared.names
    widths = list(result.columns.values())
    prepared = result.part.prepared
    dropped = (f"{name}: {reason}" for name, reason in prepared.dropped.items())
    own = msgspec.structs.replace(first, columns=len(names), names=names, left_out=(*prepared.left_out, *dropped))
    return (own, *(msgspec.structs.replace(each, columns=widths[place]) for place, each in enumerate(others)))


def _baseline(label: npt.NDArray[Any], alone: npt.NDArray[Any]) -> Baseline:
    return Baseline(name="own_alone", auc=auc(label, alone), ks=ks(label, alone))


def _score_stability(
    trained: Evaluation | None, fitted: npt.NDArray[Any], tested: npt.NDArray[Any]
) -> Stability | None:
    return None if trained is None else score_stability(fitted, tested)


def _importance(result: ActiveResult, told: Told) -> tuple[Importance, ...]:
    """Gain (boosting), or the size of the standardised coefficient (logistic; a passive's are its own)."""
    names, part = result.part.prepared.names, result.part
    if part.boosting is None:
        found = [
            Importance(name=name, value=abs(value)) for name, value in zip(names, part.coefficients[1:], strict=True)
        ]
    else:
        found = [
            Importance(name=name, value=value)
            for name, value in zip(names, part.boosting.own_importance().tolist(), strict=True)
        ]
        passive = part.boosting.passive_importance()
        found += [
            Importance(name=party.name, value=gain, of_party=True)
            for party, gain in zip(told.parties[1:], passive.values(), strict=True)
        ]
    return tuple(sorted(found, key=lambda each: -each.value))


def _scorecard(result: ActiveResult, table: Table, present: Flags, scale: Scale) -> ScorecardPart | None:
    part = result.part
    if part.boosting is not None:
        return None
    training = present & (np.arange(len(present)) < result.training)
    seen = part.prepared.matrix(table, present)[training]
    coefficients = np.array(part.coefficients)
    card = scorecard(part.prepared.names, coefficients[1:], seen, scale, intercept=float(coefficients[0]))
    lines = tuple(
        Points(
            name=name, coefficient=value, lowest=low, highest=high, points_lowest=low_points, points_highest=high_points
        )
        for (name, low, high, low_points, high_points), value in zip(
            card.table(), coefficients[1:].tolist(), strict=True
        )
    )
    return ScorecardPart(
        base_score=scale.base_score, base_odds=scale.base_odds, pdo=scale.pdo, base=round(card.base), lines=lines
    )


def _tables(result: ActiveResult, table: Table, label: npt.NDArray[Any], counts: Flags) -> tuple[BinTable, ...]:
    """Own columns by information value; one that cannot be binned is left out."""
    size = result.training
    training, test = counts & (np.arange(len(counts)) < size), counts & (np.arange(len(counts)) >= size)
    found = []
    for column in result.part.prepared.columns:
        name = getattr(column, "name", "") or getattr(getattr(column, "number", None), "name", "")
        try:
            found.append(_table(name, table[name], label, training, test))
        except (ModelingError, KeyError):
            continue
    return tuple(sorted(found, key=lambda each: -each.value)[:MAX_TABLES])


def _table(name: str, values: npt.NDArray[Any], label: npt.NDArray[Any], training: Flags, test: Flags) -> BinTable:
    bins: Bins = (
        category_bins(name, values[training], BINS)
        if values.dtype == object
        else quantile_bins(name, values[training], BINS)
    )
    places = assign(bins, values[training])
    positives, negatives = count_labels(places, label[training], bins.count)
    told = evidence(positives, negatives)
    lines = tuple(
        Bin(
            label=text,
            rows=int(bad + good),
            events=int(bad),
            rate=bad / (bad + good),
            woe=float(woe),
        )
        for text, bad, good, woe in zip(bin_labels(bins), positives.tolist(), negatives.tolist(), told.woe, strict=True)
        if bad + good
    )
    return BinTable(name=name, value=told.value, stability=stability(bins, values[training], values[test]), bins=lines)


def _floats(data: bytes) -> npt.NDArray[np.float64]:
    return np.frombuffer(data, "<f8").astype(np.float64)
