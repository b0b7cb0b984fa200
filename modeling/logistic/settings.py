"""What a training is told, and what follows from it for the fixed-point ring.

Every party computes with integers modulo t (`modeling.bfv`). A sum of products of a sine, another sine and a feature must not wrap
around, whatever the data: the bits of each follow from rows and clipping bound before anything is sent, or RangeExceeded where too few
are left, RangeExceeded.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

import msgspec

from modeling.bfv import PLAIN_MODULUS
from modeling.errors import BudgetExceeded, RangeExceeded

PREDICTOR_BITS: Final = 20
"""Fraction bits of the linear predictor's shares."""
_RESIDUAL_BOUND: Final = 1.25
"""|sigmoid - label| with the error of the series, at weight one."""
_MAX_BITS: Final = 13
_MIN_BITS: Final = 6

_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Share = Annotated[float, msgspec.Meta(ge=0, lt=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training, the same at all parties.

    `period`, `terms`, `reach`: of the sine series that stands for the sigmoid. `l2`: ridge per row, on all coefficients but the
    intercept. `clip`: features are standardised and clipped to +-clip. `momentum`, `rate`: of the preconditioned step (heavy ball;
    stable for any data while rate < 1 + momentum). Training ends after `steps`, or when no party's step moves a coefficient by more
    than `tolerance`.
    """

    steps: Annotated[int, msgspec.Meta(ge=1, le=200)] = 20
    l2: Annotated[float, msgspec.Meta(ge=0)] = 1e-3
    rate: _Positive = 1.2
    momentum: _Share = 0.3
    tolerance: Annotated[float, msgspec.Meta(ge=0)] = 0.01
    clip: _Positive = 5.0
    period: Annotated[int, msgspec.Meta(ge=8, le=128)] = 24
    terms: Annotated[int, msgspec.Meta(ge=2, le=24)] = 6
    reach: _Positive = 9.0


class Ring(msgspec.Struct, frozen=True, kw_only=True):
    """Fraction bits of sines (two of them multiply) and of features."""

    sine_bits: int
    feature_bits: int

    @property
    def gradient_scale(self) -> float:
        """What an integer gradient is divided by."""
        return float(1 << (2 * self.sine_bits + self.feature_bits))


def ring_for(settings: Settings, rows: int) -> Ring:
    """The most precise ring in which a gradient over so many rows cannot wrap around. Raises RangeExceeded."""
    room = math.log2(PLAIN_MODULUS / 2) - math.log2(rows * _RESIDUAL_BOUND * settings.clip)
    sine_bits = min(_MAX_BITS, math.floor(room / 3) + 1)
    feature_bits = min(_MAX_BITS - 1, math.floor(room) - 2 * sine_bits)
    if min(sine_bits, feature_bits) < _MIN_BITS:
        raise RangeExceeded(
            f"{rows} rows clipped at {settings.clip} leave {room:.0f} bits in the ring; train on a sample, or clip lower"
        )
    return Ring(sine_bits=sine_bits, feature_bits=feature_bits)


def check_budget(settings: Settings, rows: int, features: int) -> None:
    """A party sees its own gradient in each step: an equation a feature about the residuals. Raises BudgetExceeded.

    Below a quarter of the rows the equations leave the residuals undetermined (protocols.md 5).
    """
    equations = settings.steps * features
    if 4 * equations > rows:
        raise BudgetExceeded(
            f"{settings.steps} steps over {features} features are {equations} equations about the residuals of {rows} rows; at most "
            f"{rows // 4} are allowed: fewer steps, fewer features, or more rows"
        )
