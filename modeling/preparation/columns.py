"""One column: a rule says what to do, fitting it on training rows gives a document, the document is applied to any rows later.

Numbers are float64[n] with NaN for a missing value; categories are object[n] of texts with None for a missing one. Documents are
frozen and travel as JSON (`document`). Every function is pure and looks at its owner's column only. All raise DataUnusable, which
names the column.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable

Numbers = npt.NDArray[np.float64]
Texts = npt.NDArray[np.object_]

LARGEST: Final = 1e150
"""The largest magnitude of a number: its square still fits float64."""
SMALLEST_SPREAD: Final = 1e-150


class NumberRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="number"):
    """Fill what is missing, winsorise, scale.

    `missing`: "median" and "constant" fill; "own" fills with the mean and adds an indicator column. `winsorise`: quantiles (of
    values that are there) beyond which a value is replaced by the quantile's. `clip`: how many standard deviations a scaled value
    may be off the mean.
    """

    missing: Literal["median", "constant", "own"] = "median"
    constant: float = 0.0
    winsorise: tuple[float, float] | None = None
    scale: bool = True
    clip: float | None = 5.0


class OneHotRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="one_hot"):
    """A column of 0 and 1 for each of the most frequent categories, at most `maximum` of them; all others share one more."""

    maximum: int = 20


class OrdinalRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinal"):
    """Categories as their places 0, 1, .. in a given order; from there on as numbers."""

    order: tuple[str, ...]
    number: NumberRule = NumberRule()


Rule = NumberRule | OneHotRule | OrdinalRule


class Number(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="number"):
    """A fitted number. Applied in the order of the fields: limits, fill, (value - centre) / spread, clip."""

    name: str
    low: float | None
    high: float | None
    fill: float
    indicator: bool
    centre: float
    spread: float
    clip: float | None


class OneHot(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="one_hot"):
    """Fitted categories, most frequent first. `missing`: there is a column for missing values."""

    name: str
    categories: tuple[str, ...]
    missing: bool


class Ordinal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ordinal"):
    """An order and the number that places in it are."""

    order: tuple[str, ...]
    number: Number


Column = Number | OneHot | Ordinal


def fit(name: str, values: Any, rule: Rule) -> Column:  # noqa: ANN401 - a column of either kind
    """Fit one column on training rows."""
    if isinstance(rule, NumberRule):
        return _fit_number(name, numbers(name, values), rule)
    if isinstance(rule, OrdinalRule):
        places = _places(name, texts(name, values), rule.order)
        return Ordinal(order=rule.order, number=_fit_number(name, places, rule.number))
    return _fit_one_hot(name, texts(name, values), rule)


def apply(column: Column, values: Any) -> Numbers:  # noqa: ANN401 - a column of either kind
    """The columns that a model sees: float64[n, len(names(column))], every value finite."""
    if isinstance(column, Number):
        return _apply_number(column, numbers(column.name, values))
    if isinstance(column, Ordinal):
        name = column.number.name
        return _apply_number(column.number, _places(name, texts(name, values), column.order))
    return _apply_one_hot(column, texts(column.name, values))


def names(column: Column) -> tuple[str, ...]:
    """What the columns of `apply` are called."""
    if isinstance(column, Ordinal):
        return names(column.number)
    if isinstance(column, Number):
        return (column.name, f"{column.name}=missing") if column.indicator else (column.name,)
    missing = ("missing",) if column.missing else ()
    return tuple(f"{column.name}={each}" for each in (*column.categories, "other", *missing))


def source(column: Column) -> str:
    """The name of the column that it is made of."""
    return column.number.name if isinstance(column, Ordinal) else column.name


def absent(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """bool[n]: which of numbers float64[n] or texts object[n] are missing."""
    if values.dtype == object:
        return np.fromiter((each is None for each in values), np.bool_, len(values))
    return np.asarray(np.isnan(values), np.bool_)


def numbers(name: str, values: Any) -> Numbers:  # noqa: ANN401 - checked here
    """The values as float64[n], NaN where missing. Raises DataUnusable for what is no number, infinite or beyond 1e150."""
    found = np.asarray(values)
    if found.dtype.kind not in "fiub" or found.ndim != 1:
        raise DataUnusable(f"column {name!r} should hold numbers, it is {found.dtype} with {found.ndim} dimensions")
    result = found.astype(np.float64)
    if np.isinf(result).any():
        raise DataUnusable(f"column {name!r} has infinite values, the first in row {int(np.isinf(result).argmax())}")
    if (np.abs(result) > LARGEST).any():
        raise DataUnusable(f"column {name!r} has values beyond {LARGEST:g}; give it in another unit")
    return result


def texts(name: str, values: Any) -> Texts:  # noqa: ANN401 - checked here
    """The values as object[n], None where missing (NaN counts as missing). Raises DataUnusable for anything but texts."""
    found = np.asarray(values, dtype=object)
    if found.ndim != 1:
        raise DataUnusable(f"column {name!r} should have one dimension, it has {found.ndim}")
    result = np.array([None if _is_nan(each) else each for each in found] + [None], dtype=object)[:-1]
    for row, each in enumerate(result):
        if each is not None and not isinstance(each, str):
            raise DataUnusable(f"column {name!r} should hold texts, row {row} holds {type(each).__name__}")
    return result


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and value != value  # noqa: PLR0124 - the definition of NaN


def _fit_number(name: str, values: Numbers, rule: NumberRule) -> Number:
    there = values[~np.isnan(values)]
    if not len(there):
        raise DataUnusable(f"column {name!r} has no values at all")
    low, high = _limits(name, there, rule)
    held = np.clip(there, low, high)
    fills = {"median": float(np.median(held)), "constant": rule.constant, "own": float(held.mean())}
    fill = fills[rule.missing]
    filled = np.where(np.isnan(values), fill, np.clip(values, low, high))
    if not abs(fill) <= LARGEST:
        raise DataUnusable(f"column {name!r}: fill missing values with a number")
    if filled.min() == filled.max():
        raise DataUnusable(
            f"column {name!r} has one value only (after filling and winsorising): it can explain nothing"
        )
    centre, spread = (float(filled.mean()), float(filled.std())) if rule.scale else (0.0, 1.0)
    if not spread > SMALLEST_SPREAD:
        raise DataUnusable(f"column {name!r} has values too close to one another to scale in float64")
    if rule.clip is not None and not rule.clip > 0:
        raise DataUnusable(f"column {name!r}: clip at a positive number of standard deviations")
    return Number(
        name=name,
        low=low,
        high=high,
        fill=fill,
        indicator=rule.missing == "own",
        centre=centre,
        spread=spread,
        clip=rule.clip if rule.scale else None,
    )


def _limits(name: str, there: Numbers, rule: NumberRule) -> tuple[float | None, float | None]:
    if rule.winsorise is None:
        return None, None
    first, last = rule.winsorise
    if not 0 <= first < last <= 1:
        raise DataUnusable(f"column {name!r}: winsorise between two quantiles, lower one first")
    low, high = np.quantile(there, [first, last])
    return float(low), float(high)


def _apply_number(column: Number, values: Numbers) -> Numbers:
    absent = np.isnan(values)
    held = np.where(absent, column.fill, np.clip(values, column.low, column.high))
    scaled = (held - column.centre) / column.spread
    if column.clip is not None:
        scaled = np.clip(scaled, -column.clip, column.clip)
    return np.column_stack([scaled, absent.astype(np.float64)] if column.indicator else [scaled])


def _fit_one_hot(name: str, values: Texts, rule: OneHotRule) -> OneHot:
    counts = Counter(each for each in values if each is not None)
    if rule.maximum < 1:
        raise DataUnusable(f"column {name!r}: keep at least one category")
    if not counts:
        raise DataUnusable(f"column {name!r} has no values at all")
    missing = len(values) > counts.total()
    if len(counts) == 1 and not missing:
        raise DataUnusable(f"column {name!r} has one value only: it can explain nothing")
    ranked = sorted(counts, key=lambda each: (-counts[each], each))
    return OneHot(name=name, categories=tuple(ranked[: rule.maximum]), missing=missing)


def _apply_one_hot(column: OneHot, values: Texts) -> Numbers:
    """A missing value where fitting saw none is one of the others, as an unseen category is."""
    place: dict[str | None, int] = {each: at for at, each in enumerate(column.categories)}
    other = len(place)
    if column.missing:
        place[None] = other + 1
    result = np.zeros((len(values), other + 1 + column.missing))
    result[np.arange(len(values)), [place.get(each, other) for each in values]] = 1.0
    return result


def _places(name: str, values: Texts, order: tuple[str, ...]) -> Numbers:
    place: dict[str | None, float] = {each: float(at) for at, each in enumerate(order)}
    if len(place) != len(order) or len(order) < 2:
        raise DataUnusable(f"column {name!r}: an order has at least two categories, each once")
    place[None] = np.nan
    for row, each in enumerate(values):
        if each not in place:
            raise DataUnusable(f"column {name!r} holds a category in row {row} that its order does not name")
    return np.array([place[each] for each in values], np.float64)
