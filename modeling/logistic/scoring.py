"""Scoring with a logistic model whose coefficients lie at several parties: one round, one sum.

Parties: A and the passives of the training. Inputs: each its coefficients and its features float64[n, p] over one row order.
Output: A the linear predictor of each row; the passives nothing. Each passive sends its predictor in fixed point modulo 2^64. Where
there are several passives each pair shares a mask that cancels in the sum (Bonawitz et al., CCS 2017, without dropouts), so that
A sees the sum over the passives and no part of it.
Leak to A: with one passive, that passive's predictor of each row; with several, their sum. To a passive: that its part is used, on how
many rows. A sees linear combinations with fixed coefficients: as many rows as a passive has features do not tell them apart, for A
knows neither coefficients nor features.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from modeling.channel import Channel
from modeling.errors import DataUnusable, ProtocolViolation
from modeling.logistic.own import Floats
from modeling.messages import Message

SCORE: Final = "logistic-score"
MASK: Final = "logistic-mask"
SUM: Final = "logistic-sum"
FRACTION_BITS: Final = 32
BOUND: Final = float(1 << 20)
"""The largest predictor of a party; far beyond what clipped features give."""

_Words = npt.NDArray[np.uint64]


def score(coefficients: Floats, features: Floats, channels: Mapping[str, Channel]) -> Floats:
    """A's side: float64[n], the log odds of each row. `coefficients`: the intercept first. Raises ModelingError."""
    _check(features, len(coefficients) - 1)
    for channel in channels.values():
        channel.send(Message(kind=SCORE, fields={"rows": len(features)}))
    total = _fixed(coefficients[0] + features @ coefficients[1:])
    for channel in channels.values():
        total = total + channel.receive(SUM).array("sum", "uint64", (len(features),))
    found = total.view(np.int64).astype(np.float64) / (1 << FRACTION_BITS)
    if np.abs(found).max(initial=0.0) > BOUND * (1 + len(channels)):
        raise ProtocolViolation("a sum of predictors is out of range: a party sent what is no predictor")
    return np.asarray(found)


def answer(coefficients: Floats, features: Floats, active: str, own_name: str, channels: Mapping[str, Channel]) -> None:
    """A passive's side: answer one scoring. `channels` reach A and the other passives. Raises ModelingError."""
    _check(features, len(coefficients))
    asked = channels[active].receive(SCORE)
    rows = len(features)
    if asked.number("rows") != rows:
        raise ProtocolViolation(f"{active} scores {asked.number('rows')} rows, this party has {rows}")
    total = _fixed(features @ coefficients)
    others = {name: channel for name, channel in channels.items() if name != active}
    for name, channel in others.items():
        if own_name < name:  # of each pair one draws the mask and adds it, the other takes it away
            mask = np.frombuffer(secrets.token_bytes(8 * rows), np.uint64)
            channel.send(Message(kind=MASK, arrays={"mask": mask}))
            total = total + mask
    for name, channel in others.items():
        if name < own_name:
            total = total - channel.receive(MASK).array("mask", "uint64", (rows,))
    channels[active].send(Message(kind=SUM, arrays={"sum": total}))


def _fixed(predictor: Floats) -> _Words:
    """Two's complement with 32 fraction bits; sums wrap around, and masks are uniform. Raises DataUnusable."""
    if np.abs(predictor).max(initial=0.0) > BOUND or not np.isfinite(predictor).all():
        raise DataUnusable(
            f"a linear predictor is beyond {BOUND:.0f}; prepare the columns with the model's own preparation"
        )
    found: _Words = np.round(predictor * (1 << FRACTION_BITS)).astype(np.int64).view(np.uint64)
    return found


def _check(features: Floats, count: int) -> None:
    if features.ndim != 2 or features.shape[1] != count or not np.isfinite(features).all():
        raise DataUnusable(f"the model has {count} finite columns here; {features.shape} came")
