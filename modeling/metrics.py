"""How good a score is: AUC, KS, Brier, log loss, and the stability index. Scores and labels are float64[n] and {0, 1}[n]."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable

Vector = npt.NDArray[Any]


def auc(label: Vector, score: Vector) -> float:
    """Area under the ROC curve (Mann-Whitney, ties count half). Raises DataUnusable unless both classes are there."""
    positives = _positives(label)
    negatives = len(label) - positives
    values, place = np.unique(score, return_inverse=True)
    counts = np.bincount(place, minlength=len(values))
    ranks = np.cumsum(counts) - (counts - 1) / 2  # the mean rank of each value, from 1
    total = float(ranks[place][label == 1].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def ks(label: Vector, score: Vector) -> float:
    """Kolmogorov-Smirnov distance of the scores of both classes. Raises DataUnusable unless both classes are there."""
    positives = _positives(label)
    order = np.argsort(score, kind="stable")
    ranked, ordered = score[order], label[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    bad, good = np.cumsum(ordered)[ends], np.cumsum(1 - ordered)[ends]
    return float(np.abs(bad / positives - good / (len(label) - positives)).max())


def brier(label: Vector, probability: Vector) -> float:
    """Mean squared error of probabilities."""
    return float(np.mean((probability - label) ** 2))


def log_loss(label: Vector, probability: Vector) -> float:
    """Mean negative log likelihood, probabilities clipped to [1e-15, 1 - 1e-15]."""
    clipped = np.clip(probability, 1e-15, 1 - 1e-15)
    return float(-np.mean(label * np.log(clipped) + (1 - label) * np.log(1 - clipped)))


def stability_index(expected: Vector, actual: Vector) -> float:
    """PSI of two histograms over the same bins (counts). A bin that is empty on one side counts half a row there."""
    return float(stability_parts(expected, actual).sum())


def stability_parts(expected: Vector, actual: Vector) -> Vector:
    """What each bin adds to the stability index, float64[bins], none below 0. Raises DataUnusable."""
    if expected.shape != actual.shape or expected.sum() <= 0 or actual.sum() <= 0:
        raise DataUnusable("the stability index compares two histograms over the same bins, each with rows in it")
    e = np.maximum(expected, 0.5) / expected.sum()
    a = np.maximum(actual, 0.5) / actual.sum()
    parts: Vector = (a - e) * np.log(a / e)
    return parts


def _positives(label: Vector) -> int:
    positives = int(np.sum(label == 1))
    if positives + int(np.sum(label == 0)) != len(label):
        raise DataUnusable("a label is 0 or 1")
    if positives in {0, len(label)}:
        raise DataUnusable("a label needs rows of both classes")
    return positives
