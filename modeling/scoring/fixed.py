"""Fixed point of scores: a weight and a feature become integers, and a score is their inner product, exactly.

A column is taken in units of its declared bound, so |x| <= 1, with 22 fraction bits, the same for every model: they say nothing of it.
A weight takes the bound's unit back and gets the fraction bits that the modulus leaves; they stay with the owner.

The error of a score is what rounding weights and features did, and has a bound that holds for every row:
    |sum w x - sum W X / 2^(a+b)|  <=  sum |w - W / 2^a|  +  sum |W| / 2^a * 2^-(b+1)        (units of bounds; |x| <= 1; a: weights)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from modeling.scoring.ring import MODULUS_BITS, Ints

Floats = npt.NDArray[np.float64]

DIGITS: Final = 6
"""After the point: a score is rounded when it has been opened, for what lies beyond is no part of it."""
ROUNDED_BY: Final = 0.5 * 10.0**-DIGITS
MAX_ERROR: Final = 1e-4
"""Absolute error of a score (log odds) that a model may have."""
FEATURE_BITS: Final = 22
"""Near the best for 10 to 100 features, whatever their weights: the two sums above are equal where 2^(2b) = t / (2 p)."""
LARGEST: Final = (1 << (MODULUS_BITS - 1)) - 1
"""What a sum of products, with what is added to it, may reach; beyond, it would wrap around."""
_MOST_WEIGHT_BITS: Final = 40
_ROUNDING: Final = 1 + 2.0**-20
"""What float64 adds to a feature and its rounding, amply."""


@dataclass(frozen=True, kw_only=True)
class Scales:
    """Of one model: fraction bits of weights and features, the proved bound of a score's error, the largest sum of products."""

    weight_bits: int
    feature_bits: int
    error: float
    largest: int

    @property
    def fraction_bits(self) -> int:
        """Of a sum of products."""
        return self.weight_bits + self.feature_bits


def scales_for(weights: Floats, bounds: Floats, reserve: float = 0.0) -> Scales:
    """Scales of a model. `weights`, `bounds`: float64[p] over the features of all providers; |feature| <= bound, declared.

    `reserve`: bound of what is added to the sum in fixed point. Raises DataUnusable if a value is not finite, a bound not positive,
    or a score could be off by more than 1e-4; it says what to do.
    """
    _check(weights, bounds)
    largest = float(np.abs(weights * bounds).sum()) + reserve
    for weight_bits in range(_MOST_WEIGHT_BITS, -1, -1):
        total = int(np.abs(whole_weights(weights, bounds, weight_bits)).sum()) << FEATURE_BITS
        if total + int(reserve * 2.0 ** (weight_bits + FEATURE_BITS)) + 1 <= LARGEST:
            break
    else:
        raise DataUnusable(
            f"a score of this model can reach {largest:.3g}, which does not fit: standardise the features, or narrow their bounds"
        )
    error = error_bound(weights, bounds, weight_bits)
    if error + ROUNDED_BY > MAX_ERROR:
        raise DataUnusable(
            f"scores of this model could be off by {error:.2g}, more than {MAX_ERROR:g}, because a score can reach {largest:.3g} over "
            f"{len(weights)} features: standardise the features, narrow their bounds, or leave out features of little weight"
        )
    return Scales(weight_bits=weight_bits, feature_bits=FEATURE_BITS, error=error, largest=total)


def error_bound(weights: Floats, bounds: Floats, weight_bits: int) -> float:
    """The largest absolute error of a score, over all rows within the bounds."""
    unit = 2.0**-weight_bits
    rounded = whole_weights(weights, bounds, weight_bits) * unit
    of_features = np.abs(rounded).sum() * _ROUNDING * 2.0 ** -(FEATURE_BITS + 1)
    underflow = len(weights) * np.finfo(np.float64).tiny
    return float(np.abs(weights * bounds - rounded).sum() + of_features + underflow)


def whole_weights(weights: Floats, bounds: Floats, weight_bits: int) -> Ints:
    """int64[p]: weights in units of 2^-weight_bits / bound; at most 2^62, beyond which nothing fits anyhow."""
    most = 2.0**62 / max(len(weights), 1)
    return np.clip(np.round(weights * bounds * 2.0**weight_bits), -most, most).astype(np.int64)


def whole_features(features: Floats, bounds: Floats, first: int = 0) -> npt.NDArray[np.int32]:
    """int32[p, n]: columns in units of their bounds, with `FEATURE_BITS` fraction bits. `features`: float64[n, p], from row `first` on.

    Raises DataUnusable for a value that is missing or beyond its column's bound.
    """
    if features.ndim != 2 or features.shape[1] != len(bounds):
        raise DataUnusable(f"the model has {len(bounds)} features here; a table of shape {features.shape} came")
    columns = features * (2.0**FEATURE_BITS / bounds)
    most = 2.0**FEATURE_BITS * _ROUNDING
    if not -most <= columns.min(initial=0) <= columns.max(initial=0) <= most:  # or one is missing
        row, column = (int(place[0]) for place in np.nonzero(~(np.abs(columns) <= most)))
        raise DataUnusable(
            f"feature {column} of row {first + row} is missing or beyond its declared bound {bounds[column]:g}: apply the model's own "
            "preparation, which fills and clips"
        )
    return np.rint(columns, out=columns).astype(np.int32).T


def _check(weights: Floats, bounds: Floats) -> None:
    if weights.ndim != 1 or weights.shape != bounds.shape:
        raise DataUnusable(f"there are {weights.shape} weights and {bounds.shape} bounds; each weight has one")
    if not np.isfinite(weights).all() or not np.isfinite(bounds).all() or (bounds <= 0).any():
        raise DataUnusable("a weight is not finite, or a feature has no positive bound: declare one for each")
