"""The periods that consents are bounded to: which records of a batch lie in them. Few consents have bounds."""

from __future__ import annotations

import pyarrow as pa

from consent.columns import ConsentColumns
from consent.decision import ItemUse
from nodes.policy import in_range

Bounds = dict[str, tuple[str | None, str | None]]
"""First and last period by subject; a subject that is not here is not bounded."""


def bounds_of(book: ConsentColumns, use: ItemUse) -> Bounds:
    """The bounds of a use, from all consents. From any thread."""
    # Copied before the terms are read: what a consent changes to in between would be none of these, and so seem unbounded.
    column = book.terms_column[:]
    bounded = {
        place: (part.range_from, part.range_to)
        for place, terms in enumerate(book.terms)
        for part in terms.scope
        if part.item_id == use.item_id and part.mode is use.mode and (part.range_from or part.range_to)
    }
    if not bounded:
        return {}
    return {book.subjects[row]: bounded[place] for row, place in enumerate(column) if place in bounded}


def within_periods(batch: pa.RecordBatch, period: str | None, bounds: Bounds) -> pa.RecordBatch:
    """The rows whose period lies in their subject's bounds; a bounded subject shows no record without a period."""
    if not bounds:
        return batch
    codes = batch.column(0).to_pylist()
    periods = batch.column(period).to_pylist() if period is not None else [None] * len(codes)
    keep = [
        code not in bounds or in_range({"p": value if value is not None else ""}, "p", *bounds[code])
        for code, value in zip(codes, periods, strict=True)
    ]
    return batch.filter(pa.array(keep))
