"""A provider's own columns for the rows of a request, prepared as the model says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from modeling.jobs.table import Aggregate, Flags, Table
from nodes.exchanges.periods import Bounds, within_periods
from nodes.joint.own_table import in_order, one_row_each, values_of
from nodes.scoring.node import ScoringNode

_SCAN_ROWS: Final = 65_536
FEW: Final = 64
"""Up to so many subjects are looked up one by one; more are found by one scan."""


@dataclass(frozen=True, kw_only=True)
class WantedItem:
    """The fields of an item that a model reads, and how several records of a subject become one."""

    item_id: str
    fields: tuple[str, ...]
    aggregate: Aggregate


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Raw columns `item.field` of the rows, and bool[n]: which rows have a record."""

    table: Table
    present: Flags


def read_columns(
    node: ScoringNode,
    items: Sequence[WantedItem],
    subjects: Sequence[str | None],
    bounds: dict[str, Bounds],
    holder: str,
) -> Columns:
    """The columns of these rows; None is a row without a subject. Blocks; raises NodeError, ModelingError."""
    known = sorted(each for each in subjects if each is not None)
    columns: dict[str, pa.Array] = {}
    present: npt.NDArray[np.bool_] = np.zeros(len(subjects), np.bool_)
    for item in items:
        period = node.catalogue.item(item.item_id).period_field
        scanned = item.fields if period is None or period in item.fields else (*item.fields, period)
        batches = _batches(node, item.item_id, known, scanned, holder)
        bounded = [within_periods(batch, period, bounds.get(item.item_id, {})) for batch in batches]
        single = one_row_each(bounded, item.fields, period, item.aggregate)
        found, there = in_order(single, subjects, f"{item.item_id}.")
        columns |= found
        present |= there
    return Columns(
        table={name: values_of(pa.chunked_array([column])) for name, column in columns.items()}, present=present
    )


def _batches(
    node: ScoringNode, item_id: str, subjects: list[str], fields: Sequence[str], holder: str
) -> list[pa.RecordBatch]:
    if len(subjects) <= FEW:
        return [batch for uscc in subjects for batch in node.tables.rows(item_id, uscc, fields)]
    digest = node.tables.pin(item_id, holder)
    try:
        return list(node.tables.scan(item_id, digest, pa.array(subjects, pa.string()), fields, _SCAN_ROWS))
    finally:
        node.tables.unpin(holder)
