"""The sigmoid as a sine series, so that its period can be the modulus of the shares.

    sigmoid(z) = 1/2 + sum_k b_k sin(2 pi k z / L)   for |z| <= R < L/2, b by least squares

With z = u + v (mod L), sin(a + b) = sin a cos b + cos a sin b is a sum of products of what one side knows and what the other knows.
The error is at most 0.006 for L=24, K=6, R=9 and 0.001 for L=32, K=10, R=12. Source of the idea: Squirrel (USENIX Security 2023).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from modeling.logistic.settings import PREDICTOR_BITS, Settings

Matrix = npt.NDArray[np.float64]
Share = npt.NDArray[np.int64]

_GRID = 4001
_RIDGE = 1e-6


def coefficients(settings: Settings) -> npt.NDArray[np.float64]:
    """b_1 … b_K."""
    return np.array(_fitted(settings.period, settings.terms, settings.reach))


@cache
def _fitted(period: int, terms: int, reach: float) -> tuple[float, ...]:
    z = np.linspace(-reach, reach, _GRID)
    sines = np.sin(2 * np.pi * np.outer(z, np.arange(1, terms + 1)) / period)
    target = 1 / (1 + np.exp(-z)) - 0.5
    solved = np.linalg.solve(sines.T @ sines + _RIDGE * _GRID * np.eye(terms), sines.T @ target)
    return tuple(map(float, solved))


def approximate(z: npt.NDArray[np.float64], settings: Settings) -> npt.NDArray[np.float64]:
    """The series in the clear, as the parties compute it together."""
    angles = 2 * np.pi * np.outer(z, np.arange(1, settings.terms + 1)) / settings.period
    found: npt.NDArray[np.float64] = 0.5 + np.sin(angles) @ coefficients(settings)
    return found


def waves(share: Share, settings: Settings) -> tuple[Matrix, Matrix]:
    """Sines and cosines, float64[n, K] each, of a share of the predictor (fixed point, modulo the period)."""
    modulus = settings.period << PREDICTOR_BITS
    base = np.exp(2j * np.pi * (np.mod(share, modulus) / modulus))
    powers = np.cumprod(np.repeat(base[:, None], settings.terms, axis=1), axis=1)
    return powers.imag, powers.real
