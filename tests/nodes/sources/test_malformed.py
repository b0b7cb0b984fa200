"""Lines that are no rows: left out and told at their place; no value ever stands in another column."""

from __future__ import annotations

import sqlite3

import pytest

from nodes.sources import readers
from tests.nodes.sources.bureau import CODES, HEADER, ITEM, Bureau, line, source

MALFORMED = [
    pytest.param(f"{CODES[0]},3\n", "fewer cells", id="too-few-cells"),
    pytest.param(f"{CODES[0]},3,1,000.00,2024-01\n", "more cells", id="unquoted-delimiter"),
    pytest.param(f'{CODES[0]},"3"7,1.00,2024-01\n', "quotation mark", id="text-after-quote"),
]


@pytest.mark.parametrize(("bad", "words"), MALFORMED)
def test_a_malformed_line_is_told_and_its_neighbours_stay(bureau: Bureau, bad: str, words: str) -> None:
    report = bureau.load_rows(HEADER + line(1) + bad + line(2) + line(3, "x"))
    assert (report.rows, report.accepted, report.by_rule) == (4, 2, {"row": 1, "integer": 1})
    row, cell = report.examples
    assert (row.row, cell.row) == (2, 4)
    assert words in row.message
    assert CODES[0] not in row.shown
    assert bureau.subjects() == [CODES[1], CODES[2]]


def test_a_quotation_mark_that_is_never_closed_loses_the_rest_and_not_what_precedes(bureau: Bureau) -> None:
    report = bureau.load_rows(HEADER + line(1) + f'{CODES[0]},"3,1.00,2024-01\n' + line(2))
    assert report.by_rule == {"row": 1}
    assert bureau.subjects() == [CODES[1]]


def test_a_quoted_line_break_is_part_of_a_cell(bureau: Bureau) -> None:
    header = "uscc,account_masked,period,volume,billed,paid\n"
    report = bureau.load(
        source(item="gas_usage"), {"fund.csv": header + f'{CODES[0]},"a,\n""b""",2024-01,1,1,1\n'}
    ).sources[0]
    assert report.by_rule == {}
    assert bureau.set.lookup("gas_usage", CODES[0])[0]["account_masked"] == 'a,\n"b"'


def test_places_are_right_over_several_files(bureau: Bureau) -> None:
    files: dict[str, str | bytes] = {
        "part1.csv": HEADER + line(0) + "x\n",
        "part2.csv": HEADER + "y\n" + line(1) + line(2, "x"),
    }
    report = bureau.load(source(path="part*.csv"), files).sources[0]
    assert [(each.row, each.rule.value) for each in report.examples] == [(2, "row"), (3, "row"), (5, "integer")]


@pytest.mark.parametrize(
    ("content", "more", "words"),
    [
        pytest.param("", "", "first line", id="empty-file"),
        pytest.param("某市欠缴\n" + HEADER + line(0), "", "first line", id="title-before-the-header"),
        pytest.param("uscc,months,months,amount,since\n", "", "months", id="column-twice"),
        pytest.param(HEADER.replace(",", ";") + line(0), "", "delimiter", id="other-delimiter"),
        pytest.param(HEADER + line(0), 'encoding = "klingon"', "klingon", id="unknown-encoding"),
    ],
)
def test_a_file_that_is_another_is_refused_with_words(bureau: Bureau, content: str, more: str, words: str) -> None:
    report = bureau.load_rows(content, more)
    assert report.error_code == "SOURCE_UNREADABLE"
    assert words in report.error


def test_a_source_of_which_no_row_is_good_changes_nothing(bureau: Bureau) -> None:
    bureau.load_rows(HEADER + line(0))
    outcome = bureau.load(source(), {"fund.csv": HEADER + line(1, "x") + line(2, "y")})
    assert not outcome.items[0].switched
    assert "none of the 2 rows" in outcome.items[0].note
    assert bureau.subjects() == [CODES[0]]


def test_a_source_without_rows_is_empty_and_no_fault(bureau: Bureau) -> None:
    bureau.load_rows(HEADER + line(0))
    assert bureau.load(source(), {"fund.csv": HEADER}).items[0].switched
    assert bureau.set.lookup(ITEM, CODES[0]) == []


def test_a_declared_key_admits_one_record_a_source(bureau: Bureau) -> None:
    report = bureau.load_rows(
        HEADER + line(0, 1) + line(0, 2) + line(0, 1) + line(0, 3, since="2024-02"), 'key = ["since"]'
    )
    assert report.by_rule == {"duplicate": 1, "duplicate-key": 1}
    assert [row["months"] for row in bureau.set.lookup(ITEM, CODES[0])] == [1, 3]


def test_sources_with_the_same_rows_agree_however_many_a_period_has(bureau: Bureau) -> None:
    item = "tax_payment_summary"
    rows = "uscc,period,tax_kind,payable,paid,relieved,late_fee\n"
    rows += f"{CODES[0]},2024-01,VAT,1,1,0,0\n{CODES[0]},2024-01,CIT,2,2,0,0\n"
    declared = source("a", item=item, path="a.csv") + source("b", item=item, path="b.csv")
    assert bureau.load(declared, {"a.csv": rows, "b.csv": rows}).items[0].conflicts == 0
    lacking = rows.rsplit("\n", 2)[0] + "\n"
    assert bureau.load(declared, {"a.csv": rows, "b.csv": lacking}).items[0].conflicts == 1


def test_a_database_whose_name_looks_like_an_address_is_the_one_that_is_read(bureau: Bureau) -> None:
    database = sqlite3.connect(bureau.folder / "fund#2?mode=rw.db")
    database.execute("CREATE TABLE arrears (uscc, months, amount, since)")
    database.execute("INSERT INTO arrears VALUES (?, 1, 1, '2024-01')", (CODES[0],))
    database.commit()
    database.close()
    report = bureau.load(source(kind="sqlite", path="fund#2?mode=rw.db", more='table = "arrears"'), {}).sources[0]
    assert (report.accepted, report.error) == (1, "")
    assert not (bureau.folder / "fund").exists()


def test_a_file_of_which_most_is_no_row_is_not_counted_wrong_but_refused(
    bureau: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    bureau.load_rows(HEADER + line(4))
    monkeypatch.setattr(readers, "_MALFORMED_LIMIT", 5)
    report = bureau.load_rows(HEADER + line(0) + f"{CODES[1]},3\n" * 20)
    assert report.error_code == "SOURCE_UNREADABLE"
    assert "delimiter" in report.error
    assert bureau.subjects() == [CODES[4]]
