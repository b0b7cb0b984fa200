"""Logistic regression of one party's own columns, in the clear: what a joint model is compared with. No messages.

Newton's method on the mean log loss with the ridge of the joint training (Hastie, Tibshirani, Friedman, 2009, 4.4.1).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from modeling.errors import DataUnusable
from modeling.logistic.own import Columns, Floats
from modeling.logistic.settings import Settings

_MOST_STEPS: Final = 50
_SETTLED: Final = 1e-9
_LEAST_RIDGE: Final = 1e-8


def train_alone(columns: Columns, label: Floats, settings: Settings) -> Floats:
    """Coefficients float64[p], the intercept first where the columns have one.

    `label`: float64[n] of 0 and 1; what stands in rows of weight zero does not matter. Raises DataUnusable for a label of one class.
    """
    counts = columns.weights > 0
    if set(np.unique(label[counts]).tolist()) != {0.0, 1.0}:
        raise DataUnusable("the label is 0 or 1 in every row with a weight, and both occur")
    clipped = np.clip(columns.features[counts], -settings.clip, settings.clip)
    x = np.hstack([np.ones((len(clipped), 1)), clipped]) if columns.intercept else clipped
    ridge = np.full(x.shape[1], max(settings.l2, _LEAST_RIDGE))
    if columns.intercept:
        ridge[0] = 0.0
    y, weights, rows = label[counts], columns.weights[counts], len(label)
    coefficients = np.zeros(x.shape[1])
    loss = _loss(x, y, weights, ridge, coefficients, rows)
    for _ in range(_MOST_STEPS):
        p = 1 / (1 + np.exp(-(x @ coefficients)))
        gradient = x.T @ (weights * (p - y)) / rows + ridge * coefficients
        curvature = (x * (weights * p * (1 - p))[:, None]).T @ x / rows + np.diag(ridge + _LEAST_RIDGE)
        move = np.linalg.solve(curvature, gradient)
        while (found := _loss(x, y, weights, ridge, coefficients - move, rows)) > loss + _SETTLED:
            move = move / 2
        coefficients, loss = coefficients - move, found
        if np.abs(move).max() < _SETTLED:
            break
    return coefficients


def _loss(x: Floats, y: Floats, weights: Floats, ridge: Floats, coefficients: Floats, rows: int) -> float:
    z = x @ coefficients
    return float((weights * (np.logaddexp(0.0, z) - y * z)).sum() / rows + (ridge * coefficients**2).sum() / 2)
