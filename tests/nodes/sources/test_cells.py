"""Cells that are nearly right: each is told by its rule, without its value, and the good rows stay."""

from __future__ import annotations

import sqlite3

import pytest

from tests.nodes.sources.bureau import CODES, Bureau, source

ABNORMAL = ("tax_abnormal", "identified,released,authority", "2024-02-28,,x")
ARREARS = ("utility_arrears", "kind,times_12m,amount,stopped", "水,1,1.00,是")

CELLS = [
    pytest.param(ABNORMAL, "2024-02-30,,x", "date", "9999-99-99", id="day-that-does-not-exist"),
    pytest.param(ABNORMAL, "31/12/2024,,x", "date", "99/99/9999", id="day-first"),
    pytest.param(ABNORMAL, "20240228,,x", "date", "99999999", id="no-separators"),
    pytest.param(ABNORMAL, "2024-2-8,,x", "date", "9999-9-9", id="one-digit"),
    pytest.param(ABNORMAL, "2024-02-28 13:00:00,,x", "date", "9999-99-99 99:99:99", id="a-time-of-day"),
    pytest.param(ABNORMAL, "2024-02-28,,局" + "长" * 200, "string", "文" * 40 + "… (201 characters)", id="too-long"),
    pytest.param(ABNORMAL, "2024-02-28,,张\x07三", "encoding", "文·文", id="bell"),
    pytest.param(ABNORMAL, "2024-02-28,,", "missing", "", id="required-text"),
    pytest.param(ARREARS, "煤,1,1.00,是", "enum", "文", id="enum-outside"),
    pytest.param(ARREARS, "水,1,1.00,也许", "boolean", "文文", id="neither-yes-nor-no"),
    pytest.param(ARREARS, "水,1.5,1.00,是", "integer", "9.9", id="integer-with-decimals"),
    pytest.param(ARREARS, "水,1e3,1.00,是", "integer", "9a9", id="integer-with-exponent"),
    pytest.param(ARREARS, "水,1,1.234,是", "decimal", "9.999", id="too-exact"),
    pytest.param(ARREARS, '水,1,"12,5",是', "decimal", "99,9", id="comma"),
    pytest.param(ARREARS, "水,1,￥5,是", "decimal", "￥9", id="currency-sign"),
    pytest.param(ARREARS, "水,1,-Infinity,是", "decimal", "-Aaaaaaaa", id="infinite"),
    pytest.param(ARREARS, "水,1,1e400,是", "decimal", "9a999", id="huge"),
]


@pytest.mark.parametrize(("item", "cells", "rule", "shown"), CELLS)
def test_a_bad_cell_is_told_by_its_rule_and_form(
    bureau: Bureau, item: tuple[str, str, str], cells: str, rule: str, shown: str
) -> None:
    name, header, good = item
    rows = f"uscc,{header}\n{CODES[0]},{good}\n{CODES[1]},{cells}\n{CODES[2]},{good}\n"
    report = bureau.load(source(item=name), {"fund.csv": rows}).sources[0]
    assert (report.rows, report.accepted, report.by_rule) == (3, 2, {rule: 1})
    (example,) = report.examples
    assert (example.row, example.rule.value, example.shown) == (2, rule, shown)
    assert example.message
    assert not shown or cells.rsplit(",,", maxsplit=1)[-1] not in example.message
    assert bureau.subjects(name) == [CODES[0], CODES[2]]


@pytest.mark.parametrize("code", [CODES[1].lower(), CODES[1][:-1], CODES[1][:-1] + "8", CODES[1] + "0"])
def test_a_code_that_is_nearly_one_is_told_by_form_only(bureau: Bureau, code: str) -> None:
    name, header, good = ABNORMAL
    rows = f"uscc,{header}\n{CODES[0]},{good}\n{code},{good}\n"
    report = bureau.load(source(item=name), {"fund.csv": rows}).sources[0]
    assert (report.accepted, report.by_rule) == (1, {"subject": 1})
    assert code not in report.examples[0].message
    assert report.examples[0].shown == "".join("9" if c.isdigit() else "A" if c.isupper() else "a" for c in code)


def test_text_of_a_database_that_is_no_utf8_is_told_without_the_text(bureau: Bureau) -> None:
    database = sqlite3.connect(bureau.folder / "fund.db")
    database.execute("CREATE TABLE t (uscc, identified, released, authority)")
    for code, authority in zip(CODES, (b"secret name \xff\xfe", b"plain"), strict=False):
        database.execute("INSERT INTO t VALUES (?, '2024-02-28', NULL, CAST(? AS TEXT))", (code, authority))
    database.commit()
    database.close()
    report = bureau.load(source(item="tax_abnormal", kind="sqlite", path="fund.db", more='table = "t"'), {}).sources[0]
    assert "secret" not in report.error
    assert (report.accepted, report.by_rule) == (1, {"encoding": 1})
