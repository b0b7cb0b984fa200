"""Why a score is what it is, at the model's owner: the own features that cost most, against the best that each could give.

What other members' columns cost is known as one total only, for only the sum opens: it has a code of its own. Source: Siddiqi,
Intelligent Credit Scoring (2017), chapter 10.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from modeling.errors import DataUnusable
from modeling.jobs.table import Flags, Table
from modeling.preparation.columns import Number, Numbers, Ordinal
from modeling.scorecard import MAX_REASONS
from modeling.scoring.inputs import OWN, Preparation
from modeling.scoring.meaning import Outcome
from modeling.scoring.model import Feature, LinearModel

OTHERS: Final = "other-members"
"""The reason code of what several members' columns cost together; of a single member, its name."""
GOOD: Final = 2.0
"""A number this many spreads to the good side of its centre costs nothing: what is better yet is too rare to be held against others."""
LEAST_COST: Final = 1e-3
"""In log odds, some hundredths of a point: what costs less is no reason, and may be a score's rounding."""


def outcome(model: LinearModel, score: Numbers, own: Table, present: Flags, *, reasons: int = MAX_REASONS) -> Outcome:
    """Of the opened scores float64[n]; `own`: the owner's raw columns of the same rows. Raises DataUnusable."""
    if score.shape != present.shape or not np.isfinite(score).all():
        raise DataUnusable(f"{len(present)} rows of own columns came with {score.shape} scores; all should be finite")
    return replace(model.meaning.read(score), reasons=_reasons(model, score, own, present, reasons))


def _reasons(model: LinearModel, score: Numbers, own: Table, present: Flags, count: int) -> tuple[tuple[str, ...], ...]:
    mine = [each for each in model.features if each.input.member == OWN]
    theirs = [each for each in model.features if each.input.member != OWN]
    codes: list[tuple[str, ...]] = []
    cost = np.zeros((len(score), len(mine) + bool(theirs)))
    rest = score - model.intercept
    for at, feature in enumerate(mine):
        columns = Preparation(member=OWN, inputs=(feature.input,)).apply(own, present)
        effect = columns @ np.array(feature.weights)
        rest = rest - effect
        cost[:, at] = effect - _least(feature)
        codes.append(_codes(feature, columns))
    if theirs:
        cost[:, -1] = rest - sum(map(_least, theirs))
        codes.append((model.members[0] if len(model.members) == 1 else OTHERS,) * len(score))
    order = np.argsort(-cost, axis=1, kind="stable")
    return tuple(
        tuple(dict.fromkeys(codes[at][row] for at in places if cost[row, at] > LEAST_COST))[:count]
        for row, places in enumerate(order)
    )


def _least(feature: Feature) -> float:
    """What a feature adds where it costs nothing."""
    if feature.baseline is not None:
        return feature.baseline
    cases = feature.input.cases
    if isinstance(feature.input.column, Number | Ordinal):
        cases[:, 0] = np.clip(cases[:, 0], -GOOD, GOOD)
    return float((cases @ np.array(feature.weights)).min())


def _codes(feature: Feature, columns: Numbers) -> tuple[str, ...]:
    """The code of each row: that of the column which counts there, where each has its own."""
    if len(feature.reasons) < 2:
        return (feature.reasons[0] if feature.reasons else feature.input.name,) * len(columns)
    return tuple(feature.reasons[place] for place in columns.argmax(axis=1))
