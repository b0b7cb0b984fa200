"""How good a model is, in the figures that a risk officer asks for. Labels {0, 1}[n] (1: the event, default), probabilities float64[n].

Rows that do not count are left out by the caller. Every function is pure; bootstrap intervals take the generator that draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from modeling.metrics import Vector, auc, brier, ks, log_loss, stability_index, stability_parts

CURVE_POINTS: Final = 200
DRAWS: Final = 400
BANDS: Final = 10
HISTOGRAM_BANDS: Final = 50

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
    """Points of ROC and KS: threshold from high to low, shares of goods and bads at or above it. At most CURVE_POINTS.

    Where a long curve is thinned, the point of the greatest distance stays.
    """

    thresholds: tuple[float, ...]
    goods: tuple[float, ...]
    bads: tuple[float, ...]


class Evaluation(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All figures over one set of rows."""

    rows: int
    events: int
    auc: Interval
    ks: Interval
    ks_threshold: float
    """The highest probability at which bads and goods are that far apart."""
    gini: float
    brier: float
    log_loss: float
    calibration_error: float
    bands: tuple[Band, ...]
    reliability: tuple[Reliability, ...]
    confusion: Confusion
    curve: Curve
    histogram: tuple[int, ...]
    """Rows by probability, HISTOGRAM_BANDS bands of equal width from 0 to 1."""


class StabilityBand(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows with a probability above `low` (the first band: from it) and up to `high`, and their part of the index."""

    low: float
    high: float
    expected: int
    actual: int
    part: float


class Stability(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """PSI of two sets of probabilities, and its parts by band.

    In practice below 0.1 is stable and above 0.25 is another population (Siddiqi, Credit Risk Scorecards, 2006).
    """

    value: float
    bands: tuple[StabilityBand, ...]


def evaluate(
    label: Vector, probability: Floats, random: np.random.Generator, *, threshold: float | None = None
) -> Evaluation:
    """Every figure. `threshold`: where to refuse; the share of events by default.

    Raises DataUnusable unless both classes are there and each label has a probability in 0 .. 1.
    """
    if label.shape != probability.shape or label.ndim != 1:
        raise DataUnusable("an evaluation needs a probability for each label")
    if not ((probability >= 0) & (probability <= 1)).all():  # NaN is neither
        raise DataUnusable("a probability is a number from 0 to 1")
    area = auc(label, probability)  # refuses a label of one class, or none
    ranking = _Ranking.of(label, probability)
    areas, distances = _bootstrap(ranking, random)
    bands = _reliability(label, probability)
    return Evaluation(
        rows=len(label),
        events=int(label.sum()),
        auc=_interval(area, areas),
        ks=_interval(ks(label, probability), distances),
        ks_threshold=float(ranking.values[ranking.farthest]),
        gini=2 * area - 1,
        brier=brier(label, probability),
        log_loss=log_loss(label, probability),
        calibration_error=sum(abs(each.predicted - each.observed) * each.rows for each in bands) / len(label),
        bands=_bands(label, probability),
        reliability=bands,
        confusion=confusion(label, probability, float(label.mean()) if threshold is None else threshold),
        curve=_curve(ranking),
        histogram=tuple(np.histogram(probability, HISTOGRAM_BANDS, (0, 1))[0].tolist()),
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


def score_stability(expected: Floats, actual: Floats) -> Stability:
    """PSI of two sets of probabilities, by at most BANDS quantile bands of the expected one. Raises DataUnusable if one is empty."""
    if not len(expected) or not len(actual):
        raise DataUnusable("the stability of a score compares two sets of rows, each with rows in it")
    cuts = np.unique(np.quantile(expected, np.arange(1, BANDS) / BANDS, method="inverted_cdf"))
    cuts = cuts[cuts < expected.max()]
    before, after = (
        np.bincount(np.searchsorted(cuts, values), minlength=len(cuts) + 1) for values in (expected, actual)
    )
    ends = [0.0, *cuts.tolist(), 1.0]
    return Stability(
        value=stability_index(before, after),
        bands=tuple(
            StabilityBand(low=low, high=high, expected=e, actual=a, part=part)
            for (low, high), e, a, part in zip(
                pairwise(ends), before.tolist(), after.tolist(), stability_parts(before, after).tolist(), strict=True
            )
        ),
    )


@dataclass(frozen=True, eq=False)
class _Ranking:
    """Rows sorted once. `values`: distinct probabilities, highest first; `bads`, `goods`: int64[m], rows of each class at each."""

    values: Floats
    bads: npt.NDArray[np.int64]
    goods: npt.NDArray[np.int64]

    @classmethod
    def of(cls, label: Vector, probability: Floats) -> _Ranking:
        values, place = np.unique(probability, return_inverse=True)
        bads, goods = (np.bincount(place[label == kind], minlength=len(values)) for kind in (1, 0))
        return cls(values[::-1], bads[::-1], goods[::-1])

    @property
    def shares(self) -> tuple[Floats, Floats]:
        """Of the bads and of the goods, at or above each value."""
        return np.cumsum(self.bads) / self.bads.sum(), np.cumsum(self.goods) / self.goods.sum()

    @property
    def farthest(self) -> int:
        """Where these are farthest apart."""
        bads, goods = self.shares
        return int(np.abs(bads - goods).argmax())


def _curve(ranking: _Ranking) -> Curve:
    count = len(ranking.values)
    kept = np.unique(np.linspace(0, count - 1, min(CURVE_POINTS - 1, count)).round().astype(np.int64))
    kept = np.union1d(kept, ranking.farthest)
    bads, goods = ranking.shares
    return Curve(
        thresholds=tuple(ranking.values[kept].tolist()),
        goods=tuple(goods[kept].tolist()),
        bads=tuple(bads[kept].tolist()),
    )


def _bootstrap(ranking: _Ranking, random: np.random.Generator) -> tuple[Floats, Floats]:
    """AUC and KS of DRAWS resamples of the rows, float64[DRAWS] each. Both classes keep their sizes, so a draw never lacks one.

    Nothing secret is drawn: numpy's generator, seeded by the caller, makes intervals that can be had again.
    """
    areas, distances = np.empty(DRAWS), np.empty(DRAWS)
    size = len(ranking.values)
    bad_at, good_at = (np.repeat(np.arange(size), counts) for counts in (ranking.bads, ranking.goods))
    for draw in range(DRAWS):
        bads = np.bincount(random.choice(bad_at, len(bad_at)), minlength=size)
        goods = np.bincount(random.choice(good_at, len(good_at)), minlength=size)
        bads_above, goods_above = np.cumsum(bads), np.cumsum(goods)
        areas[draw] = goods @ (bads_above - bads / 2) / (len(bad_at) * len(good_at))  # ties count half
        distances[draw] = np.abs(bads_above / len(bad_at) - goods_above / len(good_at)).max()
    return areas, distances


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value=value, low=float(low), high=float(high))


def _bands(label: Vector, probability: Floats) -> tuple[Band, ...]:
    order = np.argsort(-probability, kind="stable")
    parts = np.array_split(np.asarray(label)[order], min(BANDS, len(label)))
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
        for part in np.array_split(order, min(BANDS, len(label)))
    )
