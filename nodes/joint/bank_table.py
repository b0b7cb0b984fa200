"""The bank's own data of a job: a CSV or Parquet file with one row for each subject, brought into the order of the cohort."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from modeling.errors import DataUnusable
from modeling.jobs.table import Flags
from nodes.joint.job_file import Own
from nodes.joint.own_table import PRESENT, in_order, write_own_table

LABEL: Final = "__label"
_SUBJECT: Final = "uscc"


def write_bank_table(path: Path, source: Path, own: Own, order: Sequence[str], usable: Flags) -> int:
    """Write the table that the bank's process reads; how many rows have a record and a label. Raises DataUnusable.

    `usable`: bool[n], rows that every provider lets in; the others count as rows without a record.
    """
    try:
        table = _read(source, own)
        columns, present = in_order(table.append_column(LABEL, _label(table, own)).drop([own.target.column]), order, "")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataUnusable(f"{source.name} cannot be read: {' '.join(str(error).split())[:200]}") from None
    present &= usable & ~np.isnan(columns[LABEL].to_numpy(zero_copy_only=False))
    write_own_table(path, columns, present)
    return int(present.sum())


def _read(source: Path, own: Own) -> pa.Table:
    """`uscc`, the label's column and the features."""
    wanted = [own.subject, own.target.column, *own.features]
    if len(set(wanted)) != len(wanted):
        raise DataUnusable("subject, label and features of own are different columns, each named once")
    if taken := {*wanted[1:]} & {_SUBJECT, LABEL, PRESENT}:
        raise DataUnusable(f"{own.file}: rename column {', '.join(taken)}; this name has a meaning here")
    if source.suffix.lower() == ".parquet":
        file = pq.ParquetFile(source)
        _refuse_missing(wanted, file.schema_arrow.names, source)
        table = file.read(columns=wanted)
    else:
        options = pyarrow.csv.ConvertOptions(column_types={own.subject: pa.string()}, strings_can_be_null=True)
        table = pyarrow.csv.read_csv(source, convert_options=options)
        _refuse_missing(wanted, table.column_names, source)
    codes = pc.cast(table.column(own.subject), pa.string())
    _refuse_repeated(codes, own)
    return table.select(wanted[1:]).add_column(0, _SUBJECT, codes)


def _refuse_missing(wanted: Sequence[str], names: Sequence[str], source: Path) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataUnusable(f"{source.name} has no column {', '.join(missing)}")
    twice = [name for name in wanted if names.count(name) > 1]
    if twice:
        raise DataUnusable(f"{source.name} has more than one column {', '.join(twice)}")


def _refuse_repeated(codes: Any, own: Own) -> None:  # noqa: ANN401 - pyarrow
    if codes.null_count:
        raise DataUnusable(f"{own.file}: {codes.null_count} rows have no {own.subject}")
    if len(pc.unique(codes)) != len(codes):
        raise DataUnusable(f"{own.file}: some {own.subject} occur twice; there is one row for each enterprise")


def _label(table: pa.Table, own: Own) -> Any:  # noqa: ANN401 - pyarrow
    """float64: 1 for the event, 0 for anything else, null where missing. Raises DataUnusable unless there are two values."""
    target = own.target
    column = table.column(target.column)
    if pa.types.is_floating(column.type):  # NaN is missing, and must not count as "anything else"
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    values = pc.unique(column.drop_null()).to_pylist()
    if len(values) != 2 or target.event not in values:
        shown = ", ".join(str(value) for value in values[:5])
        raise DataUnusable(
            f"label {target.column} has {len(values)} values ({shown}); it needs two, one of them {target.event}: see label.event"
        )
    event = pa.scalar(values[values.index(target.event)], column.type)  # `true` of a column is found by 1
    return pc.cast(pc.equal(column, event), pa.float64())
