"""All of a party's columns: fitted once on training rows, kept as JSON, applied to any rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from modeling.errors import DataUnusable
from modeling.preparation.columns import (
    SMALLEST_SPREAD,
    Column,
    Number,
    Numbers,
    Ordinal,
    Rule,
    apply,
    fit,
    names,
    source,
)


class Preparation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was fitted, column by column, in the order in which the model sees them."""

    columns: tuple[Column, ...]
    version: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of the matrix that `prepare` returns."""
        return tuple(name for column in self.columns for name in names(column))


def fit_preparation(table: Mapping[str, Any], rules: Mapping[str, Rule]) -> Preparation:
    """Fit a rule for each column, in the order of the rules. Raises DataUnusable."""
    if not rules:
        raise DataUnusable("name at least one column to prepare")
    return Preparation(columns=tuple(fit(name, _column(table, name), rule) for name, rule in rules.items()))


def prepare(preparation: Preparation, table: Mapping[str, Any]) -> Numbers:
    """The matrix that a model sees: float64[n, len(preparation.names)], in C order. Raises DataUnusable."""
    parts = [apply(column, _column(table, source(column))) for column in preparation.columns]
    if len({len(part) for part in parts}) != 1:
        raise DataUnusable("the columns have different numbers of rows")
    return np.ascontiguousarray(np.hstack(parts))


def to_json(preparation: Preparation) -> bytes:
    """The document, readable and exact: floats come back as the same bits."""
    return msgspec.json.encode(preparation)


def from_json(data: bytes) -> Preparation:
    """Read what `to_json` writes. Raises DataUnusable."""
    try:
        found = msgspec.json.decode(data, type=Preparation)
    except msgspec.DecodeError as error:
        raise DataUnusable(f"the preparation cannot be read: {error}") from None
    if found.version != 1:
        raise DataUnusable(f"the preparation is of version {found.version}; this software reads version 1")
    for column in found.columns:
        number = column.number if isinstance(column, Ordinal) else column
        if isinstance(number, Number) and not number.spread > SMALLEST_SPREAD:
            raise DataUnusable(f"column {number.name!r} of the preparation has no positive spread")
    return found


def _column(table: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - a column of either kind
    if name not in table:
        raise DataUnusable(f"column {name!r} is not in the data")
    return table[name]
