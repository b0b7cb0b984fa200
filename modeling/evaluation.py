"""How good a model is, in the figures that a risk officer asks for. Labels {0, 1}[n] (1: the event, default), probabilities float64[n].

Rows that do not count are left out by the caller. Every function is pure; bootstrap intervals take the generator that draws them.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from modeling.metrics import Vector, auc, brier, ks, log_loss, stability_index

CURVE_POINTS: Final = 200
DRAWS: Final = 400
_TINY: Final = 1e-12

Floats = npt.NDArray[np.float64]


class _Figures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of an evaluation."""


class Interval(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure and its 95% bootstrap interval (percentiles, drawn within both classes)."""

    value: float
    low: float
    high: float


class Band(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenth of the rows, the highest probabilities first. `captured`: the share of the events so far."""

    rows: int
    events: int
    lift: float
    captured: float


class Reliability(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A band of probabilities: what was predicted on average, and what happened."""

    predicted: float
    observed: float
    rows: int


class Confusion(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a threshold does: who is at or above it is refused. Rates are of what they name."""

    threshold: float
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    precision: float
    recall: float
    approval_rate: float
    bad_rate_of_approved: float


class Curve(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Points of ROC and KS: threshold from high to low, shares of goods and bads at or above it."""

    thresholds: tuple[float, ...]
    goods: tuple[float, ...]
    bads: tuple[float, ...]


class Evaluation(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All figures over one set of rows."""

    rows: int
    events: int
    auc: Interval
    ks: Interval
    gini: float
    brier: float
    log_loss: float
    calibration_error: float
    bands: tuple[Band, ...]
    reliability: tuple[Reliability, ...]
    confusion: Confusion
    curve: Curve
    histogram: tuple[int, ...]
    """Rows by probability, twenty bands of equal width from 0 to 1."""


def evaluate(
    label: Vector, probability: Floats, random: np.random.Generator, *, threshold: float | None = None
) -> Evaluation:
    """Every figure. `threshold`: where to refuse; the share of events by default. Raises DataUnusable unless both classes are there."""
    if label.shape != probability.shape or not np.isfinite(probability).all():
        raise DataUnusable("an evaluation needs a finite probability for each label")
    at = float(label.mean()) if threshold is None else threshold
    area = auc(label, probability)
    drawn_auc, drawn_ks = _bootstrap(label, probability, random)
    curve = _curve(label, probability)
    return Evaluation(
        rows=len(label),
        events=int(label.sum()),
        auc=_interval(area, drawn_auc),
        ks=_interval(ks(label, probability), drawn_ks),
        gini=2 * area - 1,
        brier=brier(label, probability),
        log_loss=log_loss(label, probability),
        calibration_error=_calibration_error(label, probability),
        bands=_bands(label, probability),
        reliability=_reliability(label, probability),
        confusion=confusion(label, probability, at),
        curve=curve,
        histogram=tuple(np.histogram(probability, np.linspace(0, 1, 21))[0].tolist()),
    )


def confusion(label: Vector, probability: Floats, threshold: float) -> Confusion:
    """What happens if everybody at or above a threshold is refused."""
    refused, bad = probability >= threshold, label == 1
    tp, fp = int((refused & bad).sum()), int((refused & ~bad).sum())
    tn, fn = int((~refused & ~bad).sum()), int((~refused & bad).sum())
    return Confusion(
        threshold=threshold,
        true_positives=tp,
        false_positives=fp,
        true_negatives=tn,
        false_negatives=fn,
        precision=tp / max(1, tp + fp),
        recall=tp / max(1, tp + fn),
        approval_rate=(tn + fn) / len(label),
        bad_rate_of_approved=fn / max(1, tn + fn),
    )


def score_stability(expected: Floats, actual: Floats, bands: int = 10) -> float:
    """PSI of two sets of probabilities, by quantile bands of the expected one."""
    edges = np.unique(np.quantile(expected, np.linspace(0, 1, bands + 1)[1:-1]))
    counted = [
        np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1).astype(np.float64)
        for values in (expected, actual)
    ]
    return stability_index(counted[0], counted[1])


def _bands(label: Vector, probability: Floats) -> tuple[Band, ...]:
    order = np.argsort(-probability, kind="stable")
    parts = np.array_split(np.asarray(label)[order], min(10, len(label)))
    overall, total, so_far = float(label.mean()), float(label.sum()), 0.0
    found = []
    for part in parts:
        so_far += float(part.sum())
        found.append(
            Band(
                rows=len(part),
                events=int(part.sum()),
                lift=float(part.mean()) / overall,
                captured=so_far / total,
            )
        )
    return tuple(found)


def _reliability(label: Vector, probability: Floats) -> tuple[Reliability, ...]:
    order = np.argsort(probability, kind="stable")
    return tuple(
        Reliability(
            predicted=float(probability[part].mean()), observed=float(np.asarray(label)[part].mean()), rows=len(part)
        )
        for part in np.array_split(order, min(10, len(label)))
    )


def _calibration_error(label: Vector, probability: Floats) -> float:
    """Mean distance of predicted and observed over the reliability bands, weighted by rows."""
    bands = _reliability(label, probability)
    return sum(abs(each.predicted - each.observed) * each.rows for each in bands) / len(label)


def _curve(label: Vector, probability: Floats) -> Curve:
    order = np.argsort(-probability, kind="stable")
    ranked, sorted_label = probability[order], np.asarray(label, np.float64)[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    bads, goods = np.cumsum(sorted_label)[ends], np.cumsum(1 - sorted_label)[ends]
    kept = np.unique(np.linspace(0, len(ends) - 1, min(CURVE_POINTS, len(ends))).round().astype(np.int64))
    return Curve(
        thresholds=tuple(ranked[ends][kept].tolist()),
        goods=tuple((goods[kept] / max(goods[-1], _TINY)).tolist()),
        bads=tuple((bads[kept] / max(bads[-1], _TINY)).tolist()),
    )


def _bootstrap(label: Vector, probability: Floats, random: np.random.Generator) -> tuple[Floats, Floats]:
    """AUC and KS of resampled rows, float64[DRAWS] each: sorted once, then each draw is a weight for each row."""
    order = np.argsort(probability, kind="stable")
    ranked, bad = probability[order], np.asarray(label)[order] == 1
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    areas, distances = np.empty(DRAWS), np.empty(DRAWS)
    bad_at, good_at = np.flatnonzero(bad), np.flatnonzero(~bad)
    for draw in range(DRAWS):
        bads = np.bincount(random.choice(bad_at, len(bad_at)), minlength=len(bad))
        goods = np.bincount(random.choice(good_at, len(good_at)), minlength=len(bad))
        b = np.cumsum(bads)[ends] / len(bad_at)
        g = np.cumsum(goods)[ends] / len(good_at)
        steps = np.diff(b, prepend=0.0)
        areas[draw] = float((steps * (g - np.diff(g, prepend=0.0) / 2)).sum())  # goods below, ties half
        distances[draw] = float(np.abs(b - g).max())
    return areas, distances


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value=value, low=float(low), high=float(high))
