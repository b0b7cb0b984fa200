"""What a training is told, and what follows from it for the fixed-point ring.

Every party computes with integers modulo t (`modeling.bfv`). A sum of products of a sine, another sine and a feature must not wrap
around, whatever the data: the bits of each follow from the rows before anything is sent, or RangeExceeded where too few are left.
"""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal

import msgspec

from modeling.bfv import PLAIN_MODULUS
from modeling.errors import BudgetExceeded, RangeExceeded

COORDINATE_BITS: Final = 22
"""Fraction bits of coordinates when they multiply features."""
RIDGE_BITS: Final = 12
"""Fraction bits of the ridge beyond those of features."""
_RESIDUAL_BOUND: Final = 1.25
"""|sigmoid - label| with the error of the series, at weight one."""
COLUMN_BOUND: Final = 2.02
"""Mean |value| of a column in the party's basis: its mean square is 4 at most (`basis`), and Cauchy and Schwarz; rounding."""
MOST_OPENINGS: Final = 3
"""Of the parties' correlations: the first, and two after a party was lost in the first step. Each has a dither of its own."""
LEAST_STEPS: Final = 4
"""With these a feature has 16 rows at least, more than its sum in one step has bits."""
_MAX_BITS: Final = 16
_MIN_BITS: Final = 6

Period = Literal[24, 48, 96]
"""Of the sine series that stands for the sigmoid (`sigmoid`)."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training, the same at all parties.

    `l2`: ridge per row, on all coefficients but the intercept. `clip`: features are standardised and clipped to +-clip. Training ends
    after `steps`, or when a step changes the log odds of the training rows by no more than `tolerance` (root mean square, as if the
    parties' columns were not correlated). `period`: of the series at first; it is doubled where log odds outgrow it.
    """

    steps: Annotated[int, msgspec.Meta(ge=1, le=200)] = 60
    l2: Annotated[float, msgspec.Meta(ge=0)] = 1e-3
    tolerance: Annotated[float, msgspec.Meta(ge=0)] = 0.025
    clip: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    period: Period = 24


class Ring(msgspec.Struct, frozen=True, kw_only=True):
    """Fraction bits of sines (two of them multiply) and of features."""

    sine_bits: int
    feature_bits: int

    @property
    def gradient_bits(self) -> int:
        """Of a gradient."""
        return 2 * self.sine_bits + self.feature_bits

    @property
    def predictor_bits(self) -> int:
        """Of a linear predictor."""
        return self.feature_bits + COORDINATE_BITS

    @property
    def ridge_bits(self) -> int:
        """Of the ridge's part of a gradient: a ridge is small."""
        return self.predictor_bits + RIDGE_BITS


def ring_for(rows: int) -> Ring:
    """The most precise ring in which a gradient over so many rows stays below a quarter of t. Raises RangeExceeded."""
    room = math.log2(PLAIN_MODULUS / 4) - math.log2(rows * _RESIDUAL_BOUND * COLUMN_BOUND)
    sine_bits = min(_MAX_BITS, math.floor(room / 3) + 1)
    feature_bits = min(_MAX_BITS - 1, math.floor(room) - 2 * sine_bits)
    if min(sine_bits, feature_bits) < _MIN_BITS:
        raise RangeExceeded(f"{rows} rows leave {room:.0f} bits in the ring; train on a sample")
    return Ring(sine_bits=sine_bits, feature_bits=feature_bits)


def check_budget(settings: Settings, rows: int, features: int) -> None:
    """Equations about the residuals that a party may come to know, below a quarter of the rows. Raises BudgetExceeded.

    A party learns its own coefficients and no gradient: an equation a feature. Where a job has one step only they are sums of labels,
    and labels are bits: sums of 13 bits would leave one vector of labels, and lattice reduction finds it where rows are few (measured:
    100 rows, 25 features, a second). So a feature counts as LEAST_STEPS. The active party learns the size of each step besides.
    """
    equations = max(LEAST_STEPS * features, features + settings.steps)
    if 4 * equations > rows:
        raise BudgetExceeded(
            f"{features} features and {settings.steps} steps count as {equations} equations about the residuals of {rows} rows (a "
            f"feature as {LEAST_STEPS}, or as one and each step as one); at most {rows // 4} are allowed: fewer features, or more rows"
        )
