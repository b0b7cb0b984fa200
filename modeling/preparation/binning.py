"""Bins of one party's own column: where they begin and end is computed from its data and stays with it.

Bin 0 holds missing values, always; bins 1 .. hold (-inf, e1], (e1, e2], .. (ek, inf) of a number, or the categories in their order
and one more for all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from modeling.metrics import stability_index
from modeling.preparation.columns import Numbers, numbers, texts

Places = npt.NDArray[np.int32]
Counts = npt.NDArray[np.int64]


class NumberBins(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="number"):
    """Bins of a number: its inner edges, ascending."""

    name: str
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raises DataUnusable unless the edges are finite and ascend."""
        if not np.isfinite(self.edges).all() or any(one >= other for one, other in pairwise(self.edges)):
            raise DataUnusable(f"the edges of column {self.name!r} should ascend")

    @property
    def count(self) -> int:
        """How many bins, with that of missing values."""
        return len(self.edges) + 2


class CategoryBins(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="category"):
    """Bins of categories: each of these, and one for all others."""

    name: str
    categories: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many bins, with those of missing and of other values."""
        return len(self.categories) + 2


Bins = NumberBins | CategoryBins
Cut = Literal["quantile", "equal_width"]
"""How a number is first cut: bins of about as many rows, or of one width."""


def quantile_bins(name: str, values: Any, count: int) -> NumberBins:  # noqa: ANN401 - checked by `numbers`
    """At most `count` bins with about equally many values; equal values share a bin. Raises DataUnusable."""
    there = _there(name, values, count)
    # an edge is a value that occurs, so that it does not depend on how quantiles are interpolated
    cuts = np.unique(np.quantile(there, np.arange(1, count) / count, method="inverted_cdf"))
    return NumberBins(name=name, edges=tuple(cuts[cuts < there.max()].tolist()))


def equal_width_bins(name: str, values: Any, count: int) -> NumberBins:  # noqa: ANN401 - checked by `numbers`
    """`count` bins of one width between the smallest and the largest value. Raises DataUnusable."""
    there = _there(name, values, count)
    cuts = np.unique(np.linspace(there.min(), there.max(), count + 1)[1:-1])
    return NumberBins(name=name, edges=tuple(cuts[(cuts >= there.min()) & (cuts < there.max())].tolist()))


def category_bins(name: str, values: Any, maximum: int = 50) -> CategoryBins:  # noqa: ANN401 - checked by `texts`
    """A bin for each of the most frequent categories (ties by name). Raises DataUnusable."""
    there = np.array([each for each in texts(name, values) if each is not None], dtype=str)
    if not len(there):
        raise DataUnusable(f"column {name!r} has no values at all")
    found, counts = np.unique(there, return_counts=True)
    kept = np.lexsort((found, -counts))[:maximum]
    return CategoryBins(name=name, categories=tuple(found[kept].tolist()))


def assign(bins: Bins, values: Any) -> Places:  # noqa: ANN401 - checked by `numbers` or `texts`
    """The bin of each value, int32[n] in 0 .. count-1. Raises DataUnusable."""
    if isinstance(bins, CategoryBins):
        place: dict[str | None, int] = {each: at for at, each in enumerate(bins.categories, 1)}
        place[None] = 0
        return np.array([place.get(each, bins.count - 1) for each in texts(bins.name, values)], np.int32)
    found = numbers(bins.name, values)
    return np.where(np.isnan(found), 0, np.searchsorted(bins.edges, found, side="left") + 1).astype(np.int32)


def histogram(bins: Bins, values: Any) -> Counts:  # noqa: ANN401 - checked by `assign`
    """How many values are in each bin, int64[count]."""
    return np.bincount(assign(bins, values), minlength=bins.count)


def stability(bins: Bins, expected: Any, actual: Any) -> float:  # noqa: ANN401 - checked by `assign`
    """The stability index of a column between two sets of rows, over its bins."""
    return stability_index(histogram(bins, expected), histogram(bins, actual))


def bin_labels(bins: Bins) -> Sequence[str]:
    """What a person reads for each bin; "missing" is the first, "other" the last of categories."""
    if isinstance(bins, CategoryBins):
        return ["missing", *bins.categories, "other"]
    edges = [f"{edge:g}" for edge in bins.edges]
    if not edges:
        return ["missing", "all"]
    between = (f"{low} < x ≤ {high}" for low, high in pairwise(edges))
    return ["missing", f"≤ {edges[0]}", *between, f"> {edges[-1]}"]


def monotone_bins(bins: NumberBins, positives: Counts, negatives: Counts, minimum_share: float = 0.05) -> NumberBins:
    """Merge neighbouring bins until the rate of positives only rises or only falls and each bin has its share of the rows.

    Pooling adjacent violators (Ayer et al. 1955) gives the monotone rates closest to the observed ones; of both directions the one
    with the higher information value is taken. Then bins below `minimum_share` (of the rows with a value) join the neighbour whose
    rate is nearer, which keeps the rates monotone. Counts are int64[bins.count]; bin 0, of missing values, stays as it is. Raises
    DataUnusable.
    """
    if len(positives) != bins.count or len(negatives) != bins.count or not 0 <= minimum_share <= 0.5:
        raise DataUnusable(f"column {bins.name!r}: give counts for each bin, and a share up to one half")
    pairs = [
        (float(bad), float(good)) for bad, good in zip(positives[1:].tolist(), negatives[1:].tolist(), strict=True)
    ]
    if min(map(sum, zip(*pairs, strict=True))) <= 0:
        raise DataUnusable(f"column {bins.name!r}: monotone bins need rows of both classes")
    ends = max(
        (_pooled(pairs, rising, minimum_share) for rising in (True, False)), key=lambda ends: _information(pairs, ends)
    )
    return NumberBins(name=bins.name, edges=tuple(bins.edges[end - 1] for end in ends[:-1]))


def _pooled(pairs: Sequence[tuple[float, float]], rising: bool, minimum_share: float) -> list[int]:
    """Where the merged bins end (as counts of bins, the last is len(pairs))."""
    blocks: list[tuple[float, float, int]] = []
    for end, (bad, good) in enumerate(pairs, 1):
        blocks.append((bad, good, end))
        while len(blocks) > 1 and _violates(blocks[-2], blocks[-1], rising):
            _join(blocks, len(blocks) - 2)
    least = minimum_share * sum(map(sum, pairs))
    while len(blocks) > 1 and min(bad + good for bad, good, _ in blocks) < least:
        _join(blocks, _nearer(blocks, min(range(len(blocks)), key=lambda at: blocks[at][0] + blocks[at][1])))
    return [end for _, _, end in blocks]


def _violates(one: tuple[float, float, int], other: tuple[float, float, int], rising: bool) -> bool:
    """Rates equal or in the wrong order; compared without division, so that an empty bin joins its neighbour."""
    left, right = one[0] * (other[0] + other[1]), other[0] * (one[0] + one[1])
    return left >= right if rising else left <= right


def _join(blocks: list[tuple[float, float, int]], at: int) -> None:
    one, other = blocks[at], blocks.pop(at + 1)
    blocks[at] = (one[0] + other[0], one[1] + other[1], other[2])


def _nearer(blocks: list[tuple[float, float, int]], at: int) -> int:
    """The left one of the pair that `at` and its neighbour of nearer rate make."""
    rates = [bad / (bad + good) if bad + good else 0.0 for bad, good, _ in blocks]
    if at == 0:
        return 0
    if at == len(blocks) - 1:
        return at - 1
    return at - 1 if abs(rates[at - 1] - rates[at]) <= abs(rates[at + 1] - rates[at]) else at


def _information(pairs: Sequence[tuple[float, float]], ends: Sequence[int]) -> float:
    counts = np.array(pairs)
    merged = np.add.reduceat(counts, [0, *ends[:-1]], axis=0) + 0.5
    shares = merged / merged.sum(axis=0)
    return float(((shares[:, 0] - shares[:, 1]) * np.log(shares[:, 0] / shares[:, 1])).sum())


def _there(name: str, values: Any, count: int) -> Numbers:  # noqa: ANN401 - checked by `numbers`
    found = numbers(name, values)
    there = found[~np.isnan(found)]
    if count < 2:
        raise DataUnusable(f"column {name!r}: ask for at least two bins")
    if not len(there):
        raise DataUnusable(f"column {name!r} has no values at all")
    if there.min() == there.max():
        raise DataUnusable(f"column {name!r} has one value only: it has no bins")
    return there
