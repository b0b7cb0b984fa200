"""Fixed point of scores: a weight and a feature become integers, and a score is their inner product, exactly.

A column is taken in units of its declared bound, so |x| <= 1, with `feature_bits` fraction bits, the same for every model: they say
nothing of it. A weight takes the bound's unit back, and what room the modulus leaves: `weight_bits`, which stay with the owner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MAX_ERROR: Final = 1e-4
"""Absolute error of a score (log odds) that a model may have."""


@dataclass(frozen=True, kw_only=True)
class Scales:
    """Of one model: fraction bits of its weights and features, and the proved bound of a score's absolute error."""

    weight_bits: int
    feature_bits: int
    error: float


def scales_for(weights: Floats, bounds: Floats) -> Scales:
    """Scales of a model. `weights`, `bounds`: float64[p] over the features of all providers; |feature| <= bound, declared.

    Raises DataUnusable if a value is not finite, a bound not positive, or a score could be off by more than 1e-4; it says what to do.
    """
    raise NotImplementedError
