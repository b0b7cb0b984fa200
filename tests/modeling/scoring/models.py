"""A small model with columns of a bank and of two members, and rows to score."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from modeling.preparation.binning import CategoryBins, NumberBins
from modeling.preparation.columns import Number, OneHot, Ordinal
from modeling.scorecard import Scale
from modeling.scoring.inputs import OWN, Binned, Input
from modeling.scoring.meaning import Bands, Meaning
from modeling.scoring.model import Feature, LinearModel, Part

SCALE = Scale(base_score=600, base_odds=50, pdo=20)


def number(name: str, member: str = OWN, **changes: Any) -> Input:
    """A standardised number."""
    plain = {"low": None, "high": None, "fill": 0.0, "indicator": False, "centre": 0.0, "spread": 1.0, "clip": 10.0}
    return Input(member=member, column=Number(name=name, **{**plain, **changes}))


def part(weights: dict[str, float], **changes: Any) -> Part:
    """A part of numbers of one member."""
    features = tuple(
        Feature(input=number(f"item.{name}", "tax", **changes), weights=(each,)) for name, each in weights.items()
    )
    return LinearModel(name="m", intercept=0.0, features=features).part_for("tax")


def model() -> LinearModel:
    """Two own columns, three of the tax bureau, one of a payment service."""
    features = (
        Feature(input=number("income", fill=-1.0, indicator=True), weights=(-0.5, 0.25), reasons=("R1",)),
        Feature(
            input=Input(column=OneHot(name="sector", categories=("trade", "build"), missing=False)),
            weights=(0.0, 0.5, 0.1),
            reasons=("trade", "build", "other sector"),
        ),
        Feature(
            input=Input(member="tax", column=Binned(bins=NumberBins(name="arrears.amount", edges=(0.0, 1000.0)))),
            weights=(0.3, -0.4, 0.2, 0.9),
        ),
        Feature(
            input=Input(
                member="tax",
                column=Ordinal(
                    order=("A", "B", "C"),
                    number=Number(
                        name="rating.grade",
                        low=None,
                        high=None,
                        fill=1.0,
                        indicator=False,
                        centre=1.0,
                        spread=0.8,
                        clip=None,
                    ),
                ),
            ),
            weights=(0.35,),
        ),
        Feature(
            input=Input(member="tax", column=Binned(bins=CategoryBins(name="rating.region", categories=("n", "s")))),
            weights=(0.0, 0.1, -0.1, 0.05),
        ),
        Feature(input=number("flows.turnover", "pay", centre=100.0, spread=50.0, fill=100.0), weights=(-0.6,)),
    )
    meaning = Meaning(scale=SCALE, bands=Bands(by="points", names=("C", "B", "A"), edges=(480.0, 500.0)))
    return LinearModel(name="sme", meaning=meaning, intercept=-1.5, features=features)


def texts(*values: str | None) -> npt.NDArray[np.object_]:
    return np.array([*values, None], dtype=object)[:-1]


def tables() -> dict[str, dict[str, npt.NDArray[Any]]]:
    """Four rows."""
    return {
        OWN: {"income": np.array([1.0, np.nan, -2.0, 0.0]), "sector": texts("trade", "build", None, "fish")},
        "tax": {
            "arrears.amount": np.array([0.0, 1000.0, 1000.5, np.nan]),
            "rating.grade": texts("A", "C", None, "B"),
            "rating.region": texts("n", None, "w", "s"),
        },
        "pay": {"flows.turnover": np.array([100.0, 150.0, 5000.0, np.nan])},
    }


BY_HAND = (
    -1.5 + (-0.5 * 1.0) + 0.0 + (-0.4 + 0.35 * -1 / 0.8 + 0.1) + 0.0,
    -1.5 + (-0.5 * -1.0 + 0.25) + 0.5 + (0.2 + 0.35 * 1 / 0.8 + 0.0) - 0.6,
    -1.5 + (-0.5 * -2.0) + 0.1 + (0.9 + 0.0 + 0.05) - 0.6 * 10,
    -1.5 + 0.0 + 0.1 + (0.3 + 0.0 - 0.1) + 0.0,
)
"""The scores of the rows, worked out from the weights above."""


def present(rows: int = 4) -> dict[str, npt.NDArray[np.bool_]]:
    return {member: np.ones(rows, np.bool_) for member in (OWN, "tax", "pay")}
