"""The bank's own columns of a model, from a request and from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nodes.errors import NodeError
from nodes.scoring.batch_files import read_subjects
from nodes.scoring.own import OwnColumn, read_own_file, rows_of_file, rows_of_request

COLUMNS = (OwnColumn(name="income", kind="number"), OwnColumn(name="sector", kind="text"))
A, B = "91110000600037341L", "91440300708461136T"


def test_a_request_gives_numbers_and_texts_and_null_is_missing() -> None:
    rows = rows_of_request(COLUMNS, (A, B), {A: {"income": 5, "sector": None}, B: {"income": None, "sector": "trade"}})
    np.testing.assert_array_equal(rows.table["income"], [5.0, np.nan])
    assert rows.table["sector"].tolist() == [None, "trade"]
    assert rows.present.all()
    assert rows.only(np.array([False, True])).table["sector"].tolist() == ["trade"]


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ({"income": 1.0}, "sector"),
        ({"income": 1.0, "sector": "x", "age": 3}, "age"),
        ({"income": "much", "sector": "x"}, "income"),
        ({"income": True, "sector": "x"}, "income"),
        ({"income": float("inf"), "sector": "x"}, "income"),
        ({"income": 1.0, "sector": 7}, "sector"),
    ],
)
def test_what_is_missing_unknown_or_of_another_kind_is_named(own: dict[str, float | str | None], named: str) -> None:
    with pytest.raises(NodeError, match=named) as refused:
        rows_of_request(COLUMNS, (A,), {A: own})
    assert refused.value.code == "MODEL_INVALID"


def test_a_file_is_brought_into_the_order_of_the_list_and_strangers_have_no_values(tmp_path: Path) -> None:
    file = tmp_path / "own.csv"
    file.write_text(f"uscc,income,sector,other\n{B},2,trade,x\n", encoding="utf-8")
    rows = rows_of_file(read_own_file(COLUMNS, file), (A, B))
    np.testing.assert_array_equal(rows.table["income"], [np.nan, 2.0])
    assert rows.table["sector"].tolist() == [None, "trade"]
    assert rows.present.tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "named"),
    [("uscc,income\nX,1\n", "sector"), (f"uscc,income,sector\n{A},1,x\n{A},2,y\n", "twice"), ("", "own.csv")],
)
def test_a_file_that_does_not_do_is_refused_with_its_name(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "own.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(NodeError, match=named):
        read_own_file(COLUMNS, file)
    with pytest.raises(NodeError, match="income, sector"):
        read_own_file(COLUMNS, None)


def test_a_list_is_lines_or_a_column_and_names_each_once(tmp_path: Path) -> None:
    text, table, bad = tmp_path / "list.txt", tmp_path / "list.csv", tmp_path / "bad.csv"
    text.write_text(f"{B}\n\n {A} \n{B}\n", encoding="utf-8")
    table.write_text(f"name,uscc\nx,{B}\ny,{A}\n", encoding="utf-8-sig")
    bad.write_text("name\nx\n", encoding="utf-8")
    assert read_subjects(text) == read_subjects(table) == [B, A]
    for file in (bad, tmp_path / "none.txt"):
        with pytest.raises(NodeError) as refused:
            read_subjects(file)
        assert refused.value.code == "INVALID_ARGUMENT"
