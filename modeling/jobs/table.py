"""A party's columns as the matrix that an algorithm sees.

For logistic regression every column is filled, standardised and clipped by the owner's own statistics over its training rows; for
boosting numbers stay as they are, and a missing value is NaN. A column that has one value only over the training rows, or none, can
explain nothing: it is left out and named to its owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from modeling.jobs.plan import Algorithm
from modeling.preparation.candidates import WoeColumn
from modeling.preparation.columns import (
    Column,
    NumberRule,
    Numbers,
    OneHotRule,
    OrdinalRule,
    Rule,
    absent,
    apply,
    fit,
    names,
    numbers,
    source,
)

Table = Mapping[str, npt.NDArray[Any]]
"""Columns by name, all of the cohort's rows: float64 with NaN, or object of texts with None, where a value is missing."""
Flags = npt.NDArray[np.bool_]
Aggregate = Literal["latest", "mean", "sum", "min", "max"]
"""How several records of a subject become one row: the latest by the item's period, or a function of each number."""

_RAW: Rule = NumberRule(scale=False, clip=None)


class RawNumber(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="raw"):
    """A number as it is; NaN where missing."""

    name: str


Fitted = RawNumber | Column | WoeColumn


class Prepared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a party's columns are made into the matrix: fitted once, kept with its part of the model.

    `left_out`: columns that say nothing. `dropped`: columns that were not chosen, and why; `values`: information values, where columns
    were judged.
    """

    algorithm: Algorithm
    columns: tuple[Fitted, ...]
    left_out: tuple[str, ...] = ()
    dropped: dict[str, str] = {}
    values: dict[str, float] = {}
    version: Literal[1] = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the matrix."""
        return tuple(
            name
            for each in self.columns
            for name in ((each.name,) if isinstance(each, RawNumber | WoeColumn) else names(each))
        )

    def matrix(self, table: Table, present: Flags) -> Numbers:
        """float64[n, len(names)]; a row without a record is zeros (logistic) or NaN (boosting). Raises DataUnusable."""
        parts = [_applied(each, table) for each in self.columns]
        found = np.ascontiguousarray(np.hstack(parts))
        found[~present] = 0.0 if self.algorithm == "logistic" else np.nan
        return found


def fit_columns(algorithm: Algorithm, table: Table, rules: Mapping[str, Rule | None], rows: Flags) -> Prepared:
    """Fit each column over `rows` (bool[n]: training rows with a record). Raises DataUnusable, also if no column is left."""
    if not rows.any():
        raise DataUnusable("no training row has a record; check that the data is of these enterprises")
    columns: list[Fitted] = []
    left_out = []
    for name, rule in rules.items():
        if name not in table:
            raise DataUnusable(f"column {name!r} is not in the data")
        values = table[name]
        if says_nothing(algorithm, values[rows]):
            left_out.append(name)
            continue
        columns.append(_fitted(algorithm, name, values[rows], rule))
    if not columns:
        raise DataUnusable(f"every column is constant or empty over the training rows: {', '.join(left_out)[:300]}")
    return Prepared(algorithm=algorithm, columns=tuple(columns), left_out=tuple(left_out))


def says_nothing(algorithm: Algorithm, values: npt.NDArray[Any]) -> bool:
    """Whether a column is left out. A single value beside missing ones says something, unless these are filled with it."""
    gaps, is_text = absent(values), values.dtype == object
    kinds = len(set(values[~gaps].tolist()))
    return kinds == 0 or (kinds == 1 and (not gaps.any() or (algorithm == "logistic" and not is_text)))


def _fitted(algorithm: Algorithm, name: str, values: npt.NDArray[Any], rule: Rule | None) -> RawNumber | Column:
    is_text = values.dtype == object
    chosen: Rule = rule if rule is not None else OneHotRule() if is_text else NumberRule()
    if algorithm == "logistic":
        return fit(name, values, chosen)
    if isinstance(chosen, NumberRule):
        numbers(name, values)  # its errors
        return RawNumber(name=name)
    if isinstance(chosen, OrdinalRule):
        chosen = msgspec.structs.replace(chosen, number=_RAW)
    return fit(name, values, chosen)


def _applied(column: Fitted, table: Table) -> Numbers:
    name = column.name if isinstance(column, RawNumber | WoeColumn) else source(column)
    if name not in table:
        raise DataUnusable(f"column {name!r} is not in the data")
    if isinstance(column, WoeColumn):
        return column.apply(table[name])[:, None]
    if isinstance(column, RawNumber):
        return numbers(name, table[name])[:, None]
    return apply(column, table[name])
