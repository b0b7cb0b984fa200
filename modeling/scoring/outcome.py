"""What a score means, at the model's owner: probability, points, band, reason codes.

Points are offset - factor * z, rounded once (`modeling.scorecard.Scale`). Reason codes name the own features that cost most points;
what other members' columns cost is known as one total only, for only the sum opens: it has a code of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from modeling.jobs.table import Flags, Table
from modeling.preparation.columns import Numbers
from modeling.scorecard import MAX_REASONS
from modeling.scoring.model import LinearModel

OTHERS: Final = "other-members"
"""The reason code of what several members' columns cost together; of a single member, its name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Of n rows. `probability`, `points`, `bands`: None where the model has none. `reasons`: the worst first."""

    score: Numbers
    probability: Numbers | None
    points: npt.NDArray[np.int64] | None
    bands: tuple[str, ...] | None
    reasons: tuple[tuple[str, ...], ...]


def outcome(model: LinearModel, score: Numbers, own: Table, present: Flags, *, reasons: int = MAX_REASONS) -> Outcome:
    """Of the opened scores float64[n]; `own`: the owner's raw columns of the same rows. Raises DataUnusable."""
    raise NotImplementedError
