"""Our own form, JSON: a LinearModel as docs/scoring.md shows it; a scorecard may say points in place of weights.

In place of `intercept` stands `base_points` then, and a feature has `points`, one for each column; `scale` makes log odds of them.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from modeling.errors import ModelingError, ModelInvalid
from modeling.jobs.plan import MAX_COLUMNS
from modeling.scoring.inputs import Input
from modeling.scoring.meaning import Meaning
from modeling.scoring.model import MAX_MODEL_BYTES, Feature, LinearModel


class _Feature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    input: Input
    weights: tuple[float, ...] | None = None
    points: tuple[float, ...] | None = None
    reasons: tuple[str, ...] = ()
    baseline: float | None = None


class _Model(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    meaning: Meaning = Meaning()
    intercept: float | None = None
    base_points: float | None = None
    features: Annotated[tuple[_Feature, ...], msgspec.Meta(min_length=1, max_length=MAX_COLUMNS)]
    version: Literal[1] = 1


def read_plain(data: bytes) -> LinearModel:
    """Raises ModelInvalid, which names the place."""
    if len(data) > MAX_MODEL_BYTES:
        raise ModelInvalid(f"a model of more than {MAX_MODEL_BYTES >> 20} MB cannot be meant")
    try:
        told = msgspec.json.decode(data, type=_Model)
        features = [_feature(each, told.meaning) for each in told.features]
        plain = {"name": told.name, "meaning": told.meaning, "intercept": _intercept(told), "features": features}
        return msgspec.convert(msgspec.to_builtins(plain), LinearModel)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, ModelingError) as error:
        raise ModelInvalid(f"the model cannot be used: {error}. See docs/scoring.md.") from None


def _intercept(told: _Model) -> float:
    if (told.intercept is None) == (told.base_points is None):
        raise ModelInvalid("a model has either `intercept` or `base_points`")
    if told.base_points is None:
        return told.intercept or 0.0
    if told.meaning.scale is None:
        raise ModelInvalid("points need a `scale` in `meaning`")
    return (told.meaning.scale.offset - told.base_points) / told.meaning.scale.factor


def _feature(told: _Feature, meaning: Meaning) -> Feature:
    if (told.weights is None) == (told.points is None):
        raise ModelInvalid(f"feature {told.input.name!r} has either `weights` or `points`")
    weights = told.weights or ()
    if told.points is not None:
        if meaning.scale is None:
            raise ModelInvalid("points need a `scale` in `meaning`")
        weights = tuple(-each / meaning.scale.factor for each in told.points)
    return Feature(input=told.input, weights=weights, reasons=told.reasons, baseline=told.baseline)
