"""Where XGBoost's `hist` cuts a column: at ranks that a sketch of bounded size estimates while rows come one after the other.

Chen and Guestrin, XGBoost (KDD 2016), appendix: a summary holds some of the values, and bounds of their ranks. Two are merged exactly;
pruning one to a size costs accuracy. XGBoost (src/common/quantile.h and .cc, up to 3.2) summarises the values piece by piece and merges
summaries of as many pieces, as digits carry. So edges depend on the order of the rows; of the same rows in the same order they are
XGBoost's. It counts a row by its weight; here each known value counts once, as a provider does not know weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_FACTOR: Final = 8
"""Values that a summary holds for each bin, at least (XGBoost's kFactor)."""


class _Summary(NamedTuple):
    """Values float64[k], ascending; `ranks` int64[3, k]: how many rows are below each at least, not above it at most, equal at least.

    The paper's lower and upper rank and weight, XGBoost's rmin, rmax and wmin.
    """

    values: Floats
    ranks: Ints


_EMPTY: Final = _Summary(np.zeros(0), np.zeros((3, 0), np.int64))


def edges(known: Floats, bins: int) -> Floats:
    """At most `bins` - 1 values that occur: each starts a bin. `known`: float64[n] in the order of the rows, none missing."""
    if not len(known):
        return known
    size = _size(len(known), bins)
    *pieces, last = _pieces(known, 2 * size)
    levels: list[_Summary] = []
    for piece in pieces:
        _add(levels, _pruned(_counted(piece), size), size)
    total = _pruned(_counted(last), size)
    for level in levels:
        total = _pruned(_merged(total, level), size)
    return _pruned(_pruned(total, _FACTOR * bins), bins + 1).values[1:bins]


def _size(rows: int, bins: int) -> int:
    """How many values a summary holds: more where it is merged more often, so that errors do not add up."""
    accuracy, levels = 1 / (_FACTOR * bins), 1
    while (size := min(rows, math.ceil(levels / accuracy) + 1)) << levels < rows:
        levels += 1
    return size


def _pieces(known: Floats, runs: int) -> Iterator[Floats]:
    """The values in pieces of so many runs; in a run a value follows itself."""
    begins = np.flatnonzero(np.append(True, known[1:] != known[:-1]))[::runs].tolist()
    for begin, end in zip(begins, [*begins[1:], len(known)], strict=True):
        yield known[begin:end]


def _add(levels: list[_Summary], found: _Summary, size: int) -> None:
    """Merge with the first level; what is too large for it leaves it empty and goes on to the next."""
    for place, level in enumerate(levels):
        merged = _merged(found, level)
        if len(merged.values) <= size:
            levels[place] = merged
            return
        levels[place], found = _EMPTY, _pruned(merged, size)
    levels.append(found)


def _counted(values: Floats) -> _Summary:
    """The exact summary."""
    distinct, equal = np.unique(values, return_counts=True)
    upto = equal.cumsum()
    return _Summary(distinct, np.stack([upto - equal, upto, equal]))


def _merged(one: _Summary, other: _Summary) -> _Summary:
    """The summary of both sets of rows: values of either, with the sums of their ranks in both."""
    if not len(other.values):
        return one
    both = np.concatenate([one.values, other.values])
    order = both.argsort(kind="stable")  # linear: it finds that these are two ascending parts
    both = both[order]
    begins = np.flatnonzero(np.append(True, both[1:] > both[:-1]))
    ends = np.append(begins[1:], len(both))
    counts = np.append(0, (order < len(one.values)).cumsum())
    place = counts[begins] + counts[ends]
    ranks = _ranks(one).take(place, axis=1) + _ranks(other).take(begins + ends - place, axis=1)
    return _Summary(both[begins], ranks)


def _ranks(summary: _Summary) -> Ints:
    """int64[3, 2 k + 1]: what a summary tells of any values, by how many of its own are below plus how many are not above."""
    below, upto, equal = summary.ranks
    found = np.zeros((3, 2 * len(below) + 1), np.int64)
    found[:, 1::2] = summary.ranks
    found[0, 2::2] = below + equal
    found[1, :-1:2], found[1, -1] = upto - equal, upto[-1]
    return found


def _pruned(summary: _Summary, size: int) -> _Summary:
    """At most `size` of the values: the first, the last, and those nearest to ranks in equal steps between them."""
    count = len(summary.values)
    if count <= size:
        return summary
    below, upto, equal = summary.ranks
    first, last = np.float32(upto[0]), np.float32(below[-1])  # XGBoost's precision decides where two are as near
    twice = 2 * (np.arange(1, size - 1, dtype=np.float32) * (last - first) / np.float32(size - 1) + first)
    after = np.searchsorted(below + upto, twice, side="right").clip(2)
    after = after[after < count]
    middle = (below + equal)[after - 1] + (upto - equal)[after]
    kept = np.zeros(count, np.bool_)
    kept[[0, -1]] = kept[after - (twice[: len(after)] < middle)] = True
    chosen = np.flatnonzero(kept)
    return _Summary(summary.values[chosen], summary.ranks.take(chosen, axis=1))
