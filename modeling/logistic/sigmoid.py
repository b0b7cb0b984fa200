"""The sigmoid as a sine series, so that its period can be the modulus of the shares.

    sigmoid(z) = 1/2 + sum_k b_k sin(2 pi k z / L)   for |z| <= R < L/2, b by least squares

With z = u + v (mod L), sin(a + b) = sin a cos b + cos a sin b is a sum of products of what one side knows and what the other knows.
Beyond R the series falls, and beyond L/2 it stands for the other class: rows there push the wrong way, steps grow, and the training
goes back and takes the next period (`descent`). Source of the idea: Squirrel (USENIX Security 2023).
"""

from __future__ import annotations

from functools import cache
from typing import Final, get_args

import numpy as np
import numpy.typing as npt

from modeling.logistic.settings import Period, Ring

Matrix = npt.NDArray[np.float64]
Share = npt.NDArray[np.int64]

TERMS: Final[dict[int, int]] = {24: 6, 48: 14, 96: 28}
"""K for each period. The error is at most 0.006, 0.0012, 0.0016."""
_REACH: Final[dict[int, float]] = {24: 9.0, 48: 18.0, 96: 36.0}
_GRID: Final = 4001
_RIDGE: Final = 1e-6


def wider(period: Period) -> Period | None:
    """The next period; None after the last."""
    every: tuple[Period, ...] = get_args(Period)
    return next((each for each in every if each > period), None)


@cache
def _fitted(period: int) -> tuple[float, ...]:
    reach, terms = _REACH[period], TERMS[period]
    z = np.linspace(-reach, reach, _GRID)
    sines = np.sin(2 * np.pi * np.outer(z, np.arange(1, terms + 1)) / period)
    target = 1 / (1 + np.exp(-z)) - 0.5
    solved = np.linalg.solve(sines.T @ sines + _RIDGE * _GRID * np.eye(terms), sines.T @ target)
    return tuple(map(float, solved))


def coefficients(period: Period) -> npt.NDArray[np.float64]:
    """b_1 … b_K."""
    return np.array(_fitted(period))


def approximate(z: npt.NDArray[np.float64], period: Period) -> npt.NDArray[np.float64]:
    """The series in the clear, as the parties compute it together."""
    angles = 2 * np.pi * np.outer(z, np.arange(1, TERMS[period] + 1)) / period
    found: npt.NDArray[np.float64] = 0.5 + np.sin(angles) @ coefficients(period)
    return found


def waves(share: Share, ring: Ring, period: Period) -> tuple[Matrix, Matrix]:
    """Sines and cosines, float64[n, K] each, of a share of the predictor, int64[n] in [0, t).

    t is 1 modulo the period in fixed point (`bfv`): shares that add up modulo t add up modulo the period but for 2^-28 at most.
    """
    modulus = period << ring.predictor_bits
    base = np.exp(2j * np.pi * (np.mod(share, modulus) / modulus))
    powers = np.cumprod(np.repeat(base[:, None], TERMS[period], axis=1), axis=1)
    return powers.imag, powers.real
