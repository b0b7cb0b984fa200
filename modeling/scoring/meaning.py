"""What a score means: probability, points and band. Said in a model's document; whoever opens the score reads it so.

Points are offset - factor * z, rounded once (`modeling.scorecard.Scale`): more points are better odds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.gbdt.trees import sigmoid
from modeling.preparation.columns import Numbers
from modeling.scorecard import Scale

Points = npt.NDArray[np.int64]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Bands(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Names of ranges of points, or of probabilities: from one edge up to the next, a range has its lower edge."""

    by: Literal["points", "probability"]
    names: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1, max_length=50)]
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if len(self.names) != len(self.edges) + 1:
            raise ValueError(f"{len(self.edges)} edges divide into {len(self.edges) + 1} bands, not {len(self.names)}")
        if not np.isfinite(self.edges).all() or not (np.diff(self.edges) > 0).all():
            raise ValueError("edges of bands are finite and ascend")

    def of(self, values: npt.NDArray[np.generic]) -> tuple[str, ...]:
        """The band of each value."""
        return tuple(self.names[place] for place in np.searchsorted(self.edges, values, side="right"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """Of n rows. `probability`, `points`, `bands`: None where the model has none. `reasons`: of each row, the worst first."""

    score: Numbers
    probability: Numbers | None
    points: Points | None
    bands: tuple[str, ...] | None
    reasons: tuple[tuple[str, ...], ...]


class Meaning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a score is read. `link`: "logit" where it is the log odds of the event (label 1, default). `scale`: None: no points."""

    link: Literal["logit", "identity"] = "logit"
    scale: Scale | None = None
    bands: Bands | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.link == "identity" and (self.scale is not None or self.bands is not None):
            raise ValueError("a score that is no log odds has neither points nor bands")
        if self.bands is not None and self.bands.by == "points" and self.scale is None:
            raise ValueError("bands by points need a scale")

    def read(self, score: Numbers) -> Outcome:
        """Of scores float64[n]; without reasons, which need the model."""
        probability = sigmoid(score) if self.link == "logit" else None
        points = None if self.scale is None else _points(self.scale, score)
        values = points if self.bands is not None and self.bands.by == "points" else probability
        bands = None if self.bands is None or values is None else self.bands.of(values)
        return Outcome(score=score, probability=probability, points=points, bands=bands, reasons=((),) * len(score))


def _points(scale: Scale, score: Numbers) -> Points:
    found: Points = np.rint(scale.offset - scale.factor * score).astype(np.int64)
    return found
