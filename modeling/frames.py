"""Data frames of a notebook as the tables of a job.

A frame is a pandas DataFrame or what is like one (`columns`, and each column by its name), a mapping of names to columns, or a
two-dimensional array (its columns are called after the party: `tax[0]`, `tax[1]`, ...). No library of frames is needed here.

What is checked, in this order, before any party begins; each raises DataUnusable:
1. one to four providers, none of them called `own` or `hub`;
2. rows that are called alike: where frames have an index, they have the same one in the same order;
3. a column at least, each named by a text of its own, also across parties;
4. as many rows at every party, and one at least;
5. every column of numbers, flags, dates (they become days since 1970) or texts; missing values of any kind become NaN or None.

A row in which every column of a party is missing is a row without a record there, as in a job between nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from modeling.jobs.table import Flags, Table
from modeling.logistic.own import Floats

OWN: Final = "own"
"""What the active party is called."""
_RESERVED: Final = frozenset({OWN, "hub"})
MAX_PROVIDERS: Final = 4


class Frame(Protocol):
    """Columns by name, as in a pandas DataFrame."""

    @property
    def columns(self) -> Any:  # noqa: ANN401 - an index of names, of the library's own type
        """The names."""
        ...

    def __getitem__(self, name: Any, /) -> Any:  # noqa: ANN401 - a column, of the library's own type
        """A column."""
        ...


Data = Frame | Mapping[str, Any] | npt.NDArray[Any]
"""What a party brings; columns have any type that numpy can read."""


@dataclass(frozen=True, eq=False)
class PartyTable:
    """A party's columns as a job wants them. `present`: bool[n], rows with a record."""

    columns: Table
    present: Flags


def tables_of(own: Data, providers: Mapping[str, Data], label: object = None) -> dict[str, PartyTable]:
    """The table of each party, the active one (`OWN`) first. `label` is looked at for its index only. Raises DataUnusable."""
    if not isinstance(providers, Mapping) or not 1 <= len(providers) <= MAX_PROVIDERS:
        raise DataUnusable(f'name 1 to {MAX_PROVIDERS} providers and what they bring, as in {{"tax": frame}}')
    if reserved := _RESERVED.intersection(providers):
        raise DataUnusable(f"a provider cannot be called {', '.join(sorted(reserved))}; give it another name")
    frames = {OWN: own, **providers}
    _check_index({**frames, "label": label})
    tables = {party: PartyTable(*_table(party, data)) for party, data in frames.items()}
    _check_names(tables)
    rows = {party: len(table.present) for party, table in tables.items()}
    if len(set(rows.values())) != 1 or rows[OWN] == 0:
        told = ", ".join(f"{party} {count}" for party, count in rows.items())
        raise DataUnusable(f"every party brings the same rows in the same order, and one at least; rows came: {told}")
    return tables


def label_of(label: object, rows: int) -> Floats:
    """float64[n] of 0 and 1 (1: the event, default). Raises DataUnusable."""
    found = _values("label", label)
    if found.shape != (rows,):
        raise DataUnusable(f"a label has a value for each of the {rows} rows, not {len(found)}")
    if found.dtype == object or not np.isin(found, (0.0, 1.0)).all():
        raise DataUnusable('a label is 0 or 1 in every row, 1 for the event: frame["status"] == "bad" makes one')
    return found


def _table(party: str, data: Any) -> tuple[Table, Flags]:  # noqa: ANN401 - a frame of any kind
    columns = dict(_columns(party, data))
    if not columns:
        raise DataUnusable(f"{party} brings no column; every party brings one at least")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) != 1:
        raise DataUnusable(f"columns of {party} have {min(lengths.values())} to {max(lengths.values())} rows")
    absent = [[each is None for each in v] if v.dtype == object else np.isnan(v) for v in columns.values()]
    return columns, ~np.logical_and.reduce(np.array(absent, np.bool_))


def _columns(party: str, data: Any) -> Iterator[tuple[str, npt.NDArray[Any]]]:  # noqa: ANN401 - a frame of any kind
    if isinstance(data, np.ndarray):
        if data.ndim != 2:
            raise DataUnusable(f"an array of {party} has two dimensions, rows and columns; this one has {data.ndim}")
        yield from ((f"{party}[{place}]", _values(f"{party}[{place}]", column)) for place, column in enumerate(data.T))
        return
    names = list(_names(party, data))
    if any(not isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise DataUnusable(f"columns of {party} are named by texts, each by another: {str(names)[:200]}")
    yield from ((name, _values(name, data[name])) for name in names)


def _names(party: str, data: Any) -> Any:  # noqa: ANN401 - a frame of any kind
    if isinstance(data, Mapping):
        return data
    if not hasattr(data, "columns"):
        raise DataUnusable(
            f"{party} brings a {type(data).__name__}; a data frame, a mapping of names to columns, or an array is wanted"
        )
    return data.columns


def _check_names(tables: Mapping[str, PartyTable]) -> None:
    owner: dict[str, str] = {}
    for party, table in tables.items():
        for name in table.columns:
            if name in owner:
                raise DataUnusable(f"{owner[name]} and {party} both have a column {name!r}; rename or drop one")
            owner[name] = party


def _check_index(frames: Mapping[str, Any]) -> None:
    first: tuple[str, npt.NDArray[Any]] | None = None
    for party, data in frames.items():
        for index in _indexes(data):
            if first is None:
                first = party, index
            elif not np.array_equal(first[1], index):
                raise DataUnusable(
                    f"the rows of {party} are not those of {first[0]}: their indexes differ; align them (`.loc`, `.reindex`, `.join`)"
                )


def _indexes(data: Any) -> list[npt.NDArray[Any]]:  # noqa: ANN401 - a frame of any kind
    """Of a frame, or of each column of a mapping. A list has a method of that name."""
    every = data.values() if isinstance(data, Mapping) else [data]
    found = [getattr(each, "index", None) for each in every]
    return [np.asarray(index) for index in found if index is not None and not callable(index)]


def _values(name: str, values: Any) -> npt.NDArray[Any]:  # noqa: ANN401 - a column of any kind
    """float64 with NaN, or object of texts with None. Raises DataUnusable."""
    found = np.asarray(values)
    if found.ndim != 1:
        raise DataUnusable(f"column {name!r} should have one dimension, it has {found.ndim}")
    if found.dtype.kind == "M":
        days = found.astype("datetime64[D]")
        return np.where(np.isnat(days), np.nan, days.astype(np.float64))
    if found.dtype.kind in "fiub":
        return found.astype(np.float64)
    found = np.array(values, dtype=object)  # a copy: the caller's column stays; a list of 1 and "a" is no list of texts
    there = ~_missing(values, found)
    kinds = {type(each) for each in found[there]}
    if kinds and all(issubclass(kind, str) for kind in kinds):
        found[~there] = None
        return found
    if all(issubclass(kind, Real | Decimal | np.bool_) for kind in kinds):
        numbers = np.full(len(found), np.nan)
        numbers[there] = [float(each) for each in found[there]]
        return numbers
    told = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise DataUnusable(f"column {name!r} holds {told}: a column is of numbers, dates, flags or texts")


def _missing(values: Any, found: npt.NDArray[np.object_]) -> Flags:  # noqa: ANN401 - a column of any kind
    """None and NaN, and what the column's own library calls missing."""
    own = getattr(values, "isna", None)
    if callable(own):
        return np.asarray(own(), np.bool_)
    return np.array([each is None or (isinstance(each, float) and each != each) for each in found], np.bool_)  # noqa: PLR0124
