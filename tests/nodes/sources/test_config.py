"""The declaration of sources: what is misspelt, missing or contradictory is refused with a message that names it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from nodes.sources.config import Source, load_config, parse_sources
from nodes.sources.errors import SourcesInvalid
from tests.nodes.sources.bureau import CATALOGUE, source

ABNORMAL = source(item="tax_abnormal")


def declared(amount: str, since: str = '"since"') -> str:
    return source(more=f'[source.fields]\nmonths = "months"\nsince = {since}\namount = {amount}')


def on_server(place: str, kind: str = "postgresql") -> str:
    return f'[[source]]\nname = "p"\ntype = "{kind}"\nitem_id = "hf_arrears"\n{place}\n'


def parse(text: str) -> tuple[Source, ...]:
    return parse_sources(text, Path("somewhere"), CATALOGUE)


WRONG = [
    pytest.param("[[source]\n", "cannot be used", id="no-toml"),
    pytest.param("[[sources]]\n", "`sources`", id="misspelt-table"),
    pytest.param(source(more="encodign = 'gbk'"), "`encodign`", id="misspelt-key"),
    pytest.param(source(kind="xls"), "'xls'", id="unknown-type"),
    pytest.param(source(name="Fund 1"), "`$.source[0].name`", id="name-of-another-form"),
    pytest.param(source() + source(), "'fund' twice", id="name-twice"),
    pytest.param(source(item="hf_arears"), "'hf_arears'", id="unknown-item"),
    pytest.param(source(item="pboc_report"), "mode X", id="item-not-exchanged"),
    pytest.param(source(more='[source.fields]\nmonth = "m"'), "no field month;", id="misspelt-field"),
    pytest.param(source(more='[source.fields]\nmonths = "m"'), "not mapped: amount, since", id="field-forgotten"),
    pytest.param(declared('{ colum = "a" }'), "`colum`", id="misspelt-mapping"),
    pytest.param(source(more='absent = ["sinse"]'), "no field sinse", id="misspelt-absent"),
    pytest.param(source(more='key = ["sinse"]'), "no field sinse", id="misspelt-key-field"),
    pytest.param(source(more='absent = ["since"]\nkey = ["since"]'), "key is not mapped", id="key-absent"),
    pytest.param(declared('"amount"').replace("[source.f", 'absent = ["since"]\n[source.f'), "both", id="both"),
    pytest.param(declared('{ column = "a", unit = "万美元" }'), "unit '万美元'", id="unit-of-another-kind"),
    pytest.param(declared('{ column = "a", unit = "万", scale = "2" }'), "not both", id="unit-and-scale"),
    pytest.param(declared('{ column = "a", scale = "0" }'), "no positive decimal", id="scale-zero"),
    pytest.param(declared('{ column = "a", scale = "-1" }'), "no positive decimal", id="scale-negative"),
    pytest.param(declared('{ column = "a", scale = "NaN" }'), "no positive decimal", id="scale-nan"),
    pytest.param(declared('{ column = "a", scale = "1e9" }'), "no positive decimal", id="scale-huge"),
    pytest.param(declared('{ column = "a", scale = "ten" }'), "no positive decimal", id="scale-word"),
    pytest.param(declared('{ column = "a", format = "%Y" }'), "has no format", id="format-of-a-number"),
    pytest.param(declared('"a"', '{ column = "s", format = "%Y" }'), "whole month", id="format-without-month"),
    pytest.param(declared('"a"', '{ column = "s", unit = "元" }'), "only to a number", id="unit-of-a-month"),
    pytest.param(declared('"a"', '{ column = "s", round = true }'), "cannot be rounded", id="month-rounded"),
    pytest.param(source(more='table = "t"'), "csv has no table", id="csv-with-table"),
    pytest.param(source(kind="sqlite"), "one of table and query", id="sqlite-without-table"),
    pytest.param(source(more='url = "x"'), "neither url", id="csv-with-url"),
    pytest.param(on_server('table = "t"'), "one of url and url_file", id="server-without-url"),
    pytest.param(on_server('url = "u"\nurl_file = "f"\ntable = "t"'), "one of url", id="two-urls"),
    pytest.param(on_server('url = "u"\ntable = "t"\nquery = "q"'), "table and query", id="table-and-query"),
    pytest.param(source("a", more='key = ["since"]') + source("b"), "different keys", id="keys-differ"),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_a_wrong_declaration_is_refused_and_names_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(SourcesInvalid) as refused:
        parse(text)
    assert words in refused.value.message
    assert refused.value.code == "SOURCES_INVALID"


def test_without_a_mapping_columns_are_named_like_the_fields() -> None:
    (one,) = parse(ABNORMAL)
    assert [(each.field.name, each.column) for each in one.columns] == [
        (name, name) for name in ("identified", "released", "authority")
    ]
    assert one.path == Path("somewhere") / "fund.csv"


def test_a_field_that_may_be_empty_need_not_be_mapped_and_a_required_one_can_be_declared_absent() -> None:
    (one,) = parse(source(item="tax_abnormal", more='absent = ["authority"]\n[source.fields]\nidentified = "认定日期"'))
    assert [(each.field.name, each.column) for each in one.columns] == [("identified", "认定日期")]


UNITS = [("万", "10000"), ("万元", "10000"), ("亿元", "100000000"), ("分", "0.01"), ("元", "1")]


@pytest.mark.parametrize(("unit", "factor"), UNITS)
def test_a_unit_of_money_has_its_exact_factor(unit: str, factor: str) -> None:
    (one,) = parse(declared(f'{{ column = "a", unit = "{unit}" }}'))
    assert {each.field.name: each.factor for each in one.columns}["amount"] == Decimal(factor)


def test_how_data_is_collected_follows_from_the_type_unless_it_is_stated() -> None:
    assert parse(source())[0].collect_method == "file"
    assert parse(on_server('url = "u"\ntable = "t"'))[0].collect_method == "api"
    assert parse(source(more='collect_method = "manual"'))[0].collect_method == "manual"


def test_a_node_without_the_file_has_no_sources(tmp_path: Path) -> None:
    assert load_config(tmp_path / "sources.toml", CATALOGUE) == ()


def test_a_declaration_that_is_no_utf8_is_refused_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "sources.toml"
    path.write_bytes(source(path="公积金.csv").encode("gbk"))
    with pytest.raises(SourcesInvalid, match="UTF-8") as refused:
        load_config(path, CATALOGUE)
    assert str(path) in refused.value.message
