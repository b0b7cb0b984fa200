"""A party's own columns in the order of the cohort, as one Arrow file that its process reads.

Column names are `item.field`. A subject with several records of an item is one row: the latest by the item's period (the last, where
it has none), or a function of each number. Dates become days since 1970, decimals and flags numbers; texts stay texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from modeling.errors import DataUnusable
from modeling.jobs.table import Aggregate, Flags, Table
from nodes.exchanges.permitted import read_table, write_table

PRESENT: Final = "__present"
_DATED: Final = "__dated"
_FUNCTIONS: Final = {"mean": "mean", "sum": "sum", "min": "min", "max": "max"}


def one_row_each(
    batches: Iterable[pa.RecordBatch], fields: Sequence[str], period: str | None, aggregate: Aggregate
) -> pa.Table:
    """A row for each subject of batches with `uscc`, the fields and the period, ordered by subject. Raises DataUnusable."""
    found = list(batches)
    if not found:
        return pa.table(
            {name: pa.array([], pa.string() if name == "uscc" else pa.float64()) for name in ("uscc", *fields)}
        )
    table = pa.Table.from_batches(found)
    if aggregate == "latest":
        order = [("uscc", "ascending")]
        if period is not None:  # a record without a period is older than any that has one
            table = table.append_column(_DATED, pc.is_valid(table.column(period)))
            order += [(_DATED, "ascending"), (period, "ascending")]
        table = table.sort_by(order)
        codes = table.column("uscc").to_numpy(zero_copy_only=False)
        last = np.append(codes[1:] != codes[:-1], True) if len(codes) else np.zeros(0, np.bool_)
        return table.filter(pa.array(last)).select(["uscc", *fields])
    numbers = {name: _as_number(name, table.column(name)) for name in fields}
    if any(column is None for column in numbers.values()):
        raise DataUnusable(f"{aggregate} is for numbers; take the latest record of an item with texts")
    table = pa.table({"uscc": table.column("uscc"), **numbers})
    grouped = table.group_by("uscc").aggregate([(name, _FUNCTIONS[aggregate]) for name in fields])
    grouped = grouped.rename_columns(
        ["uscc" if name == "uscc" else name.removesuffix(f"_{_FUNCTIONS[aggregate]}") for name in grouped.column_names]
    )
    return grouped.select(["uscc", *fields]).sort_by("uscc")


def in_order(table: pa.Table, subjects: Sequence[str | None], prefix: str) -> tuple[dict[str, pa.Array], Flags]:
    """The columns (named `prefix` and the field) for each row of the cohort, null without a record; bool[n]: where there is one."""
    place = {code: row for row, code in enumerate(table.column("uscc").to_pylist())}
    rows = [None if subject is None else place.get(subject) for subject in subjects]
    taken = table.take(pa.array(rows, pa.int64()))
    columns = {f"{prefix}{name}": _column(name, taken.column(name)) for name in table.column_names if name != "uscc"}
    return columns, np.array([row is not None for row in rows], np.bool_)


def write_own_table(path: Path, columns: dict[str, pa.Array], present: Flags) -> None:
    """Write the file that the party's process reads."""
    write_table(path, pa.table({**columns, PRESENT: pa.array(present)}))


def read_own_table(path: Path) -> tuple[Table, Flags]:
    """Columns as `modeling.jobs.table` wants them, and which rows have a record."""
    table = read_table(path)
    columns = {name: values_of(table.column(name)) for name in table.column_names if name != PRESENT}
    present: Flags = table.column(PRESENT).to_numpy(zero_copy_only=False).astype(np.bool_)
    return columns, present


def _column(name: str, column: Any) -> pa.Array:  # noqa: ANN401 - pyarrow
    number = _as_number(name, column)
    return column.combine_chunks().cast(pa.string()) if number is None else number.combine_chunks()


def _as_number(name: str, column: Any) -> Any:  # noqa: ANN401 - pyarrow
    """float64, or None for a text. Raises DataUnusable for what is neither."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind):
        return None
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return pc.cast(pc.cast(pc.cast(column, pa.date32()), pa.int32()), pa.float64())
    if pa.types.is_boolean(kind):
        return pc.cast(pc.cast(column, pa.int8()), pa.float64())
    if pa.types.is_null(kind):  # a column of a CSV file without any value
        return pc.cast(column, pa.float64())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pc.cast(column, pa.float64(), safe=False)
    raise DataUnusable(f"column {name!r} is {kind}: neither a number, a date, a flag nor a text")


def values_of(column: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - pyarrow
    """A column of `in_order` as `modeling.jobs.table` wants it: float64[n] with NaN, or object[n] of texts with None."""
    if pa.types.is_string(column.type):
        return np.array([*column.to_pylist(), None], dtype=object)[:-1]
    found: npt.NDArray[np.float64] = column.to_numpy(zero_copy_only=False).astype(np.float64)
    return found
