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
from nodes.joint.job_file import Own, rules_of
from nodes.joint.own_table import in_order, write_own_table

LABEL: Final = "__label"


def write_bank_table(path: Path, source: Path, own: Own, order: Sequence[str], usable: Flags) -> int:
    """Write the table that the bank's process reads; how many rows have a record and a label. Raises DataUnusable.

    `usable`: bool[n], rows that every provider lets in; the others count as rows without a record.
    """
    table = _read(source, own)
    _refuse_repeated(table, own)
    label = _label(table, own)
    features = table.select([own.subject, *rules_of(own.features)]).rename_columns(["uscc", *rules_of(own.features)])
    columns, present = in_order(features.append_column(LABEL, label), order, "")
    present &= usable & ~np.isnan(columns[LABEL].to_numpy(zero_copy_only=False))
    write_own_table(path, columns, present)
    return int(present.sum())


def _read(source: Path, own: Own) -> pa.Table:
    wanted = [own.subject, own.target.column, *rules_of(own.features)]
    if len(set(wanted)) != len(wanted):
        raise DataUnusable("subject, label and features of own are different columns, each named once")
    try:
        if source.suffix.lower() == ".parquet":
            names = pq.ParquetFile(source).schema_arrow.names
            _refuse_missing(wanted, names, source)
            return pq.ParquetFile(source).read(columns=wanted).select(wanted)
        options = pyarrow.csv.ConvertOptions(column_types={own.subject: pa.string()}, strings_can_be_null=True)
        table = pyarrow.csv.read_csv(source, convert_options=options)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataUnusable(f"{source.name} cannot be read: {' '.join(str(error).split())[:200]}") from None
    _refuse_missing(wanted, table.column_names, source)
    return table.select(wanted)


def _refuse_missing(wanted: Sequence[str], names: Sequence[str], source: Path) -> None:
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataUnusable(f"{source.name} has no column {', '.join(missing)}")


def _refuse_repeated(table: pa.Table, own: Own) -> None:
    codes = table.column(own.subject)
    if codes.null_count:
        raise DataUnusable(f"{own.file}: {codes.null_count} rows have no {own.subject}")
    if len(pc.unique(codes)) != len(codes):
        raise DataUnusable(f"{own.file}: some {own.subject} occur twice; there is one row for each enterprise")


def _label(table: pa.Table, own: Own) -> Any:  # noqa: ANN401 - pyarrow
    """float64: 1 for the event, 0 for anything else, null where missing. Raises DataUnusable unless there are two values."""
    target = own.target
    column = table.column(target.column)
    values = pc.unique(column.drop_null()).to_pylist()
    if len(values) != 2 or target.event not in values:
        shown = ", ".join(str(value) for value in values[:5])
        raise DataUnusable(
            f"label {target.column} has {len(values)} values ({shown}); it needs two, one of them {target.event}: see label.event"
        )
    event = pa.scalar(target.event, column.type)
    return pc.cast(pc.equal(column, event), pa.float64())
