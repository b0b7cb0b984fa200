"""A party's columns in the order of the cohort: one row a subject, numbers as numbers, nothing where nothing is."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.errors import DataUnusable
from modeling.jobs.table import Aggregate
from nodes.joint.own_table import in_order, one_row_each, read_own_table, write_own_table


def single(aggregate: Aggregate, period: str | None = None, pieces: int = 10, **columns: Any) -> dict[str, Any]:
    """One row each of a table that comes in batches."""
    table = pa.table(columns)
    fields = [name for name in columns if name not in {"uscc", period}]
    return dict(one_row_each(table.to_batches(max_chunksize=pieces), fields, period, aggregate).to_pydict())


@pytest.mark.parametrize("pieces", [1, 2, 100])
def test_the_latest_is_that_of_the_last_period_wherever_it_stands(pieces: int) -> None:
    found = single(
        "latest",
        "month",
        pieces,
        uscc=["b", "a", "a", "a", "b"],
        month=["2024-01", "2025-02", "2025-12", "2025-03", "2023-12"],
        x=[1, 2, 3, 4, 5],
        t=["one", "two", None, "four", "five"],
    )
    assert found == {"uscc": ["a", "b"], "x": [3, 1], "t": [None, "one"]}


def test_a_record_without_a_period_is_older_than_any_that_has_one() -> None:
    found = single("latest", "month", uscc=["a", "a", "a"], month=["2024-01", None, "2023-01"], x=[1, 2, 3])
    assert found == {"uscc": ["a"], "x": [1]}


def test_without_a_period_the_latest_is_the_last_that_came() -> None:
    assert single("latest", None, 1, uscc=["a", "b", "a"], x=[1, 2, 3]) == {"uscc": ["a", "b"], "x": [3, 2]}


@pytest.mark.parametrize(
    ("aggregate", "found"),
    [("mean", [2.0, 5.0, None]), ("sum", [4.0, 5.0, None]), ("min", [1.0, 5.0, None]), ("max", [3.0, 5.0, None])],
)
def test_numbers_of_several_records_become_one(aggregate: Aggregate, found: list[float | None]) -> None:
    told = single(aggregate, None, 2, uscc=["c", "b", "a", "a"], x=[None, 5, 1, 3], x_mean=[0, 1, 2, 3])
    assert (told["uscc"], told["x"]) == (["a", "b", "c"], found)
    assert list(told) == ["uscc", "x", "x_mean"]


def test_texts_have_no_sum() -> None:
    with pytest.raises(DataUnusable, match="sum is for numbers"):
        single("sum", uscc=["a"], x=["one"])


@pytest.mark.parametrize("aggregate", ["latest", "sum"])
def test_no_records_at_all_are_columns_without_rows(aggregate: Aggregate) -> None:
    empty = pa.RecordBatch.from_pydict({"uscc": pa.array([], pa.string()), "x": pa.array([], pa.int64())})
    for batches in ([], [empty]):
        columns, present = in_order(one_row_each(batches, ("x",), None, aggregate), ["a", None], "")
        assert columns["x"].to_pylist() == [None, None]
        assert not present.any()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 9) | st.none(), st.integers(-5, 5)), max_size=20),
    st.lists(st.sampled_from("abcdx") | st.none(), max_size=8, unique=True),
)
def test_each_row_of_the_cohort_is_its_subjects_latest_record(
    records: list[tuple[str, int | None, int]], order: list[str | None]
) -> None:
    codes, periods, values = zip(*records, strict=True) if records else ((), (), ())
    table = pa.table(
        {"uscc": pa.array(codes, pa.string()), "p": pa.array(periods, pa.int64()), "x": pa.array(values, pa.int64())}
    )
    columns, present = in_order(one_row_each(table.to_batches(max_chunksize=3), ("x",), "p", "latest"), order, "i.")
    expected: list[float | None] = []
    for subject in order:
        own = [each for each in records if each[0] == subject]
        latest = max(
            range(len(own)), key=lambda at, own=own: (-1 if own[at][1] is None else own[at][1], at), default=None
        )
        expected.append(None if latest is None else float(own[latest][2]))
    assert columns["i.x"].to_pylist() == expected
    assert present.tolist() == [each is not None for each in expected]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (pa.array([1, None], pa.uint8()), [1.0, np.nan]),
        (pa.array([1.5, np.nan], pa.float32()), [1.5, np.nan]),
        (pa.array([Decimal("1.25"), None]), [1.25, np.nan]),
        (pa.array([True, False]), [1.0, 0.0]),
        (pa.array([dt.date(1970, 1, 11), None]), [10.0, np.nan]),
        (pa.array([dt.date(1970, 1, 11), None], pa.date64()), [10.0, np.nan]),
        (pa.array([dt.datetime(1970, 1, 2, 23), None], pa.timestamp("us")), [1.0, np.nan]),
        (pa.nulls(2), [np.nan, np.nan]),
        (pa.array(["x", None]), ["x", None]),
        (pa.array(["x", None], pa.large_string()), ["x", None]),
        (pa.array(["x", None]).dictionary_encode(), ["x", None]),
    ],
)
def test_columns_reach_the_process_as_numbers_or_texts(tmp_path: Path, values: pa.Array, found: list[Any]) -> None:
    columns, present = in_order(pa.table({"uscc": ["a", "b"], "x": values}), ["b", None, "a"], "item.")
    write_own_table(tmp_path / "table.arrow", columns, present)
    table, there = read_own_table(tmp_path / "table.arrow")
    nothing = None if table["item.x"].dtype == object else np.nan
    np.testing.assert_array_equal(table["item.x"], np.array([found[1], nothing, found[0]], table["item.x"].dtype))
    assert there.tolist() == [True, False, True]


@pytest.mark.parametrize("values", [pa.array([[1]]), pa.array([{"a": 1}]), pa.array([b"x"]), pa.array([dt.time(1)])])
def test_a_column_of_another_kind_is_refused_by_its_name(values: pa.Array) -> None:
    with pytest.raises(DataUnusable, match="column 'x' is "):
        in_order(pa.table({"uscc": ["a"], "x": values}), ["a"], "")
