"""A party's own columns as bins, and the ways in which they can part rows. No messages.

A value's code is 1 + the number of edges that are not above it; a missing value (NaN) has code 0, its own bin. A
candidate (feature, upto, missing_left) sends codes 1 … upto to the left, and missing values to the side that it names:
the default direction is learned.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.additive import MAX_BUCKETS, MAX_COLUMNS
from modeling.errors import DataUnusable
from modeling.gbdt import sketch

_GROUP_ROWS: Final = 8192
"""Looked at to group columns; passives sum about so many rows at a time."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Split(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Left goes what is below `below` (None: every value), and what is missing if `missing_left`."""

    feature: int
    below: float | None
    missing_left: bool

    def left(self, features: Floats) -> Flags:
        """bool[n] for features float64[n, p]."""
        values = features[:, self.feature]
        known = np.full(len(values), True) if self.below is None else values < self.below
        return np.where(np.isnan(values), self.missing_left, known)


@dataclass(frozen=True, kw_only=True, eq=False)
class Binned:
    """Codes int8[n, f], edges of each feature (ascending), and all candidates: feature, upto, missing_left, each of length m."""

    codes: npt.NDArray[np.int8]
    edges: tuple[Floats, ...]
    feature: Ints
    upto: Ints
    missing_left: Flags

    @functools.cached_property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """Columns that are summed together, because few combinations of their codes occur; who sums none does not look for them."""
        return _groups(self.codes)

    @property
    def width(self) -> int:
        """One more than the largest code."""
        return max(map(len, self.edges), default=0) + 2

    def left_sums(self, rows: Ints, values: Floats) -> Floats:
        """float64[m]: sums of values[rows] on the left of each candidate; exact for integers below 2^53."""
        count = self.codes.shape[1]
        places = self.codes[rows] + np.arange(count) * self.width
        sums = np.bincount(places.ravel(), np.repeat(values[rows], count), count * self.width)
        cumulated = sums.reshape(count, self.width).cumsum(axis=1)
        missing = np.where(self.missing_left, 0.0, cumulated[self.feature, 0])
        return cumulated[self.feature, self.upto] - missing

    def split(self, candidate: int, rows: Ints) -> tuple[Split, Flags]:
        """A candidate's meaning, and which of the rows of its node it sends to the left: bool[len(rows)].

        Among thresholds that part these rows alike, the lowest is taken; where none of them misses the value, later ones
        that do go with the larger side. So what is recorded depends on the rows, and not on the order of candidates.
        """
        feature, upto = int(self.feature[candidate]), int(self.upto[candidate])
        codes = self.codes[rows, feature]
        known = codes > 0
        below = known & (codes <= upto)
        missing_left = bool(self.missing_left[candidate]) if not known.all() else 2 * int(below.sum()) > len(rows)
        edges = self.edges[feature]
        lowest = max(1, int(codes[below].max(initial=1)))
        threshold = float(edges[lowest - 1]) if upto <= len(edges) and lowest <= len(edges) else None
        return Split(feature=feature, below=threshold, missing_left=missing_left), np.where(known, below, missing_left)


def binned(features: Floats, bins: int) -> Binned:
    """At most `bins` bins of values, cut as by XGBoost; one for each value where there are few. Raises DataUnusable."""
    _check(features)
    cut = [_cut(np.ascontiguousarray(column), bins) for column in features.T]
    edges, codes = tuple(each for each, _ in cut), np.column_stack([each for _, each in cut])
    candidates = [each for place in range(len(edges)) for each in _candidates(place, edges[place], codes[:, place])]
    table: npt.NDArray[Any] = np.array(candidates, np.int64).reshape(-1, 3)
    return Binned(
        codes=codes,
        edges=edges,
        feature=table[:, 0],
        upto=table[:, 1],
        missing_left=table[:, 2].astype(np.bool_),
    )


def _check(features: Floats) -> None:
    if features.ndim != 2 or 0 in features.shape or features.dtype != np.float64:
        raise DataUnusable(f"features are float64[rows, columns], not {features.dtype}{features.shape}")
    if np.isinf(features).any():
        raise DataUnusable("a feature is infinite; a missing value is NaN")


def _cut(column: Floats, bins: int) -> tuple[Floats, npt.NDArray[np.int8]]:
    """A column's edges and codes. Edge by edge: to look each value up among so few takes several times as long."""
    known = ~np.isnan(column)
    edges = sketch.edges(column[known], bins)
    codes = known.astype(np.int8)
    for edge in edges:
        codes += column >= edge
    return edges, codes


def _groups(codes: npt.NDArray[np.int8]) -> tuple[tuple[int, ...], ...]:
    """Greedily: a column joins the last group if a sum over the combinations costs well less than one over the rows."""
    sample = codes[:_GROUP_ROWS].astype(np.int64)
    groups: list[list[int]] = []
    cells, count = np.zeros(len(sample), np.int64), 0
    for column in np.argsort(sample.max(axis=0), kind="stable").tolist():
        combined, place = np.unique(cells * (MAX_BUCKETS + 1) + sample[:, column], return_inverse=True)
        more = len(combined) * (len(groups[-1]) + 1) - count * len(groups[-1]) if groups else len(sample)
        if 3 * more < len(sample) and len(groups[-1]) < MAX_COLUMNS:
            groups[-1].append(column)
            cells, count = place, len(combined)
        else:
            groups.append([column])
            values, cells = np.unique(sample[:, column], return_inverse=True)
            count = len(values)
    return tuple(map(tuple, groups))


def _candidates(feature: int, edges: Floats, codes: npt.NDArray[np.int8]) -> Sequence[tuple[int, int, bool]]:
    every = [(feature, upto, True) for upto in range(1, len(edges) + 1)]
    if codes.min() > 0:  # nothing missing: both directions are the same
        return every
    some = [(feature, len(edges) + 1, False)] if codes.max() > 0 else []
    return [*every, *((feature, upto, False) for upto in range(1, len(edges) + 1)), *some]
