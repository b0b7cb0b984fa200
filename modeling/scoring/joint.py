"""A joint logistic model in request and answer: each party adds up its part, and only the sum opens.

As `modeling.logistic.scoring`, without a channel: predictors in fixed point modulo 2^64, and where there are several providers a mask
of each pair, which cancels. With one provider its predictor is the score less the bank's own part, so nothing is masked.
Leak to the active party: with one provider, its predictor of each row; with several, their sum. To a provider: that its part is used,
on how many rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from modeling.errors import DataUnusable, ProtocolViolation
from modeling.scoring.fixed import Floats
from modeling.scoring.masks import Flags, PairMasks, Words

FRACTION_BITS: Final = 32
BOUND: Final = float(1 << 20)
"""The largest predictor of a party; far beyond what clipped features give."""
ERROR: Final = 2.0 ** -(FRACTION_BITS + 1)
"""Bound of the absolute error that each provider adds to a score."""


def logistic_part(
    coefficients: Floats,
    features: Floats,
    masks: PairMasks,
    request: int,
    *,
    hidden: Flags | None = None,
    subjects: Sequence[bytes] = (),
) -> Words:
    """A provider's answer, uint64[n]. `coefficients`: float64[p] without intercept.

    `hidden`: bool[n], rows that it refuses; `subjects`: who the rows are about, to which masks are bound.
    Raises DataUnusable, ProtocolViolation.
    """
    predictor = _predictor(coefficients, features)
    whole = np.round(predictor * 2.0**FRACTION_BITS).astype(np.int64).astype(np.uint64)
    return whole + masks.take(request, len(features), hidden, subjects)


def logistic_total(coefficients: Floats, features: Floats, parts: Sequence[Words], kept: Flags | None = None) -> Floats:
    """The active party: float64[n], log odds, NaN where not `kept`; `coefficients`: the intercept first.

    Raises DataUnusable, ProtocolViolation.
    """
    found = coefficients[0] + _predictor(coefficients[1:], features)
    if any(each.shape != found.shape for each in parts):
        raise ProtocolViolation(f"a provider's part is not of {len(found)} rows")
    others = sum(parts, np.zeros(len(found), np.uint64)).astype(np.int64) / 2.0**FRACTION_BITS
    if kept is not None:
        others = np.where(kept, others, np.nan)
    if (np.abs(others) > BOUND * len(parts)).any():
        raise ProtocolViolation("a sum of predictors is out of range: a party sent what is no predictor")
    return np.asarray(found + others)


def _predictor(coefficients: Floats, features: Floats) -> Floats:
    if features.ndim != 2 or features.shape[1] != len(coefficients) or not np.isfinite(features).all():
        raise DataUnusable(f"the model has {len(coefficients)} finite columns here; {features.shape} came")
    found: Floats = features @ coefficients
    if not (np.abs(found) <= BOUND).all():
        raise DataUnusable(
            f"a linear predictor is beyond {BOUND:.0f}; prepare the columns with the model's own preparation"
        )
    return found
