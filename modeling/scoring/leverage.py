"""How much a member's columns could be recovered from scores: what the owner of models attests and an auditor recomputes.

A score is a linear query. Given all scores of one owner's models over a member's features, the best linear estimate of a feature's
effect leaves sqrt(1 - h) of its standard deviation, where h is the feature's leverage (the diagonal of the projection on the models'
row space; Hoaglin and Welsch, The American Statistician 32, 1978), features taken as uncorrelated.
"""

from __future__ import annotations

from collections.abc import Sequence

from modeling.jobs.table import Flags, Table
from modeling.scoring.inputs import Preparation
from modeling.scoring.model import Part


def leverages(parts: Sequence[Part]) -> dict[str, float]:
    """The leverage, 0 .. 1, of each raw column that these parts (of one member, of one owner's models) depend on."""
    raise NotImplementedError


def leverage(parts: Sequence[Part]) -> float:
    """The largest of `leverages`; 0 where nothing depends on the member. Raises ModelInvalid for parts of several members."""
    return max(leverages(parts).values(), default=0.0)


def misdeclared(preparation: Preparation, table: Table, present: Flags) -> tuple[str, ...]:
    """Names of raw columns whose values are spread otherwise here than the preparation declares, so that a leverage says nothing.

    For the member that has the data, over a batch of at least some hundred rows.
    """
    raise NotImplementedError
