"""A party's columns as candidates for a model: binned, judged by the labels in their bins, and chosen by rules. No messages.

Only rows that train and have a record are looked at, but for the drift, which compares them with the test rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from modeling.preparation.binning import (
    Bins,
    CategoryBins,
    Cut,
    NumberBins,
    Places,
    assign,
    category_bins,
    equal_width_bins,
    monotone_bins,
    quantile_bins,
    stability,
)
from modeling.preparation.columns import Numbers, absent
from modeling.preparation.woe import Evidence, Limits, Selection, correlation, evidence, select

LEAST_ROWS: Final = 40
"""A bin of fewer rows of its owner is not judged: some of them may have no weight at the other side, which refuses bins of few."""

Flags = npt.NDArray[np.bool_]


class WoeColumn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="woe"):
    """A column as the weight of evidence of its bins, standardised: one column of the model, whatever its kind."""

    name: str
    bins: Bins
    woe: tuple[float, ...]
    centre: float
    spread: float

    def apply(self, values: Any) -> Numbers:  # noqa: ANN401 - checked by `assign`
        """float64[n]. Raises DataUnusable."""
        return (np.array(self.woe)[assign(self.bins, values)] - self.centre) / self.spread


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidate:
    """A column with its first bins. `places`: int32[n], the bin of each row that is counted, -1 elsewhere; `missing`: a share."""

    bins: Bins
    places: Places
    missing: float
    drift: float

    @property
    def name(self) -> str:
        """Of the column."""
        return self.bins.name


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """A candidate with its final bins and what the labels say of them."""

    candidate: Candidate
    bins: Bins
    evidence: Evidence

    @property
    def name(self) -> str:
        """Of the column."""
        return self.candidate.name

    def encoded(self, values: Any, rows: Flags) -> Numbers:  # noqa: ANN401 - checked by `assign`
        """float64[n]: the WOE of each row of `rows`, NaN elsewhere."""
        return np.where(rows, self.evidence.woe[assign(self.bins, values)], np.nan)

    def column(self, values: Any, rows: Flags) -> WoeColumn:  # noqa: ANN401 - checked by `assign`
        """The column of the model. Raises DataUnusable where its WOE is the same in all rows."""
        found = self.encoded(values, rows)[rows]
        spread = float(found.std())
        if spread < 1e-9:
            raise DataUnusable(f"column {self.name!r} has one weight of evidence only")
        return WoeColumn(
            name=self.name,
            bins=self.bins,
            woe=tuple(self.evidence.woe.tolist()),
            centre=float(found.mean()),
            spread=spread,
        )


def candidate(
    name: str, values: npt.NDArray[Any], training: Flags, test: Flags, bins: int, cut: Cut = "quantile"
) -> Candidate | None:
    """At most `bins` bins of a number, or the most frequent categories of a text.

    None where there is one value only, or no bin with enough rows.

    `values`: float64[n] or object[n]; `training`, `test`: bool[n], rows with a record. Raises DataUnusable for what is neither.
    """
    seen = values[training]
    gaps = absent(seen)
    kinds = len(set(seen[~gaps].tolist()))
    if kinds == 0 or (kinds == 1 and not gaps.any()):
        return None
    if values.dtype == object:
        chosen: Bins = category_bins(name, seen, bins)
    elif kinds == 1:
        chosen = NumberBins(name=name, edges=())
    else:
        chosen = (quantile_bins if cut == "quantile" else equal_width_bins)(name, seen, bins)
    places = np.where(training, assign(chosen, values), -1).astype(np.int32)
    counts = np.bincount(places[places >= 0], minlength=chosen.count)
    places[np.isin(places, np.flatnonzero(counts < LEAST_ROWS))] = -1
    if (places < 0).all():
        return None
    drift = stability(chosen, values[training], values[test]) if test.any() else 0.0
    return Candidate(bins=chosen, places=places, missing=float(gaps.mean()), drift=drift)


def judged(given: Candidate, found: Evidence, *, monotone: bool) -> Judged:
    """With `monotone`, neighbouring bins of a number are merged until the default rate only rises or only falls."""
    if isinstance(given.bins, CategoryBins) or not monotone or not _both_classes(found):
        return Judged(candidate=given, bins=given.bins, evidence=found)
    merged = monotone_bins(given.bins, found.positives, found.negatives)
    into = np.concatenate([[0], _merged_places(given.bins, merged)])
    positives, negatives = (
        np.bincount(into, counts, merged.count).astype(np.int64) for counts in (found.positives, found.negatives)
    )
    return Judged(candidate=given, bins=merged, evidence=evidence(positives, negatives))


def choose(columns: Sequence[Judged], table: Mapping[str, npt.NDArray[Any]], rows: Flags, limits: Limits) -> Selection:
    """Own columns by the limits, whose correlations are those of their WOE; one whose WOE is the same in all rows goes in any case.

    `rows`: bool[n], training rows with a record.
    """
    encoded = [each.encoded(table[each.name], rows)[rows] for each in columns]
    varied = [at for at, values in enumerate(encoded) if np.ptp(values) > 0]
    found = np.eye(len(columns))
    if len(varied) > 1:
        found[np.ix_(varied, varied)] = correlation(np.column_stack([encoded[at] for at in varied]))
    chosen = select(
        [each.name for each in columns],
        [each.evidence.value for each in columns],
        [each.candidate.missing for each in columns],
        [each.candidate.drift for each in columns],
        found,
        limits,
    )
    names = {columns[at].name for at in varied}
    flat = {name: "one weight of evidence in all rows" for name in chosen.kept if name not in names}
    return Selection(kept=tuple(name for name in chosen.kept if name in names), dropped={**chosen.dropped, **flat})


def _both_classes(found: Evidence) -> bool:
    return bool(found.positives[1:].sum() and found.negatives[1:].sum())


def _merged_places(before: NumberBins, after: NumberBins) -> npt.NDArray[np.int64]:
    """Where each bin of values went: bins are (e1, e2], so an upper edge lies in its own bin."""
    upper = np.append(np.asarray(before.edges), np.inf)
    return np.searchsorted(after.edges, upper, side="left") + 1
