"""How a model in service does: whether it still meets the enterprises that it was made on, and whether what it predicted happened.

    drift        PSI of the score, and of each own column, between the model's population and a window of its use
    realised     defaults against predictions: by band, in the whole, AUC and KS
    compared     two models on the same enterprises
    quantiles    of latency

Pure: counts and arrays in, frozen documents out. Probabilities are float64[n] of the event (label 1, default), labels float64[n] with
NaN where nothing is known yet.

An index of few rows is large by chance alone. Under no change it is about chi-square with bins - 1 degrees of freedom, times
(1/n + 1/m) (Yurdakul, Statistical Properties of the Population Stability Index, 2018): `noise` is the 99% quantile of that, and an
index below it raises nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from modeling.metrics import auc, brier, ks, stability_index, stability_parts
from modeling.preparation.binning import (
    Bins,
    CategoryBins,
    NumberBins,
    bin_labels,
    category_bins,
    histogram,
    quantile_bins,
)

SCORE: Final = "score"
BINS: Final = 10
CATEGORIES: Final = 20
_NORMAL_99: Final = 2.3263478740408408
_NORMAL_95_BOTH: Final = 1.959963984540054

Floats = npt.NDArray[np.float64]
Level = Literal["none", "few", "stable", "watch", "alarm"]
"""none: nothing to compare with; few: too few rows to say; watch, alarm: the two thresholds."""


class _Figures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of what is told."""


class Thresholds(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where on somebody has to look. PSI after Siddiqi, Credit Risk Scorecards (2006); `calibration` in standard deviations."""

    psi_watch: float = 0.1
    psi_alarm: float = 0.25
    calibration_watch: float = 2.0
    calibration_alarm: float = 3.0
    minimum_rows: int = 100


class Counted(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many values lay in each bin."""

    bins: Bins
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if len(self.counts) != self.bins.count or min(self.counts) < 0 or not sum(self.counts):
            raise ValueError(f"{self.bins.name!r}: a count for each of {self.bins.count} bins, not all 0")


class Population(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom a model was made on, as counts: the probability under the name SCORE, and own columns. `source`: where they come from."""

    source: str
    score: Counted | None = None
    columns: tuple[Counted, ...] = ()


class DriftBin(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bin: the share of the population and of the window in it, and what it adds to the index."""

    label: str
    expected: float
    actual: float
    part: float


class Drift(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stability index of one column over `rows` of the window; see the module for `noise`."""

    name: str
    rows: int
    value: float
    noise: float
    level: Level
    bins: tuple[DriftBin, ...]


class BandOutcome(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A band of scores with known outcomes: the mean predicted probability, the share of defaults and its 95% interval (Wilson)."""

    band: str
    rows: int
    events: int
    predicted: float
    observed: float
    low: float
    high: float


class Realised(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Outcomes against predictions. `expected`: defaults predicted; `deviation`: of the observed ones, in standard deviations.

    `auc`, `ks`: None until both classes occurred.
    """

    rows: int
    events: int
    expected: float
    deviation: float
    level: Level
    auc: float | None
    ks: float | None
    brier: float
    bands: tuple[BandOutcome, ...]


class Compared(_Figures, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A challenger beside the champion on the enterprises that both scored. `same_band`: a share; None if a model has no bands."""

    rows: int
    mean_difference: float
    correlation: float | None
    same_band: float | None
    labelled: int
    champion_auc: float | None
    challenger_auc: float | None
    champion_ks: float | None
    challenger_ks: float | None


def population(source: str, probability: Floats | None, columns: Mapping[str, npt.NDArray[Any]]) -> Population:
    """Count the training data of a model. `columns`: float64[n], or object[n] of texts, by name. Raises DataUnusable."""
    return Population(
        source=source,
        score=None if probability is None else _counted(SCORE, _probabilities(probability)),
        columns=tuple(_counted(name, values) for name, values in columns.items()),
    )


def drift(expected: Counted, actual: Sequence[int] | npt.NDArray[Any], thresholds: Thresholds | None = None) -> Drift:
    """`actual`: counts over the bins of `expected`. Raises DataUnusable for another number of bins."""
    limits = thresholds or Thresholds()
    before, after = np.array(expected.counts, np.float64), np.asarray(actual, np.float64)
    name, rows = expected.bins.name, int(after.sum())
    if before.shape != after.shape:
        raise DataUnusable(f"column {name!r} was counted over other bins")
    if not rows:
        return Drift(name=name, rows=0, value=0.0, noise=0.0, level="none", bins=())
    value, noise = stability_index(before, after), _noise(before, rows)
    return Drift(
        name=name,
        rows=rows,
        value=value,
        noise=noise,
        level=_level(value, limits.psi_watch, limits.psi_alarm, rows, limits.minimum_rows, noise),
        bins=tuple(
            DriftBin(label=label, expected=e, actual=a, part=part)
            for label, e, a, part in zip(
                bin_labels(expected.bins),
                (before / before.sum()).tolist(),
                (after / rows).tolist(),
                stability_parts(before, after).tolist(),
                strict=True,
            )
        ),
    )


def score_drift(expected: Counted, probability: Floats, thresholds: Thresholds | None = None) -> Drift:
    """The same of probabilities float64[n]."""
    return drift(expected, histogram(expected.bins, probability), thresholds)


def realised(
    probability: Floats, label: Floats, bands: Sequence[str], thresholds: Thresholds | None = None
) -> Realised | None:
    """Of the rows with a label; None if there is none. `bands`: of each row; "" where the model has none (tenths, then).

    Raises DataUnusable for a label that is neither 0 nor 1.
    """
    limits = thresholds or Thresholds()
    known = np.isfinite(label) & np.isfinite(probability)
    p, y = probability[known], label[known]
    if not len(y):
        return None
    if not np.isin(y, (0.0, 1.0)).all():
        raise DataUnusable("an outcome is 0 or 1")
    expected, events = float(p.sum()), int(y.sum())
    spread = math.sqrt(float((p * (1 - p)).sum()))
    deviation = (events - expected) / spread if spread > 0 else 0.0
    both = 0 < events < len(y)
    return Realised(
        rows=len(y),
        events=events,
        expected=expected,
        deviation=deviation,
        level=_level(
            abs(deviation), limits.calibration_watch, limits.calibration_alarm, len(y), limits.minimum_rows, 0.0
        ),
        auc=auc(y, p) if both else None,
        ks=ks(y, p) if both else None,
        brier=brier(y, p),
        bands=_band_outcomes(p, y, [each for each, there in zip(bands, known, strict=True) if there]),
    )


def compared(
    champion: Floats,
    challenger: Floats,
    label: Floats,
    champion_bands: Sequence[str] = (),
    challenger_bands: Sequence[str] = (),
) -> Compared | None:
    """Probabilities float64[n] of both models for the same enterprises; None if there are none."""
    if not len(champion):
        return None
    known = np.isfinite(label)
    y, one, other = label[known], champion[known], challenger[known]
    both = 0 < y.sum() < len(y)
    varied = len(champion) > 1 and np.ptp(champion) > 0 and np.ptp(challenger) > 0
    pairs = [(a, b) for a, b in zip(champion_bands, challenger_bands, strict=True) if a and b]
    return Compared(
        rows=len(champion),
        mean_difference=float(np.mean(challenger - champion)),
        correlation=float(np.corrcoef(_ranks(champion), _ranks(challenger))[0, 1]) if varied else None,
        same_band=sum(a == b for a, b in pairs) / len(pairs) if pairs else None,
        labelled=len(y),
        champion_auc=auc(y, one) if both else None,
        challenger_auc=auc(y, other) if both else None,
        champion_ks=ks(y, one) if both else None,
        challenger_ks=ks(y, other) if both else None,
    )


def quantiles(values: Floats, at: Sequence[float] = (0.5, 0.95, 0.99)) -> tuple[float, ...] | None:
    """None of no values."""
    return tuple(np.quantile(values, at).tolist()) if len(values) else None


def _counted(name: str, values: npt.NDArray[Any]) -> Counted:
    bins = _bins(name, values)
    return Counted(bins=bins, counts=tuple(histogram(bins, values).tolist()))


def _bins(name: str, values: npt.NDArray[Any]) -> NumberBins | CategoryBins:
    if values.dtype == object:
        return category_bins(name, values, CATEGORIES)
    there = np.unique(values[~np.isnan(values)])
    if len(there) == 1:  # below, at and above the only value: whether it stays the only one can be seen
        return NumberBins(name=name, edges=(float(np.nextafter(there[0], -math.inf)), float(there[0])))
    return quantile_bins(name, values, BINS)


def _probabilities(values: Floats) -> Floats:
    if not ((values >= 0) & (values <= 1)).all():  # NaN is neither
        raise DataUnusable("a score of the population is a probability from 0 to 1")
    return values


def _level(value: float, watch: float, alarm: float, rows: int, least: int, noise: float) -> Level:
    if rows < least:
        return "few"
    if value <= max(watch, noise):
        return "stable"
    return "alarm" if value > max(alarm, noise) else "watch"


def _noise(expected: Floats, rows: int) -> float:
    """Of bins that occur; chi-square by Wilson and Hilferty (1931)."""
    degrees = max(1, int((expected > 0).sum()) - 1)
    spread = 2 / (9 * degrees)
    quantile = degrees * (1 - spread + _NORMAL_99 * math.sqrt(spread)) ** 3
    return float(quantile * (1 / expected.sum() + 1 / rows))


def _band_outcomes(p: Floats, y: Floats, bands: Sequence[str]) -> tuple[BandOutcome, ...]:
    """By named band, the safest first; by tenths of the probability where no band is named."""
    if not any(bands):
        order = np.argsort(p, kind="stable")
        parts = [(str(at), part) for at, part in enumerate(np.array_split(order, min(BINS, len(p))), 1)]
    else:
        names = np.array(bands, dtype=object)
        parts = [(str(name), np.flatnonzero(names == name)) for name in dict.fromkeys(bands)]
        parts.sort(key=lambda each: float(p[each[1]].mean()))
    found = []
    for name, rows in parts:
        events = int(y[rows].sum())
        low, high = _wilson(events, len(rows))
        found.append(
            BandOutcome(
                band=name,
                rows=len(rows),
                events=events,
                predicted=float(p[rows].mean()),
                observed=events / len(rows),
                low=low,
                high=high,
            )
        )
    return tuple(found)


def _wilson(events: int, rows: int) -> tuple[float, float]:
    """Wilson, JASA 22 (1927)."""
    z, share = _NORMAL_95_BOTH, events / rows
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z * math.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows)) / (1 + z * z / rows)
    return max(0.0, middle - half), min(1.0, middle + half)


def _ranks(values: Floats) -> Floats:
    """Mean ranks of ties: Spearman's correlation is that of these."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Floats = (ends - (counts - 1) / 2)[place]
    return ranks
