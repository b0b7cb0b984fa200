"""How much of a member's columns could be recovered from scores: what the owner of models attests and an auditor recomputes.

A score is a linear query. For the models of one owner over one member's columns, each column adds an effect f(x) to a score. From all
these scores together the best linear estimate of a column's effects leaves sqrt(1 - h) of their standard deviation, h its *leverage*:
for numbers the diagonal of the projection on the models' row space (Hoaglin and Welsch, The American Statistician 32, 1978), for a
column of bins or categories the largest such value of anything that it adds. So 1 is a column that scores give away, be it by one model
of a single column or by the difference of two models that are nearly the same.

It stands on what the preparation declares: columns that do not depend on one another, distributed as their reference, or as a normal
number of the declared centre and spread, or over equally frequent bins. `misdeclared` is how the member sees that this is not so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modeling.errors import ModelInvalid
from modeling.jobs.table import Flags, Table
from modeling.metrics import stability_index
from modeling.preparation.binning import Bins, CategoryBins, histogram
from modeling.preparation.columns import Numbers, OneHot, Ordinal
from modeling.scoring.inputs import Binned, Input, Preparation
from modeling.scoring.model import Part

RANK_TOLERANCE: Final = 1e-9
"""Models of unit size that differ by less are the same model: doubles do not tell them apart."""
MAX_DRIFT: Final = 0.25
"""Stability index between declared and actual shares from which they are of another population (Siddiqi, 2006)."""
SPREAD_LIMITS: Final = (0.5, 2.0)
"""Of the actual standard deviation of a number, in units of the declared one."""
_NORMAL: Final = np.array([NormalDist().inv_cdf((place + 0.5) / 31) for place in range(31)])
"""Values of equal share of a standard normal number."""
_MISSING_SHARE: Final = 0.1
"""Where a column of its own says what is missing, and no reference how often."""
_CORNER_SHARE: Final = 1e-6
"""Of values where a rule changes: enough to tell two models apart that differ there only, too little to count otherwise."""

_Values = npt.NDArray[Any]


def leverages(parts: Sequence[Part]) -> dict[str, float]:
    """The leverage, 0 .. 1, of each raw column that these parts (of one member, of one owner's models) depend on.

    Raises ModelInvalid for parts of several members.
    """
    if len({part.member for part in parts}) > 1:
        raise ModelInvalid("a leverage is over the columns of one member")
    blocks = _effects(parts)
    if not blocks:
        return {}
    whole = np.hstack(list(blocks.values()))
    sizes = np.sqrt((whole**2).sum(axis=1))
    queries = whole[sizes > 0] / sizes[sizes > 0][:, None]
    _, strengths, directions = np.linalg.svd(queries, full_matrices=False)
    space = directions[strengths > RANK_TOLERANCE * strengths.max(initial=0.0)]
    found: dict[str, float] = {}
    start = 0
    for (name, _), block in blocks.items():
        ours = space[:, start : start + block.shape[1]]
        start += block.shape[1]
        if block.any():
            found[name] = max(found.get(name, 0.0), min(float(np.linalg.norm(ours, 2) ** 2), 1.0))
    return found


def leverage(parts: Sequence[Part]) -> float:
    """The largest of `leverages`; 0 where nothing depends on the member. Raises ModelInvalid for parts of several members."""
    return max(leverages(parts).values(), default=0.0)


def misdeclared(preparation: Preparation, table: Table, present: Flags) -> tuple[str, ...]:
    """Names of raw columns that are distributed otherwise here than the preparation declares, so that a leverage says nothing.

    For the member that has the data, over a batch of some hundred rows at least. Raises DataUnusable.
    """
    return tuple(each.name for each in preparation.inputs if not _as_declared(each, table[each.name][present]))


def _effects(parts: Sequence[Part]) -> dict[tuple[str, bool], Numbers]:
    """float64[parts, k] for each raw column, whose inner products are the covariances of what it adds to each score.

    The points are the references of all inputs over the column, mixed, and the values where their rules change: so models that prepare
    it differently are compared by what they do to the same value, also to a rare one. A column that one model takes for texts and
    another for numbers is two columns; one of them cannot score.
    """
    inputs: dict[tuple[str, bool], list[tuple[int, Input, Numbers]]] = defaultdict(list)
    for at, part in enumerate(parts):
        for each, weights in part.terms:
            inputs[each.name, _is_text(each)].append((at, each, weights))
    found = {}
    for key, users in inputs.items():
        references = [_reference(each) for _, each, _ in users]
        corners = [_corners(each) for _, each, _ in users]
        values = np.concatenate([*(values for values, _ in references), *corners])
        shares = np.concatenate([shares for _, shares in references]) / len(references)
        shares = np.append(shares, np.full(len(values) - len(shares), _CORNER_SHARE))
        shares /= shares.sum()
        block = np.zeros((len(parts), len(values)))
        for at, each, weights in users:
            effect = each.apply(_known(each, values)) @ weights
            block[at] = effect - effect @ shares
            block[at][np.abs(block[at]) <= RANK_TOLERANCE * np.abs(effect).max()] = 0.0  # what is left of a constant
        weighted = block * np.sqrt(shares)
        # only inner products count: the triangular factor has them all, in no more columns than there are parts
        found[key] = np.linalg.qr(weighted.T).R.T
    return found


def _is_text(given: Input) -> bool:
    column = given.column
    return isinstance(column, OneHot | Ordinal) or (
        isinstance(column, Binned) and isinstance(column.bins, CategoryBins)
    )


def _known(given: Input, values: _Values) -> _Values:
    """Categories that an order does not name cannot be scored by it: here they count as missing."""
    if not isinstance(given.column, Ordinal):
        return values
    order = given.column.order
    return np.array([*(each if each in order else None for each in values), None], dtype=object)[:-1]


def _reference(given: Input) -> tuple[_Values, Numbers]:
    """Raw values and their probabilities."""
    column = given.column
    if given.reference is not None:
        return _inside(given.reference.bins), np.array(given.reference.shares)
    if isinstance(column, Binned):
        return _inside(column.bins), _equal(column.bins.count)
    if isinstance(column, OneHot):
        values = _inside(CategoryBins(name=column.name, categories=column.categories))[0 if column.missing else 1 :]
        return values, _equal(len(values))
    if isinstance(column, Ordinal):
        return np.array([*column.order, None], dtype=object)[:-1], _equal(len(column.order))
    share = _MISSING_SHARE if column.indicator else 0.0
    shares = np.append(share, (1 - share) * _equal(len(_NORMAL)))
    return np.append(np.nan, column.centre + column.spread * _NORMAL), shares


def _corners(given: Input) -> _Values:
    """What is missing; where a number is cut off, both sides of an edge, every category."""
    column = given.column
    if isinstance(column, OneHot):
        return np.array([None, *column.categories], dtype=object)
    if isinstance(column, Ordinal):
        return np.array([None, *column.order], dtype=object)
    if isinstance(column, Binned):
        if isinstance(column.bins, CategoryBins):
            return _inside(column.bins)
        edges = np.array(column.bins.edges, np.float64)
        return np.concatenate([[np.nan], edges, np.nextafter(edges, np.inf)])
    limit = np.inf if column.clip is None else column.clip * column.spread
    found = np.array([column.low, column.high, column.centre - limit, column.centre + limit], np.float64)
    return np.append(found[np.isfinite(found)], np.nan)


def _equal(count: int) -> Numbers:
    return np.full(count, 1 / count)


def _inside(bins: Bins) -> _Values:
    """One raw value of each bin, the missing one first. A category that no model names stands for all others."""
    if isinstance(bins, CategoryBins):
        other = max(bins.categories, key=len, default="") + "?"
        return np.array([None, *bins.categories, other], dtype=object)
    edges = np.array(bins.edges)
    if not len(edges):
        return np.array([np.nan, 0.0])
    width = float(np.diff(edges).mean()) if len(edges) > 1 else max(abs(float(edges[0])), 1.0)
    middles = (edges[:-1] + edges[1:]) / 2
    return np.concatenate([[np.nan, edges[0] - width / 2], middles, [edges[-1] + width / 2]])


def _as_declared(given: Input, values: _Values) -> bool:
    if given.reference is not None:
        counts = histogram(given.reference.bins, values)
        return _stable(np.array(given.reference.shares), counts)
    points, shares = _reference(given)
    expected, actual = given.apply(points), given.apply(values)
    if isinstance(given.column, Binned | OneHot):
        return _stable(shares @ expected, actual.sum(axis=0))
    centre = shares @ expected[:, 0]
    spread = np.sqrt(shares @ (expected[:, 0] - centre) ** 2)
    low, high = SPREAD_LIMITS
    return bool(low <= actual[:, 0].std() / spread <= high)


def _stable(shares: Numbers, counts: _Values) -> bool:
    return stability_index(shares * counts.sum(), counts) <= MAX_DRIFT
