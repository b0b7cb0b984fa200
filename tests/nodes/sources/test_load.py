"""Loading: the good rows are kept, the others counted by rule, told by form and never by value."""

from __future__ import annotations

import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from nodes.sources.errors import ItemNotLoaded
from nodes.sources.report import EXAMPLES_LIMIT
from tests.nodes.sources.bureau import CODES, HEADER, ITEM, Bureau, line, source

FUND = "hf_contribution"
FUND_HEADER = "uscc,period,headcount,base_total,ratio,amount,paid_to\n"


def test_good_rows_are_kept_and_found_by_subject_in_their_types(bureau: Bureau) -> None:
    report = bureau.load_rows(HEADER + line(0) + line(1, 3) + line(1, 2))
    assert (report.rows, report.accepted, report.rejected) == (3, 3, 0)
    assert bureau.set.lookup(ITEM, CODES[0]) == [{"months": 1, "amount": Decimal("12.50"), "since": "2024-01"}]
    assert [row["months"] for row in bureau.set.lookup(ITEM, CODES[1])] == [2, 3]
    assert bureau.set.lookup(ITEM, CODES[2]) == []


BAD_ROWS = [
    pytest.param("91110000Y00000017N,1,1,2024-01\n", "subject", "check character", id="check-character"),
    pytest.param("91110000Y0000001,1,1,2024-01\n", "subject", "16 characters", id="short-code"),
    pytest.param("91110000I00000016N,1,1,2024-01\n", "subject", "never occur", id="letter-i"),
    pytest.param(",1,1,2024-01\n", "subject", "requires", id="no-subject"),
    pytest.param(line(0, "many"), "integer", "whole number", id="word-for-number"),
    pytest.param(line(0, "1.5"), "integer", "whole number", id="fraction"),
    pytest.param(line(0, "9" * 30), "integer", "19 digits", id="too-large"),
    pytest.param(line(0, amount="12,50").replace("12,50", '"12,50"'), "decimal", "decimal number", id="comma"),
    pytest.param(line(0, amount="1.234"), "decimal", "2 decimals", id="too-exact"),
    pytest.param(line(0, amount="NaN"), "decimal", "", id="not-a-number"),
    pytest.param(line(0, amount="1e400"), "decimal", "decimal number", id="huge"),
    pytest.param(line(0, amount="9" * 17), "decimal", "16 digits", id="too-many-digits"),
    pytest.param(line(0, since="2024-13"), "month", "YYYY-MM", id="month-13"),
    pytest.param(line(0, since="2024/01"), "month", "YYYY-MM", id="slash"),
    pytest.param(line(0, since="0000-01"), "month", "YYYY-MM", id="year-0"),
    pytest.param(line(0, months=""), "missing", "requires", id="empty"),
    pytest.param(line(0, since="2024\x0001"), "encoding", "control", id="control-character"),
]


@pytest.mark.parametrize(("bad", "rule", "words"), BAD_ROWS)
def test_a_row_that_breaks_a_rule_is_named_and_the_others_stay(bureau: Bureau, bad: str, rule: str, words: str) -> None:
    report = bureau.load_rows(HEADER + line(1) + bad + line(2))
    assert (report.rows, report.accepted, report.rejected) == (3, 2, 1), report
    (example,) = report.examples
    assert (example.row, example.rule.value) == (2, rule)
    assert words in example.message
    assert bureau.subjects() == [CODES[1], CODES[2]]


def test_examples_show_the_form_of_a_value_and_never_the_value(bureau: Bureau) -> None:
    report = bureau.load_rows(HEADER + line(1) + line(0, since="2024/13/45") + line(0, months="张三Li7"))
    assert [example.shown for example in report.examples] == ["9999/99/99", "文文Aa9"]


def test_a_date_that_does_not_exist_is_rejected_and_a_leap_day_is_not(bureau: Bureau) -> None:
    item = "tax_abnormal"
    rows = (
        f"uscc,identified,released,authority\n{CODES[0]},2023-02-29,2024-01-01,x\n{CODES[1]},2024-02-29,2024-03-01,x\n"
    )
    report = bureau.load(source(item=item), {"fund.csv": rows}).sources[0]
    assert report.by_rule == {"date": 1}
    assert bureau.subjects(item) == [CODES[1]]


def test_bounds_of_the_catalogue_hold(bureau: Bureau) -> None:
    rows = "".join(
        f"{CODES[place]},2024-01,5,100.00,{ratio},10.00,2024-01\n" for place, ratio in enumerate((4.99, 5, 12, 12.01))
    )
    report = bureau.load(source(item=FUND), {"fund.csv": FUND_HEADER + rows}).sources[0]
    assert report.by_rule == {"decimal": 2}
    assert bureau.subjects(FUND) == sorted([CODES[1], CODES[2]], key=CODES.index)


def test_counts_go_on_where_the_examples_end(bureau: Bureau) -> None:
    report = bureau.load_rows(HEADER + line(0) + line(1, "x") * (EXAMPLES_LIMIT + 500))
    assert report.by_rule == {"integer": EXAMPLES_LIMIT + 500}
    assert len(report.examples) == EXAMPLES_LIMIT


def test_the_place_of_a_bad_row_is_right_in_a_large_file(bureau: Bureau) -> None:
    report = bureau.load_rows(HEADER + "".join(line(n % 4, n) for n in range(150_000)) + line(4, "x") + line(4))
    assert [example.row for example in report.examples] == [150_001]
    assert report.accepted == 150_001


ENCODINGS = [
    pytest.param("utf-8", "auto", id="utf8"),
    pytest.param("utf-8-sig", "auto", id="byte-order-mark"),
    pytest.param("utf-8-sig", "utf-8", id="byte-order-mark-declared"),
    pytest.param("gbk", "auto", id="gbk-found"),
    pytest.param("gbk", "gbk", id="gbk-declared"),
    pytest.param("gb18030", "gb18030", id="gb18030"),
]


@pytest.mark.parametrize(("written", "declared"), ENCODINGS)
def test_every_usual_encoding_gives_the_same_text(bureau: Bureau, written: str, declared: str) -> None:
    rows = f"统一代码,kind,times_12m,amount,stopped\n{CODES[0]},水,1,1.00,是\n"
    more = (
        f'subject = "统一代码"\nencoding = "{declared}"\n[source.fields]\nkind = "kind"\ntimes_12m = "times_12m"\n'
        'amount = "amount"\nstopped = "stopped"'
    )
    bureau.load(source(item="utility_arrears", more=more), {"fund.csv": rows.encode(written)})
    assert bureau.set.lookup("utility_arrears", CODES[0]) == [
        {"kind": "水", "times_12m": 1, "amount": Decimal("1.00"), "stopped": True}
    ]


def test_a_cell_of_broken_bytes_is_rejected_and_the_file_is_not(bureau: Bureau) -> None:
    header = "uscc,account_masked,period,volume,billed,paid\n"
    rows = [f"{code},户{n},2024-01,1,1,1\n".encode() for n, code in enumerate(CODES[:3])]
    rows[1] = rows[1].replace("户".encode(), b"\xff\xfe")
    report = bureau.load(source(item="gas_usage"), {"fund.csv": header.encode() + b"".join(rows)}).sources[0]
    assert (report.by_rule, report.accepted) == ({"encoding": 1}, 2)


def test_a_gbk_file_that_is_declared_utf8_loses_its_chinese_rows_only(bureau: Bureau) -> None:
    header = "uscc,account_masked,period,volume,billed,paid\n"
    rows = f"{CODES[0]},账户,2024-01,1,1,1\n{CODES[1]},plain,2024-01,1,1,1\n".encode("gbk")
    report = bureau.load(
        source(item="gas_usage", more='encoding = "utf-8"'), {"fund.csv": header.encode() + rows}
    ).sources[0]
    assert (report.by_rule, report.accepted) == ({"encoding": 1}, 1)
    assert "encoding" in report.examples[0].message


def test_units_are_converted_exactly_and_digits_are_cut_only_where_allowed(bureau: Bureau) -> None:
    def load(more: str, amount: str) -> tuple[Any, dict[str, int]]:
        mapping = f'[source.fields]\nmonths = "months"\nsince = "since"\namount = {{ column = "amount", {more} }}'
        report = bureau.load_rows(HEADER + line(0, amount=amount) + line(1, amount="1"), mapping)
        found = bureau.set.lookup(ITEM, CODES[0])
        return (found[0]["amount"] if found else None), report.by_rule

    assert load('unit = "万元"', "1.2345") == (Decimal("12345.00"), {})
    assert load('unit = "万元"', "1.2345678") == (None, {"decimal": 1})
    assert load('unit = "万元", round = true', "1.2345675") == (Decimal("12345.68"), {})
    assert load('scale = "0.01"', "250") == (Decimal("2.50"), {})
    assert load('unit = "千元"', "-0.5") == (Decimal("-500.00"), {})


def test_a_declared_format_reads_dates_of_another_form(bureau: Bureau) -> None:
    mapping = '[source.fields]\nmonths = "months"\namount = "amount"\nsince = { column = "since", format = "%Y%m" }'
    report = bureau.load_rows(HEADER + line(0, since="202402") + line(1, since="202413"), mapping)
    assert bureau.set.lookup(ITEM, CODES[0])[0]["since"] == "2024-02"
    assert report.by_rule == {"month": 1}


def test_a_code_with_another_check_character_passes_only_after_a_review(bureau: Bureau) -> None:
    pilot = "91350211M00013FA1N"
    rows = HEADER + f"{pilot},1,1,2024-01\n" + line(0)
    assert bureau.load_rows(rows).by_rule == {"subject": 1}
    assert bureau.load_rows(rows, f'reviewed_codes = ["{pilot}"]').by_rule == {}
    assert len(bureau.set.lookup(ITEM, pilot)) == 1


def test_blanks_and_lower_case_around_a_code_do_not_hide_a_subject(bureau: Bureau) -> None:
    report = bureau.load_rows(HEADER + f" \u3000{CODES[0]} ,1,1,2024-01\n")
    assert report.accepted == 1
    assert bureau.subjects() == [CODES[0]]


def test_a_row_that_stands_twice_is_kept_once(bureau: Bureau) -> None:
    report = bureau.load_rows(HEADER + line(0) + line(0) + line(0, 2))
    assert (report.accepted, report.rejected, report.by_rule) == (2, 1, {"duplicate": 1})


def test_sources_that_disagree_about_a_period_are_a_conflict_and_both_rows_stay(bureau: Bureau) -> None:
    rows = FUND_HEADER + f"{CODES[0]},2024-01,5,100.00,5,10.00,2024-01\n{CODES[1]},2024-01,5,100.00,5,10.00,2024-01\n"
    declared = source("a", item=FUND, path="a.csv") + source("b", item=FUND, path="b.csv")
    outcome = bureau.load(
        declared, {"a.csv": rows, "b.csv": rows.replace(f"{CODES[0]},2024-01,5,", f"{CODES[0]},2024-01,6,")}
    )
    (item,) = outcome.items
    assert (item.conflicts, item.rows) == (1, 3)
    (conflict,) = item.conflict_examples
    assert (conflict.key, conflict.sources) == ("2024-01", ("a", "b"))
    assert CODES[0] not in conflict.subject
    listed = Path(item.conflicts_file)
    assert listed.read_text().splitlines() == ["subject,period,sources", f"{CODES[0]},2024-01,a b"]
    assert listed.stat().st_mode & 0o077 == 0
    agreed = bureau.load(declared, {"a.csv": rows, "b.csv": rows}).items[0]
    assert (agreed.conflicts, agreed.conflicts_file, listed.exists()) == (0, "", False)
    bureau.load(declared, {"b.csv": rows.replace(f"{CODES[0]},2024-01,5,", f"{CODES[0]},2024-01,6,")})
    assert [row["headcount"] for row in bureau.set.lookup(FUND, CODES[0])] == [5, 6]


UNREADABLE = [
    pytest.param({}, "", "fund.csv", id="no-file"),
    pytest.param({"fund.csv": "uscc,months,amount\n" + line(0)}, "", "since", id="no-column"),
]


@pytest.mark.parametrize(("files", "more", "words"), UNREADABLE)
def test_a_source_that_cannot_be_read_leaves_its_item_as_it_was(
    bureau: Bureau, files: dict[str, str | bytes], more: str, words: str
) -> None:
    bureau.load(source(path="first.csv"), {"first.csv": HEADER + line(3)})
    outcome = bureau.load(source(more=more), files)
    assert outcome.sources[0].error_code == "SOURCE_UNREADABLE"
    assert words in outcome.sources[0].error
    assert not outcome.items[0].switched
    assert bureau.subjects() == [CODES[3]]


def test_no_data_is_another_thing_than_no_record(bureau: Bureau) -> None:
    with pytest.raises(ItemNotLoaded, match=ITEM):
        bureau.set.lookup(ITEM, CODES[0])


def test_sqlite_is_read_and_never_written(bureau: Bureau) -> None:
    path = bureau.folder / "fund.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE arrears (uscc TEXT, months INTEGER, amount REAL, since TEXT)")
        database.executemany(
            "INSERT INTO arrears VALUES (?, ?, ?, ?)", [(CODES[0], 2, 12.5, "2024-01"), (CODES[1], None, 1, "x")]
        )
    database.close()
    before = path.read_bytes()
    report = bureau.load(source(kind="sqlite", path="fund.db", more='table = "arrears"'), {}).sources[0]
    assert (report.accepted, report.by_rule) == (1, {"missing": 1, "month": 1})
    assert bureau.set.lookup(ITEM, CODES[0]) == [{"months": 2, "amount": Decimal("12.50"), "since": "2024-01"}]
    assert path.read_bytes() == before


def test_parquet_of_typed_columns_is_judged_by_the_same_rules(bureau: Bureau) -> None:
    rows = f"SELECT '{CODES[0]}' AS uscc, 3.0::DOUBLE AS months, 12.5::DOUBLE AS amount, '2024-01' AS since"
    bad = f"SELECT '{CODES[1]}', 3.5::DOUBLE, 12.5::DOUBLE, '2024-01'"
    duckdb.sql(f"COPY ({rows} UNION ALL {bad}) TO '{bureau.folder / 'fund.parquet'}'")
    report = bureau.load(source(kind="parquet", path="fund.parquet"), {}).sources[0]
    assert (report.accepted, report.by_rule) == (1, {"integer": 1})
    assert bureau.set.lookup(ITEM, CODES[0])[0]["months"] == 3


def test_a_server_that_is_away_is_told_without_its_password(bureau: Bureau) -> None:
    declared = (
        '[[source]]\nname = "p"\ntype = "postgresql"\nitem_id = "hf_arrears"\ntable = "t"\n'
        'url = "postgresql://reader:hunter2@127.0.0.1:1/fund"\n'
    )
    report = bureau.load(declared, {}).sources[0]
    assert report.error_code == "SOURCE_UNREADABLE"
    assert "hunter2" not in report.error
