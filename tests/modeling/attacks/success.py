"""What an attack achieves, and what guessing would."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import NormalDist
from typing import Any

import numpy as np

from modeling.metrics import auc


def leak_auc(label: Any, score: Any) -> float:
    """How well a number for each row ranks the labels, whichever way round (Li et al., ICLR 2022: the leak AUC). 0.5 is guessing."""
    found = auc(label, np.asarray(score, np.float64))
    return max(found, 1 - found)


def best_leak(label: Any, scores: Iterable[Any]) -> float:
    """Of each score and of its size (the norm attack): the best, chosen by the labels themselves, so an upper bound."""
    return max((leak_auc(label, tried) for score in scores for tried in (score, np.abs(score))), default=0.5)


def guessing(label: Any) -> float:
    """A leak AUC that the best of some thousand guesses does not reach: six standard deviations (Hanley, McNeil 1982)."""
    positives, rows = label.sum(), len(label)
    return float(0.5 + 6 * np.sqrt((rows + 1) / (12 * positives * (rows - positives))))


def leak_of_projection(equations: int, rows: int) -> float:
    """The expected leak AUC of the least solution of so many random equations about so many independent labels.

    The solution of a row is its label by rho = equations / rows plus noise of variance rho (1 - rho), in units of the label's.
    """
    rho = equations / rows
    return NormalDist().cdf(float(np.sqrt(2 * rho / (1 - rho))))


def explained(truth: Any, found: Any) -> Any:
    """float64[p]: R squared of each feature; 1 is exact, 0 or less is no better than the mean."""
    return 1 - ((truth - found) ** 2).mean(axis=0) / truth.var(axis=0)


def fitted(seen: Any, features: Any, known: int) -> Any:
    """Features of the rows after the first `known`, from what is seen of each row, by least squares on the known rows."""
    inputs = np.hstack([np.ones((len(seen), 1)), seen])
    solution, *_ = np.linalg.lstsq(inputs[:known], features[:known], rcond=None)
    return inputs[known:] @ solution
