"""Laws of the checks: the fast way over whole columns never decides otherwise than the slow way, which has the words."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.catalogue import Field
from consent.errors import UsccInvalid
from consent.identifiers import USCC_ALPHABET, Uscc, check_character
from nodes.sources.check import CellRefused, parse_cell
from nodes.sources.codes import valid_codes
from nodes.sources.config import Column
from nodes.sources.expressions import cell, fast_value, normalised
from tests.nodes.sources.bureau import CODES

MONEY = Field(name="amount", type="decimal", precision=18, scale=2, unit="元")
COLUMNS = [
    Column(column="c", field=MONEY),
    Column(column="c", field=MONEY, factor=Decimal(10_000)),
    Column(column="c", field=MONEY, factor=Decimal("0.01"), round=True),
    Column(column="c", field=MONEY, round=True),
    Column(column="c", field=Field(name="ratio", type="decimal", precision=9, scale=4, minimum=5, maximum=12)),
    Column(column="c", field=Field(name="months", type="integer")),
    Column(column="c", field=Field(name="nice", type="integer", minimum=1, maximum=45)),
    Column(column="c", field=Field(name="listed", type="date")),
    Column(column="c", field=Field(name="period", type="month")),
    Column(column="c", field=Field(name="listed", type="date"), format="%Y%m%d"),
    Column(column="c", field=Field(name="stopped", type="boolean")),
    Column(column="c", field=Field(name="reason", type="string", length=5)),
    Column(column="c", field=Field(name="region", type="code", length=6)),
    Column(column="c", field=Field(name="kind", type="enum", values=("水", "电", "气"))),
    Column(column="c", field=Field(name="kinds", type="enum", values=("养老", "医疗"), list=True)),
    Column(column="c", field=Field(name="tags", type="string", length=20, list=True)),
]

_SIGNS = [
    "0",
    "1",
    "9",
    "12",
    "2024",
    "-",
    ".",
    "+",
    "e",
    "E",
    "_",
    "０",
    ",",
    "/",
    "|",
    " ",
    "01",
    "02",
    "13",
    "29",
    "31",
    "T",
]
_WORDS = ["true", "TRUE", "是", "否", "水", "养老", "医疗", "张", "a", "100", "0.005", "00:00:00"]
_TRAPS = ["\u3000", "\t", "\x00", "\ufffd", "'", '"']
PIECES = st.sampled_from([*_SIGNS, *_WORDS, *_TRAPS])
NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=True, allow_infinity=True, places=None).map(str),
    st.decimals(min_value=-(10**16), max_value=10**16, places=3).map(str),
    st.floats().map(str),
)
DATES = st.one_of(
    st.dates().map(str), st.dates().map(lambda day: day.strftime("%Y%m%d")), st.dates().map(lambda day: str(day)[:7])
)
TEXTS = st.one_of(st.lists(PIECES, min_size=1, max_size=6).map("".join), NUMBERS, DATES, st.text(max_size=8))


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    opened = duckdb.connect()
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "column", COLUMNS, ids=lambda column: f"{column.field.name}-{column.factor}-{column.round}-{column.format}"
)
@settings(max_examples=25, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=40))
def test_what_the_fast_way_accepts_is_what_the_slow_way_says(column: Column, texts: list[str], connection: Any) -> None:
    connection.register("texts", pa.table({"c": pa.array([t.encode("utf-8", "replace").decode() for t in texts])}))
    rows = connection.execute(
        f"SELECT n, {fast_value(column, 'n')} AS v FROM (SELECT {normalised(column, 't')} AS n FROM "  # noqa: S608
        f"(SELECT {cell('c', ())} AS t FROM texts))"
    ).fetchall()
    for text, fast in rows:
        if text is None or fast is None:
            continue
        assert parse_cell(column, text) == fast, text


@pytest.mark.parametrize(
    ("column", "text"),
    [
        pytest.param(COLUMNS[5], "1_000", id="underscore"),
        pytest.param(COLUMNS[5], "１２", id="wide-digits"),
        pytest.param(COLUMNS[0], "1_0.5", id="underscore-decimal"),
        pytest.param(COLUMNS[0], "Infinity", id="infinite"),
        pytest.param(COLUMNS[1], "1." + "0" * 70 + "9", id="longer-than-any-number"),
        pytest.param(COLUMNS[1], "9" * 5000, id="thousands-of-digits"),
        pytest.param(COLUMNS[3], "1e999999999", id="huge-exponent"),
        pytest.param(COLUMNS[14], "养老||医疗", id="empty-part"),
        pytest.param(COLUMNS[14], "养老|火灾", id="unknown-part"),
        pytest.param(
            Column(column="c", field=Field(name="branch_uscc", type="code", length=18)), "9" * 18, id="identifier"
        ),
    ],
)
def test_the_slow_way_refuses_with_words_that_do_not_hold_the_value(column: Column, text: str) -> None:
    with pytest.raises(CellRefused) as refused:
        parse_cell(column, text)
    assert text not in refused.value.message


@given(
    st.lists(
        st.tuples(st.text(USCC_ALPHABET, min_size=17, max_size=17), st.sampled_from(USCC_ALPHABET), st.booleans()),
        max_size=40,
    )
)
def test_codes_are_valid_by_column_if_and_only_if_one_by_one(bodies: list[tuple[str, str, bool]]) -> None:
    digits = str.maketrans({char: str(place % 10) for place, char in enumerate(USCC_ALPHABET)})
    made = [body[:2] + body[2:8].translate(digits) + body[8:] if tidy else body for body, _, tidy in bodies]
    texts = [
        body + (check_character(body) if tidy else last) for body, (_, last, tidy) in zip(made, bodies, strict=True)
    ]
    column = pa.array([*texts, None, "", "short", "张" * 6, CODES[0], CODES[0] + "0"], pa.string())
    expected = [_is_code(text) for text in column.to_pylist()]
    assert valid_codes(column).tolist() == expected
    assert valid_codes(column.slice(1)).tolist() == expected[1:]
    assert np.count_nonzero(expected) >= 1


def _is_code(text: str | None) -> bool:
    try:
        return text is not None and bool(Uscc.parse(text))
    except UsccInvalid:
        return False
