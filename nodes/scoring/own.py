"""The bank's own columns of a model: which they are, and their values as a table, from a request or from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from modeling.jobs.table import Flags, Prepared, Table
from modeling.preparation.binning import CategoryBins
from modeling.preparation.columns import OneHot, Ordinal, source
from modeling.scoring.inputs import Binned, Preparation, Reference
from nodes.errors import NodeError
from nodes.joint.own_table import in_order, values_of
from nodes.scoring.scorer import Value

SUBJECT: Final = "uscc"
_SHOWN: Final = 300


class OwnColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column that the bank brings. A missing value is null, and is taken for what the model declares.

    `reference`: how it was distributed where the model was made, where the model's document says so.
    """

    name: str
    kind: Literal["number", "text"]
    nullable: bool = True
    reference: Reference | None = None


@dataclass(frozen=True, kw_only=True)
class OwnRows:
    """Own raw columns of some rows by name, and bool[n]: which rows have any."""

    table: Table
    present: Flags

    def only(self, rows: Flags) -> OwnRows:
        """Some of the rows."""
        return OwnRows(table={name: column[rows] for name, column in self.table.items()}, present=self.present[rows])


def columns_of(preparation: Preparation) -> tuple[OwnColumn, ...]:
    """Of a linear model."""
    return tuple(
        OwnColumn(
            name=each.name,
            kind="text"
            if isinstance(each.column, OneHot | Ordinal)
            or (isinstance(each.column, Binned) and isinstance(each.column.bins, CategoryBins))
            else "number",
            reference=each.reference,
        )
        for each in preparation.inputs
    )


def columns_of_job(prepared: Prepared) -> tuple[OwnColumn, ...]:
    """Of the active party's part of a joint model."""
    found = []
    for each in prepared.columns:
        text = isinstance(each, OneHot | Ordinal) or isinstance(getattr(each, "bins", None), CategoryBins)
        name = source(each) if isinstance(each, OneHot | Ordinal) else each.name
        found.append(OwnColumn(name=name, kind="text" if text else "number"))
    return tuple(found)


def rows_of_request(
    columns: Sequence[OwnColumn], subjects: Sequence[str], own: Mapping[str, Mapping[str, Value]]
) -> OwnRows:
    """Every row names every column and no other. Raises NodeError MODEL_INVALID, which names what is wrong."""
    names = {each.name for each in columns}
    for uscc in subjects:
        given = own.get(uscc, {}).keys()
        if missing := sorted(names - given):
            raise _invalid(f"Own columns are missing: {', '.join(missing)[:_SHOWN]}; send null where there is no value")
        if unknown := sorted(given - names):
            raise _invalid(f"The model has no own columns {', '.join(unknown)[:_SHOWN]}")
    return OwnRows(
        table={each.name: _cells(each, [own[uscc][each.name] for uscc in subjects]) for each in columns},
        present=np.ones(len(subjects), np.bool_),
    )


def _cells(column: OwnColumn, values: Sequence[Value]) -> Any:  # noqa: ANN401 - an array of either kind
    if column.kind == "text":
        if not all(each is None or isinstance(each, str) for each in values):
            raise _invalid(f"Own column {column.name} holds texts")
        return np.array([*values, None], dtype=object)[:-1]
    if not all(each is None or (isinstance(each, int | float) and not isinstance(each, bool)) for each in values):
        raise _invalid(f"Own column {column.name} holds numbers")
    found = np.array([np.nan if each is None else each for each in values], np.float64)
    if np.isinf(found).any():
        raise _invalid(f"Own column {column.name} holds an infinite number")
    return found


def read_own_file(columns: Sequence[OwnColumn], file: Path | None) -> pa.Table:
    """The columns with `uscc`, one row for each enterprise. Raises NodeError INVALID_ARGUMENT."""
    if file is None:
        if columns:
            raise _invalid(
                f"The model reads own columns ({', '.join(each.name for each in columns)[:_SHOWN]}); give a file with them"
            )
        return pa.table({SUBJECT: pa.array([], pa.string())})
    types = {SUBJECT: pa.string(), **{each.name: pa.string() for each in columns if each.kind == "text"}}
    try:
        if file.suffix.lower() == ".parquet":
            table = pq.read_table(file)
        else:
            options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True)
            table = pyarrow.csv.read_csv(file, convert_options=options)
        wanted = [SUBJECT, *(each.name for each in columns)]
        if missing := [name for name in wanted if name not in table.column_names]:
            raise _invalid(f"The file {file.name} has no column {', '.join(missing)[:_SHOWN]}")
        table = table.select(wanted)
        codes = table.column(SUBJECT)
        if codes.null_count or len(codes.unique()) != len(codes):
            raise _invalid(f"The file {file.name} has an enterprise twice, or a row without {SUBJECT}")
        return table
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _invalid(f"The file {file.name} cannot be read: {' '.join(str(error).split())[:_SHOWN]}") from None


def rows_of_file(table: pa.Table, subjects: Sequence[str]) -> OwnRows:
    """The rows of these enterprises; one that is not in the file has every value missing."""
    wanted = pc.is_in(table.column(SUBJECT), value_set=pa.array(subjects, pa.string()))
    found, present = in_order(table.filter(wanted), subjects, "")
    return OwnRows(
        table={name: values_of(pa.chunked_array([column])) for name, column in found.items()}, present=present
    )


def _invalid(sentence: str) -> NodeError:
    return NodeError(f"{sentence}.", code="MODEL_INVALID")
