"""A fitted estimator of scikit-learn: LogisticRegression, alone or behind SimpleImputer and StandardScaler in a Pipeline.

The object is read, not loaded from a file: a pickle of somebody else's is a program. scikit-learn itself is not needed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from modeling.errors import ModelInvalid
from modeling.scoring.importing.found import Found, Slope, assemble
from modeling.scoring.importing.mapping import ModelMapping, label_text
from modeling.scoring.model import LinearModel

SUPPORTED: Final = "LogisticRegression of two classes, alone or in a Pipeline behind SimpleImputer and StandardScaler"
_LAST: Final = frozenset({"LogisticRegression", "LogisticRegressionCV"})


@dataclass(frozen=True, kw_only=True)
class _Column:
    """slope * x + shift of input `place`; or, if `indicator`, of 1 where x is missing and 0 elsewhere."""

    place: int
    slope: float = 1.0
    shift: float = 0.0
    indicator: bool = False


def from_sklearn(estimator: object, mapping: ModelMapping) -> LinearModel:
    """The model of a fitted estimator. Its features are named as in training, or by `columns` of the mapping. Raises ModelInvalid."""
    *steps, last = _steps(estimator)
    if _kind(last) not in _LAST:
        raise ModelInvalid(f"a {_kind(last) or type(last).__name__} is not supported: {SUPPORTED}")
    try:
        return assemble(_found(estimator, steps, last, mapping), mapping)
    except AttributeError as error:
        raise ModelInvalid(f"the estimator is not fitted, or of an unknown version of scikit-learn: {error}") from None


def _steps(estimator: Any) -> list[Any]:  # noqa: ANN401 - scikit-learn's
    if _kind(estimator) != "Pipeline":
        return [estimator]
    return [step for _, each in estimator.steps if each not in (None, "passthrough") for step in _steps(each)]


def _kind(step: object) -> str:
    """The class's name if it is scikit-learn's own, else ""."""
    return type(step).__name__ if type(step).__module__.partition(".")[0] == "sklearn" else ""


def _found(estimator: Any, steps: Sequence[Any], last: Any, mapping: ModelMapping) -> Found:  # noqa: ANN401
    first = steps[0] if steps else last
    names = getattr(estimator, "feature_names_in_", getattr(first, "feature_names_in_", None))
    count = int(first.n_features_in_)
    inputs = mapping.ordered(count) if names is None else tuple(map(str, names))
    columns = [_Column(place=place) for place in range(count)]
    fills: list[float | None] = [None] * count
    for step in steps:
        columns = _through(step, columns, fills)
    sign, weights = _weights(last, mapping)
    if len(weights) != len(columns):
        raise ModelInvalid(f"{len(columns)} columns reach a regression of {len(weights)} coefficients")
    intercept = sign * float(last.intercept_[0])
    terms = {}
    for place, name in enumerate(inputs):
        mine = [(each, sign * weight) for each, weight in zip(columns, weights, strict=True) if each.place == place]
        terms[name] = _slope(next(each for each in mine if not each[0].indicator), fills[place])
        for column, weight in mine:
            if column.indicator:
                intercept += weight * column.shift
                terms[name] = replace(terms[name], indicator=weight * column.slope)
    return Found(intercept=intercept, terms=terms)


def _through(step: Any, columns: list[_Column], fills: list[float | None]) -> list[_Column]:  # noqa: ANN401
    """The columns after a step; what an imputer fills is noted in `fills`, in raw units. Raises ModelInvalid."""
    if _kind(step) == "StandardScaler":
        means = step.mean_ if step.with_mean else np.zeros(len(columns))
        scales = step.scale_ if step.with_std else np.ones(len(columns))
        return [
            replace(each, slope=each.slope / scale, shift=(each.shift - mean) / scale)
            for each, mean, scale in zip(columns, means.tolist(), scales.tolist(), strict=True)
        ]
    if _kind(step) != "SimpleImputer":
        raise ModelInvalid(f"a step of kind {_kind(step) or type(step).__name__} is not supported: {SUPPORTED}")
    if not (isinstance(step.missing_values, float) and np.isnan(step.missing_values)):
        raise ModelInvalid(f"a SimpleImputer of {step.missing_values!r} in place of NaN is not supported")
    for each, value in zip(columns, step.statistics_.tolist(), strict=True):
        if not (isinstance(value, float | int) and math.isfinite(value)):
            raise ModelInvalid("a SimpleImputer of texts, or of a column that was empty in training, is not supported")
        if not each.indicator and fills[each.place] is None:
            fills[each.place] = (value - each.shift) / each.slope
    added = step.indicator_.features_.tolist() if step.add_indicator else []
    return [*columns, *(_Column(place=columns[place].place, indicator=True) for place in added)]


def _weights(last: Any, mapping: ModelMapping) -> tuple[int, list[float]]:  # noqa: ANN401
    """1 or -1, and the coefficients. Raises ModelInvalid."""
    if len(last.classes_) != 2 or np.shape(last.coef_)[0] != 1:
        raise ModelInvalid(f"a regression of {len(last.classes_)} classes is not supported: {SUPPORTED}")
    if getattr(last, "multi_class", None) == "multinomial":
        raise ModelInvalid("multi_class='multinomial' of two classes is another model; fit it without")
    first, second = (label_text(each.item() if isinstance(each, np.generic) else each) for each in last.classes_)
    return mapping.sign((first, second)), np.asarray(last.coef_[0], np.float64).tolist()


def _slope(mine: tuple[_Column, float], fill: float | None) -> Slope:
    column, weight = mine
    if (column.slope, column.shift) == (1.0, 0.0):
        return Slope(weight=weight, fill=fill)
    return Slope(weight=weight, centre=-column.shift / column.slope, spread=1 / column.slope, fill=fill)
