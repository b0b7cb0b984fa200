"""A logistic model as a scorecard: points for each bin or unit of each feature, each party its own part.

    score = offset + factor * ln(odds of good),   factor = PDO / ln 2,   offset = base_score - factor * ln(base_odds)

so that `base_score` points mean `base_odds` goods for one bad, and `pdo` points more double the odds. The linear predictor z is the log
odds of *bad* (label 1); a feature's points are -factor * coefficient * value. The intercept and the offset are the active party's part.
Points are rounded once for each feature and row, as on paper. Reason codes name the features that cost most points against the best
that each could give. Source: Siddiqi, Intelligent Credit Scoring (2017), chapter 10.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MAX_REASONS: Final = 4

_Positive = Annotated[float, msgspec.Meta(gt=0)]


class Scale(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How points relate to odds; the same at all parties."""

    base_score: float = 600.0
    base_odds: _Positive = 50.0
    pdo: _Positive = 20.0

    @property
    def factor(self) -> float:
        """Points for one unit of log odds."""
        return self.pdo / math.log(2)

    @property
    def offset(self) -> float:
        """Points at even odds."""
        return self.base_score - self.factor * math.log(self.base_odds)


class Scorecard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A party's part: feature j gives round(weight_j * value_j) points; the active party adds `base`.

    `lowest`, `highest`: the values of each feature that occurred in training; they bound its points.
    """

    scale: Scale
    features: tuple[str, ...]
    weights: tuple[float, ...]
    lowest: tuple[float, ...]
    highest: tuple[float, ...]
    base: float = 0.0

    def __post_init__(self) -> None:
        """Raises DataUnusable unless all are of the same features."""
        if len({len(self.features), len(self.weights), len(self.lowest), len(self.highest)}) != 1:
            raise DataUnusable("names, weights and bounds of a scorecard are of different features")

    def points(self, values: Floats) -> Ints:
        """int64[n, p]: the points of each feature in each row of float64[n, p]. Raises DataUnusable."""
        if values.ndim != 2 or values.shape[1] != len(self.features):
            raise DataUnusable(
                f"a scorecard of {len(self.features)} features was given columns of shape {values.shape}"
            )
        if not np.isfinite(values).all():
            raise DataUnusable("a value is missing or infinite; apply the preparation that the model was trained with")
        found: Ints = np.rint(values * np.array(self.weights)).astype(np.int64)
        return found

    def score(self, values: Floats) -> Ints:
        """int64[n]: this party's points; the sum over the parties is the score."""
        found: Ints = self.points(values).sum(axis=1) + round(self.base)
        return found

    def reasons(self, values: Floats, count: int = MAX_REASONS) -> list[tuple[str, ...]]:
        """For each row the features that cost most points, the worst first; only such as cost any."""
        best = np.rint(np.maximum(np.multiply(self.weights, self.lowest), np.multiply(self.weights, self.highest)))
        lost = best[None, :] - self.points(values)
        order = np.argsort(-lost, axis=1, kind="stable")[:, :count]
        return [
            tuple(self.features[place] for place in places if row[place] > 0)
            for row, places in zip(lost, order, strict=True)
        ]

    def table(self) -> list[tuple[str, float, float, int, int]]:
        """What a person reads: feature, lowest and highest value, and the points of each."""
        return [
            (name, low, high, round(weight * low), round(weight * high))
            for name, weight, low, high in zip(self.features, self.weights, self.lowest, self.highest, strict=True)
        ]


def scorecard(
    features: Sequence[str], coefficients: Floats, seen: Floats, scale: Scale, *, intercept: float | None = None
) -> Scorecard:
    """A party's scorecard from its coefficients (float64[p]) and its training columns (float64[n, p]).

    `intercept`: the active party's; a passive has none. Raises DataUnusable.
    """
    if not len(features) == len(coefficients) == seen.shape[1] or len(seen) == 0:
        raise DataUnusable("features, coefficients and columns of a scorecard do not fit each other")
    return Scorecard(
        scale=scale,
        features=tuple(features),
        weights=tuple((-scale.factor * coefficients).tolist()),
        lowest=tuple(seen.min(axis=0).tolist()),
        highest=tuple(seen.max(axis=0).tolist()),
        base=0.0 if intercept is None else scale.offset - scale.factor * intercept,
    )


def odds_of_good(score: float, scale: Scale) -> float:
    """Goods for one bad at a score."""
    return math.exp((score - scale.offset) / scale.factor)


def probability_of_bad(score: float, scale: Scale) -> float:
    """What the model says, read from the points."""
    return 1 / (1 + odds_of_good(score, scale))
