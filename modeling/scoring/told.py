"""Data to model: what whoever asks is told of a linear model, and what its owner answers with.

An asker is told how its columns become numbers, how a score is read, and how precise it is; no weight. The owner adds the intercept and
what its own columns count for, of which the asker is told nothing.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
import numpy as np

from modeling.errors import ModelingError, ModelInvalid
from modeling.scoring.fixed import FEATURE_BITS, MAX_ERROR
from modeling.scoring.inputs import ASKER, OWN, Preparation
from modeling.scoring.meaning import Meaning
from modeling.scoring.mirrored import Owner
from modeling.scoring.model import LinearModel

_ROUNDING = 1 + 1e-9


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`error`: bound of a score's absolute error, a power of two, for the bound itself would tell how large the weights are.

    `weight_bits`: of the scores' fraction; they tell the largest possible score to a factor of two.
    """

    preparation: Preparation
    meaning: Meaning
    weight_bits: Annotated[int, msgspec.Meta(ge=0, le=62)]
    error: Annotated[float, msgspec.Meta(gt=0, le=1e-3)]
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if self.preparation.member != ASKER or not self.preparation.inputs:
            raise ValueError("an asker is told of the columns that it sends, and of no others")


def owner_of(model: LinearModel) -> Owner:
    """Who answers with the model. Raises DataUnusable if its scores would not be precise, or do not fit."""
    asked, own = model.part_for(ASKER), model.part_for(OWN)
    reserve = abs(model.intercept) + sum(float(np.abs(each.cases @ weights).max()) for each, weights in own.terms)
    return Owner(np.array(asked.weights, np.float64), asked.preparation.bounds, reserve * _ROUNDING)


def told_of(model: LinearModel) -> Told:
    """Raises DataUnusable."""
    owner = owner_of(model)
    error = owner.error + 2.0 ** -(owner.weight_bits + FEATURE_BITS)
    return Told(
        preparation=model.preparation_for(ASKER),
        meaning=model.meaning,
        weight_bits=owner.weight_bits,
        error=min(2.0 ** math.ceil(math.log2(error)), max(error, MAX_ERROR)),
    )


def parse_told(data: str) -> Told:
    """Raises ModelInvalid."""
    try:
        return msgspec.json.decode(data, type=Told)
    except (msgspec.MsgspecError, RecursionError, ModelingError) as error:
        raise ModelInvalid(f"what an asker is told of a model cannot be read: {error}") from None
