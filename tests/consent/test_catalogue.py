from __future__ import annotations

from collections import Counter
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.catalogue import UPDATE_DAYS, Field, load_catalogue, parse_catalogue, parse_value
from consent.documents import ItemMode
from consent.errors import CatalogueInvalid, ConsentError, ItemUnknown, ValueInvalid
from consent.rules import load_rules

CATALOGUE = load_catalogue()


def test_the_catalogue_says_that_it_is_a_reconstruction_and_what_is_original() -> None:
    assert CATALOGUE.provenance == "reconstructed"
    own = {each.id: each.provenance for each in CATALOGUE.classes}
    assert own.pop("L") == "demonstration, ours"
    assert set(own) == set("ABCDEFGHIJK")
    assert all("items reconstructed" in text for text in own.values())


def test_every_class_has_the_items_of_the_dictionary() -> None:
    counted = Counter(item.class_id for item in CATALOGUE.items.values())
    assert counted == {"A": 10, "B": 8, "C": 9, "D": 3, "E": 4, "F": 6, "G": 5, "H": 11, "I": 9, "J": 6, "K": 4, "L": 4}


@pytest.mark.parametrize(
    ("item_id", "level", "modes"),
    [
        ("registration_basic", 1, "P"),
        ("judgments", 2, "PQ"),
        ("tax_payment_summary", 3, "QJ"),
        ("tax_declaration", 3, "JV"),
        ("invoice_summary", 3, "J"),
        ("property_verify", 2, "V"),
        ("self_financials", 3, "R"),
        ("payment_flow", 4, "J"),
        ("pboc_report", 4, "X"),
        ("utility_arrears", 2, "VQ"),
        ("demo_application", 2, "QRJ"),
        ("demo_delinquency", 3, "QRVJ"),
        ("demo_accounts", 3, "QRJ"),
        ("demo_overdue_private", 4, "QJ"),
    ],
)
def test_items_have_the_level_and_the_modes_of_the_dictionary(item_id: str, level: int, modes: str) -> None:
    item = CATALOGUE.item(item_id)
    assert (item.level, "".join(item.modes)) == (level, modes)


def test_only_items_of_mode_x_are_not_provided() -> None:
    assert [item.id for item in CATALOGUE.items.values() if not item.provided] == ["pboc_report"]


def test_an_unknown_item_is_refused_or_not_found() -> None:
    assert CATALOGUE.find("nothing") is None
    with pytest.raises(ItemUnknown, match="nothing"):
        CATALOGUE.item("nothing")


def test_the_catalogue_cannot_be_changed_by_who_holds_it() -> None:
    with pytest.raises(TypeError):
        CATALOGUE.items["extra"] = CATALOGUE.item("patents")  # type: ignore[index]


def test_no_field_of_a_person_stands_in_the_catalogue_in_the_clear() -> None:
    forbidden = {"id_number", "id_card", "phone", "mobile", "passport"}
    for item in CATALOGUE.items.values():
        assert not forbidden & set(item.by_name), item.id
        for field in item.fields:
            if field.name.startswith("id_") or field.name.endswith("_masked"):
                assert field.mask is not None, f"{item.id}.{field.name}"


def test_every_number_of_an_item_that_may_be_verified_has_bands() -> None:
    verified = [item for item in CATALOGUE.items.values() if ItemMode.V in item.modes]
    assert {item.id for item in verified} >= {"hf_arrears", "si_arrears", "utility_arrears", "demo_delinquency"}
    assert all(field.bands for item in verified for field in item.fields if field.numeric)


def test_masking_follows_the_level_and_the_digest_of_an_identity_number_is_always_masked() -> None:
    rules = load_rules()
    title = CATALOGUE.item("property_title")
    assert title.masking(("area", "unit_no", "location"), rules) == (("unit_no", "account"), ("location", "address"))
    shareholders = CATALOGUE.item("shareholders")
    assert shareholders.level == 1
    assert shareholders.masking(("name", "id_digest"), rules) == (("id_digest", "digest"),)


def test_the_period_field_is_the_one_that_a_range_bounds() -> None:
    expected = {"tax_payment_summary": "period", "annual_report": "year", "patents": None}
    assert {item_id: CATALOGUE.item(item_id).period_field for item_id in expected} == expected


def test_every_frequency_tells_when_data_is_stale_except_on_request() -> None:
    assert CATALOGUE.item("registration_basic").update_days == 1
    assert CATALOGUE.item("tax_credit_rating").update_days == 366
    on_request = {item.frequency for item in CATALOGUE.items.values() if item.update_days is None}
    assert on_request == {"on request", "per application", "-"}
    assert set(UPDATE_DAYS) <= {item.frequency for item in CATALOGUE.items.values()}


@pytest.mark.parametrize(
    ("place", "arrow"),
    [
        ("registration_basic.ent_name", "string"),
        ("registration_basic.registered_capital", "decimal128(18,6)"),
        ("registration_basic.established", "date32"),
        ("judgment_debtor.amount", "decimal128(18,2)"),
        ("shareholders.ratio", "decimal128(7,4)"),
        ("annual_report.employees", "int64"),
        ("key_personnel.is_legal_rep", "bool"),
        ("si_registration.kinds", "list<string>"),
        ("tax_payment_summary.period", "string"),
    ],
)
def test_fields_name_their_arrow_type(place: str, arrow: str) -> None:
    item_id, name = place.split(".")
    assert CATALOGUE.item(item_id).by_name[name].arrow_type == arrow


SMALL = """
version = "1"
provenance = "test"
standard = "test"
[[class]]
id = "A"
name = "甲"
name_en = "first"
provenance = "test"
[[item]]
id = "thing"
class = "A"
name = "物"
name_en = "thing"
level = 2
modes = ["Q", "V"]
frequency = "daily"
fields = [
  { name = "title", type = "string", length = 10, mask = "name" },
  { name = "count", type = "integer", minimum = 0, maximum = 9, bands = [1, 5] },
  { name = "sum", type = "decimal", precision = 18, scale = 2, bands = [0.5] },
  { name = "kind", type = "enum", values = ["a", "b"] },
]
"""
SECOND_CLASS = '[[class]]\nid = "A"\nname = "乙"\nname_en = "second"\nprovenance = "test"\n[[item]]'


def test_the_small_catalogue_is_accepted() -> None:
    assert list(parse_catalogue(SMALL).items) == ["thing"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("level = 2", "level = ", "line 15"),
        ("level = 2", "level = 5", "thing.*level"),
        ("level = 2", 'level = "2"', "thing.*level"),
        ("level = 2\n", "", "thing.*level"),
        ("level = 2", "level = 2\nsurplus = 1", "thing.*surplus"),
        ("version", "versoin", "versoin|version"),
        ('id = "thing"', 'id = "Thing"', "Thing.*id"),
        ('id = "thing"\n', "", r"Item 1 .*without an id"),
        ('class = "A"', 'class = "B"', "thing names class 'B'"),
        ("[[item]]", SECOND_CLASS, "class twice"),
        ('modes = ["Q", "V"]', "modes = []", "thing.*modes"),
        ('modes = ["Q", "V"]', 'modes = ["Z"]', "thing.*modes"),
        ('modes = ["Q", "V"]', 'modes = ["Q", "Q"]', "thing names a mode twice"),
        ('modes = ["Q", "V"]', 'modes = ["Q", "X"]', "thing is not provided"),
        ('level = 2\nmodes = ["Q", "V"]', 'level = 3\nmodes = ["P"]', "thing of level 3 cannot be public"),
        ('"daily"', '"sometimes"', "thing.*frequency"),
        ('name = "title"', 'name = "count"', "thing names a field twice"),
        ('type = "string"', 'type = "text"', r"thing.*fields\[0\]\.type"),
        (", length = 10", "", "thing.title of type string lacks length"),
        (", length = 10", ", length = 0", r"thing.*fields\[0\]\.length"),
        (", scale = 2", "", "thing.sum of type decimal lacks scale"),
        (", scale = 2", ", scale = 19", "thing.sum.*more decimals than digits"),
        ("precision = 18", "precision = 39", r"thing.*fields\[2\]\.precision"),
        ('values = ["a", "b"]', "values = []", "thing.kind of type enum lacks values"),
        ('values = ["a", "b"]', 'values = ["a", "a"]', "thing.kind.*names a value twice"),
        ("minimum = 0", "minimum = 10", "thing.count.*minimum above its maximum"),
        ("minimum = 0", "length = 3", "thing.count of type integer cannot have length"),
        ("minimum = 0", "list = true", "thing.count.*cannot be a list"),
        ('mask = "name"', 'mask = "none"', r"thing.*fields\[0\]\.mask"),
        ("bands = [0.5]", 'mask = "name", bands = [0.5]', "thing.sum.*cannot be masked"),
        ('mask = "name"', "bands = [1]", "thing.title.*cannot have bands"),
        ("bands = [1, 5]", "bands = [5, 1]", "thing.count.*ascend"),
        (", bands = [1, 5]", "", "thing.count.*needs bands"),
    ],
)
def test_a_bad_catalogue_is_refused_with_the_line_or_the_item(before: str, after: str, said: str) -> None:
    assert before in SMALL
    with pytest.raises(CatalogueInvalid, match=said):
        parse_catalogue(SMALL.replace(before, after, 1))


def test_an_item_that_stands_twice_is_refused() -> None:
    with pytest.raises(CatalogueInvalid, match="thing stands in the catalogue twice"):
        parse_catalogue(SMALL + SMALL[SMALL.index("[[item]]") :])


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(CatalogueInvalid, match=r"2026\.1"):
        load_catalogue("1999.1")


TEXT = Field(name="text", type="string", length=4)
CODE = Field(name="code", type="code", length=3)
CHOICE = Field(name="choice", type="enum", values=("存续", "注销"))
WHOLE = Field(name="whole", type="integer")
BOUND = Field(name="bound", type="integer", minimum=1, maximum=45)
YUAN = Field(name="yuan", type="decimal", precision=18, scale=2)
WIDE = Field(name="wide", type="decimal", precision=38, scale=6)
RATIO = Field(name="ratio", type="decimal", precision=9, scale=4, minimum=5, maximum=12)
FLAG = Field(name="flag", type="boolean")
DAY = Field(name="day", type="date")
MONTH = Field(name="month", type="month")
MANY = Field(name="many", type="enum", values=("养老", "医疗"), list=True)
MAYBE = Field(name="maybe", type="date", nullable=True)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        (TEXT, "一二三四", "一二三四"),
        (CODE, "CNY", "CNY"),
        (CHOICE, "存续", "存续"),
        (WHOLE, "-12", -12),
        (WHOLE, str(2**63 - 1), 2**63 - 1),
        (WHOLE, str(-(2**63)), -(2**63)),
        (BOUND, "45", 45),
        (YUAN, "12.5", Decimal("12.50")),
        (YUAN, "12.5000", Decimal("12.50")),
        (YUAN, "-0", Decimal("0.00")),
        (YUAN, ".5", Decimal("0.50")),
        (YUAN, "1e+05", Decimal("100000.00")),
        (YUAN, "9999999999999999.99", Decimal("9999999999999999.99")),
        (WIDE, "12345678901234567890123456789012.345678", Decimal("12345678901234567890123456789012.345678")),
        (RATIO, "12", Decimal("12.0000")),
        (FLAG, "是", True),
        (FLAG, "TRUE", True),
        (FLAG, "0", False),
        (DAY, "2024-02-29", date(2024, 2, 29)),
        (MONTH, "2026-12", "2026-12"),
        (MANY, "养老| 医疗", ["养老", "医疗"]),
        (MANY, "", []),
        (MAYBE, "", None),
    ],
)
def test_a_fitting_text_becomes_a_typed_value(field: Field, text: str, value: object) -> None:
    parsed = parse_value(field, text)
    assert parsed == value
    assert type(parsed) is type(value)
    if isinstance(value, Decimal):
        assert str(parsed) == str(value)


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        (TEXT, "一二三四五", "5 characters, more than 4"),
        (TEXT, "", "empty"),
        (TEXT, "a\x00b", "control character"),
        (CODE, "CN", "2 characters, not 3"),
        (CHOICE, "死亡", "none of 存续, 注销"),
        (WHOLE, "1.0", "whole number"),
        (WHOLE, "1_000", "whole number"),
        (WHOLE, " 1", "whole number"),
        (WHOLE, "１", "whole number"),
        (WHOLE, "9" * 5000, "whole number"),
        (WHOLE, str(2**63), "64 bits"),
        (WHOLE, str(-(2**63) - 1), "64 bits"),
        (BOUND, "0", "less than 1"),
        (BOUND, "46", "more than 45"),
        (YUAN, "1.234", "more than 2 decimals"),
        (YUAN, "1e-3", "more than 2 decimals"),
        (YUAN, "10000000000000000", "more than 16 digits"),
        (YUAN, "1e16", "more than 16 digits"),
        (YUAN, "1e99", "more than 16 digits"),
        (YUAN, "1e100", "decimal number"),
        (YUAN, "1,000", "decimal number"),
        (YUAN, "NaN", "decimal number"),
        (YUAN, "Infinity", "decimal number"),
        (YUAN, "1_0", "decimal number"),
        (YUAN, ".", "decimal number"),
        (YUAN, "1" * 61, "decimal number"),
        (RATIO, "4.9999", "less than 5"),
        (RATIO, "12.0001", "more than 12"),
        (FLAG, "yes", "neither true nor false"),
        (DAY, "2023-02-29", "day of the calendar"),
        (DAY, "2026-W01-1", "ISO date"),
        (DAY, "20260101", "ISO date"),
        (DAY, "2026-01-01T00", "ISO date"),
        (DAY, "2026-01-01\n", "ISO date"),
        (MONTH, "2026-13", "month"),
        (MONTH, "2026-1", "month"),
        (MONTH, "0000-01", "month"),
        (MANY, "养老|死亡", "none of 养老, 医疗"),
        (MANY, "养老||医疗", "empty element"),
    ],
)
def test_other_texts_are_refused_with_the_reason(field: Field, text: str, said: str) -> None:
    with pytest.raises(ValueInvalid, match=said) as caught:
        parse_value(field, text)
    assert len(str(caught.value)) < 100
    assert isinstance(caught.value, ConsentError)


@given(st.decimals(min_value=-(10**16) + 1, max_value=10**16 - 1, places=2))
def test_an_amount_survives_its_text(amount: Decimal) -> None:
    assert parse_value(YUAN, str(amount)) == amount


@given(
    st.sampled_from([TEXT, CODE, CHOICE, WHOLE, BOUND, YUAN, RATIO, FLAG, DAY, MONTH, MANY, MAYBE]),
    st.text(max_size=30),
)
def test_any_text_ends_in_a_value_or_in_our_error(field: Field, text: str) -> None:
    try:
        parse_value(field, text)
    except ValueInvalid as error:
        assert str(error)
