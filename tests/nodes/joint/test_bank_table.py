"""The bank's own file: what is read of it, and that nothing in it ends in anything but the typed error."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.errors import DataUnusable
from nodes.joint.bank_table import LABEL, write_bank_table
from nodes.joint.job_file import Label, Own
from nodes.joint.own_table import read_own_table

GOOD = "uscc,x,y\na,1,1\nb,2,0\n"
ORDER = ("b", "nobody", "a")


def written(
    folder: Path, content: str | bytes | pa.Table, order: tuple[str, ...] = ORDER, usable: Any = None, **own: Any
) -> tuple[dict[str, list[Any]], list[bool]]:
    """The table of the bank's process, and which of its rows count."""
    source = folder / ("own.parquet" if isinstance(content, pa.Table) else "own.csv")
    if isinstance(content, pa.Table):
        pq.write_table(content, source)
    else:
        source.write_bytes(content.encode() if isinstance(content, str) else content)
    said = Own(**{"file": source.name, "label": "y", "features": ("x",)} | own)
    flags = np.ones(len(order), np.bool_) if usable is None else np.array(usable)
    count = write_bank_table(folder / "table.arrow", source, said, order, flags)
    table, present = read_own_table(folder / "table.arrow")
    assert count == present.sum()
    return {name: values.tolist() for name, values in table.items()}, present.tolist()


def parquet(**changes: Any) -> pa.Table:
    return pa.table({"uscc": ["a", "b"], "x": [1, 2], "y": [1, 0]} | changes)


@pytest.mark.parametrize("content", [GOOD, "\ufeff" + GOOD, GOOD + "c,9,1\n", parquet(), parquet(other=[[1], [2]])])
def test_the_file_is_brought_into_the_order_of_the_cohort(tmp_path: Path, content: str | pa.Table) -> None:
    table, present = written(tmp_path, content)
    np.testing.assert_array_equal(table["x"], [2.0, np.nan, 1.0])
    np.testing.assert_array_equal(table[LABEL], [0.0, np.nan, 1.0])
    assert list(table) == ["x", LABEL]
    assert present == [True, False, True]


def test_rows_that_a_provider_lets_not_in_do_not_count(tmp_path: Path) -> None:
    assert written(tmp_path, GOOD, usable=[False, True, True])[1] == [False, False, True]


@pytest.mark.parametrize(
    "labels",
    [
        pa.array([1.0, None, 0.0]),
        pa.array([1.0, float("nan"), 0.0]),
        pa.array([1.0, float("nan"), 0.0], pa.float32()),
        pa.array([True, None, False]),
        pa.array([1, None, 0], pa.uint8()),
    ],
)
def test_a_row_without_a_label_does_not_count(tmp_path: Path, labels: pa.Array) -> None:
    content = pa.table({"uscc": ["a", "b", "c"], "x": [1, 2, 3], "y": labels})
    table, present = written(tmp_path, content, order=("a", "b", "c"))
    np.testing.assert_array_equal(table[LABEL], [1.0, np.nan, 0.0])
    assert present == [True, False, True]


@pytest.mark.parametrize(
    ("labels", "event"),
    [
        (["bad", "good"], "bad"),
        (pa.array(["bad", "good"]).dictionary_encode(), "bad"),
        (pa.array(["bad", "good"], pa.large_string()), "bad"),
        ([3, 7], 3),
        ([3.5, 7.0], 3.5),
        ([True, False], True),
        ([1, 0], True),
        ([1, 0], 1.0),
    ],
)
def test_the_event_is_one_of_two_values_of_any_kind(tmp_path: Path, labels: Any, event: Any) -> None:
    table, _ = written(tmp_path, parquet(y=labels), label=Label(column="y", event=event))
    np.testing.assert_array_equal(table[LABEL], [0.0, np.nan, 1.0])


def test_a_column_without_any_value_is_there_and_empty(tmp_path: Path) -> None:
    table, present = written(tmp_path, "uscc,x,y\na,,1\nb,,0\n")
    assert np.isnan(table["x"]).all()
    assert present == [True, False, True]


BAD_FILES: list[tuple[Any, dict[str, Any], str]] = [
    ("", {}, "own.csv cannot be read"),
    ("uscc,x,y\n", {}, "label y has 0 values"),
    ("uscc,x,y\na,1\n", {}, "own.csv cannot be read"),
    (GOOD.replace("x", "汉").encode("gbk"), {}, "own.csv cannot be read"),
    (GOOD.replace("a", "汉").encode("gbk"), {}, "own.csv cannot be read"),
    (GOOD.replace(",1,", ",汉,").encode("gbk"), {}, "column 'x' is binary"),
    (GOOD, {"features": ("x", "z", "w")}, "no column z, w"),
    (GOOD, {"label": "z"}, "no column z"),
    (GOOD, {"subject": "code"}, "no column code"),
    (GOOD, {"label": "x", "features": ("x",)}, "different columns"),
    (GOOD, {"features": ("uscc",)}, "different columns"),
    ("uscc,x,y,x\na,1,1,1\nb,2,0,2\n", {}, "more than one column x"),
    ("uscc,x,y\na,1,1\na,2,0\n", {}, "some uscc occur twice"),
    ("uscc,x,y\na,1,1\n,2,0\n,3,1\n", {}, "2 rows have no uscc"),
    ("uscc,x,y\na,1,1\nb,2,1\n", {}, "label y has 1 values (1)"),
    ("uscc,x,y\na,1,2\nb,2,1\nc,3,0\n", {}, "label y has 3 values (2, 1, 0)"),
    ("uscc,x,y\na,1,yes\nb,2,no\n", {}, "label y has 2 values (yes, no); it needs two, one of them 1"),
    (GOOD, {"label": Label(column="y", event="1")}, "one of them 1"),
    (parquet(), {"features": ("z",)}, "no column z"),
    (parquet(y=[1.0, float("nan")]), {}, "label y has 1 values (1.0)"),
    (parquet(y=[[1], [0]]), {}, "own.parquet cannot be read"),
    (parquet(y=[dt.date(2026, 1, 1), dt.date(2026, 1, 2)]), {}, "label y has 2 values (2026-01-01"),
    (parquet(uscc=[["a"], ["b"]]), {}, "own.parquet cannot be read"),
    (parquet(x=[[1], [2]]), {}, "column 'x' is list"),
    (parquet(__label=[1, 2]), {"features": ("__label",)}, "rename column __label"),
    (parquet(id=["a", "b"]), {"subject": "id", "features": ("uscc",)}, "rename column uscc"),
]


@pytest.mark.parametrize(("content", "own", "said"), BAD_FILES)
def test_a_file_that_cannot_be_used_is_refused_and_told_why(
    tmp_path: Path, content: Any, own: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataUnusable, match=re.escape(said)):
        written(tmp_path, content, **own)
    assert not (tmp_path / "table.arrow").exists()


@pytest.mark.parametrize("name", ["own.csv", "own.parquet"])
@pytest.mark.parametrize("content", [None, b"", b"PAR1 no table PAR1", b"\xff\xfe\0\0"])
def test_a_file_that_is_gone_or_damaged_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    own = Own(file=name, label="y", features=("x",))
    with pytest.raises(DataUnusable, match=name):
        write_bank_table(tmp_path / "table.arrow", tmp_path / name, own, ("a",), np.ones(1, np.bool_))


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from(["uscc", "x", "y", ",", "\n", '"', "1", "0", "\r", "é"])).map("".join)
)
def test_any_bytes_at_all_are_a_table_or_the_typed_error(tmp_path_factory: Any, content: bytes | str) -> None:
    folder = tmp_path_factory.mktemp("any")
    for head in ("", "uscc,x,y\n"):
        data = content if isinstance(content, bytes) else content.encode()
        try:
            written(folder, head.encode() + data)
        except DataUnusable as error:
            assert error.code == "DATA_UNUSABLE"
