"""Weight of evidence and information value from counts per bin (Siddiqi, Credit Risk Scorecards, 2006), and choosing columns by them.

A label of 1 is the event (default). woe = ln(share of the events / share of the others) in a bin: above 0 the bin is worse than the
whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from modeling.preparation.columns import Numbers


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """Of one column: counts int64[bins], woe float64[bins], the bins' parts of the information value, and their sum."""

    positives: npt.NDArray[np.int64]
    negatives: npt.NDArray[np.int64]
    woe: Numbers
    parts: Numbers
    value: float


def evidence(positives: npt.NDArray[Any], negatives: npt.NDArray[Any], smoothing: float = 0.5) -> Evidence:
    """WOE and IV, with `smoothing` rows added to both classes of each bin that has rows; an empty bin has WOE 0.

    Raises DataUnusable unless both classes are there and counts are not negative.
    """
    if positives.shape != negatives.shape or positives.ndim != 1 or smoothing < 0:
        raise DataUnusable("WOE needs the counts of both classes for the same bins, and no negative smoothing")
    if min(positives.min(initial=0), negatives.min(initial=0)) < 0 or not positives.sum() or not negatives.sum():
        raise DataUnusable("WOE needs rows of both classes")
    filled = (positives + negatives) > 0
    bad, good = (np.where(filled, counts + smoothing, 0.0) for counts in (positives, negatives))
    if smoothing == 0 and ((bad == 0) | (good == 0))[filled].any():
        raise DataUnusable("a bin has rows of one class only: its WOE is infinite without smoothing")
    shares = bad / bad.sum(), good / good.sum()
    woe = np.zeros(len(bad))
    woe[filled] = np.log(shares[0][filled] / shares[1][filled])
    parts = (shares[0] - shares[1]) * woe
    return Evidence(
        positives=positives.astype(np.int64),
        negatives=negatives.astype(np.int64),
        woe=woe,
        parts=parts,
        value=float(parts.sum()),
    )


def count_labels(
    places: npt.NDArray[Any], label: npt.NDArray[Any], count: int, weight: npt.NDArray[Any] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positives and negatives per bin, int64[count] each, over rows whose weight is not 0. For the active party's own columns."""
    if not np.isin(label, (0, 1)).all():
        raise DataUnusable("a label is 0 or 1")
    counted = np.ones(len(label), bool) if weight is None else weight != 0
    return (
        np.bincount(places[counted & (label == 1)], minlength=count),
        np.bincount(places[counted & (label == 0)], minlength=count),
    )


def correlation(matrix: Numbers) -> Numbers:
    """Pearson correlation of a party's own columns, float64[d, d]. Raises DataUnusable for a constant or unfinite column."""
    if matrix.ndim != 2 or len(matrix) < 2 or not np.isfinite(matrix).all() or (np.ptp(matrix, axis=0) == 0).any():
        raise DataUnusable("correlation needs rows of finite values, and no column with one value only")
    centred = matrix - matrix.mean(axis=0)
    centred /= np.sqrt((centred**2).sum(axis=0))
    found: Numbers = np.clip(centred.T @ centred, -1.0, 1.0)
    return found


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a column must keep to. An information value above the highest is more likely a leak of the label than a finding.

    `highest_drift`: of the stability index between training and test rows.
    """

    lowest_value: Annotated[float, msgspec.Meta(ge=0)] = 0.02
    highest_value: Annotated[float, msgspec.Meta(gt=0)] = 3.0
    highest_correlation: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.9
    highest_missing: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.9
    highest_drift: Annotated[float, msgspec.Meta(gt=0)] = 0.25


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Columns kept, in their order, and why each other one was dropped."""

    kept: tuple[str, ...]
    dropped: dict[str, str] = field(default_factory=dict)


def select(
    names: Sequence[str],
    values: Sequence[float],
    missing: Sequence[float],
    drifts: Sequence[float],
    correlations: Numbers,
    limits: Limits,
) -> Selection:
    """Keep columns within the limits; of columns that are too correlated, the one of highest information value.

    `values`: information values; `missing`: shares in 0 .. 1; `drifts`: stability indices; `correlations`: float64[d, d]. Raises
    DataUnusable if sizes differ.
    """
    sizes = {len(names), len(values), len(missing), len(drifts)}
    if len(sizes) > 1 or correlations.shape != (len(names), len(names)):
        raise DataUnusable("a selection needs a value, a share and a row of correlations for each column")
    dropped: dict[str, str] = {}
    kept: list[int] = []
    for at in sorted(range(len(names)), key=lambda at: (-values[at], at)):
        reason = _reason(values[at], missing[at], drifts[at], limits)
        near = next((one for one in kept if abs(correlations[at, one]) > limits.highest_correlation), None)
        if reason is None and near is not None:
            reason = f"correlation {correlations[at, near]:.3f} with {names[near]}"
        if reason is None:
            kept.append(at)
        else:
            dropped[names[at]] = reason
    return Selection(kept=tuple(names[at] for at in sorted(kept)), dropped=dropped)


def _reason(value: float, missing: float, drift: float, limits: Limits) -> str | None:
    if missing > limits.highest_missing:
        return f"{missing:.1%} missing"
    if drift > limits.highest_drift:
        return f"stability index {drift:.2f} between training and test rows is too high"
    if not value >= limits.lowest_value:
        return f"information value {value:.4f} is too low"
    return f"information value {value:.4f} is suspiciously high" if value > limits.highest_value else None
