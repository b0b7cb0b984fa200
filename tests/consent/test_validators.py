from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.enterprise_size import EnterpriseSize, SizeRow, load_size_table, parse_size_table
from consent.errors import CatalogueInvalid, IdentifierInvalid, ValueInvalid
from consent.validators import SECTIONS, Industry, parse_industry, parse_mobile, parse_phone, parse_region

TABLE = load_size_table()


@pytest.mark.parametrize("text", ["13800138000", "+86 138-0013-8000", "+8613800138000", " 138 0013 8000 "])
def test_a_mobile_number_is_reduced_to_its_digits(text: str) -> None:
    assert parse_mobile(text) == "13800138000"
    assert parse_phone(text) == "13800138000"


@pytest.mark.parametrize("text", ["010-12345678", "01012345678", "0755-1234567", "0755-12345678-801"])
def test_a_landline_stays_as_written(text: str) -> None:
    assert parse_phone(text) == text
    with pytest.raises(IdentifierInvalid):
        parse_mobile(text)


@pytest.mark.parametrize(
    "text", ["", "12800138000", "1380013800", "138001380000", "12345678", "010-123456", "1380013800a", "１3800138000"]
)
def test_other_texts_are_no_telephone_numbers_and_are_not_repeated(text: str) -> None:
    with pytest.raises(IdentifierInvalid) as caught:
        parse_phone(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("code", ["110000", "110302", "110103", "310115", "820000"])
def test_region_codes_are_accepted_also_abolished_ones(code: str) -> None:
    assert parse_region(code) == code


@pytest.mark.parametrize("code", ["", "11010", "1101010", "100000", "160000", "11010a", "990000", "１10000"])
def test_other_texts_are_no_region_codes(code: str) -> None:
    with pytest.raises(IdentifierInvalid, match="Correct it"):
        parse_region(code)


@pytest.mark.parametrize(
    ("text", "section", "digits"),
    [
        ("C", "C", ""),
        ("C39", "C", "39"),
        ("3921", "C", "3921"),
        ("C3921", "C", "3921"),
        ("01", "A", "01"),
        ("T97", "T", "97"),
    ],
)
def test_industry_codes_are_parsed(text: str, section: str, digits: str) -> None:
    assert parse_industry(text) == Industry(section, digits)


@pytest.mark.parametrize("text", ["", "U", "C3", "C39211", "c39", "00", "98", "A06", "C12", "S97", "39C", "3９"])
def test_contradictory_and_malformed_industry_codes_are_refused(text: str) -> None:
    with pytest.raises(IdentifierInvalid, match=r"industry code|Industry code"):
        parse_industry(text)


@pytest.mark.parametrize(("letter", "bounds"), SECTIONS.items())
def test_each_section_owns_exactly_its_divisions(letter: str, bounds: tuple[int, int]) -> None:
    for division in range(1, 98):
        if bounds[0] <= division <= bounds[1]:
            assert parse_industry(f"{letter}{division:02}").division == f"{division:02}"
        else:
            with pytest.raises(IdentifierInvalid):
                parse_industry(f"{letter}{division:02}")


# Written again by hand, not read from the data file: (industry, large, medium, small) with X persons, Y revenue, Z assets (CNY 10,000).
BOUNDS = [
    ("A01", "Y20000", "Y500", "Y50"),
    ("A05", "Y20000", "Y500", "Y50"),
    ("B06", "X1000 Y40000", "X300 Y2000", "X20 Y300"),
    ("C3921", "X1000 Y40000", "X300 Y2000", "X20 Y300"),
    ("D46", "X1000 Y40000", "X300 Y2000", "X20 Y300"),
    ("E47", "Y80000 Z80000", "Y6000 Z5000", "Y300 Z300"),
    ("F51", "X200 Y40000", "X20 Y5000", "X5 Y1000"),
    ("F52", "X300 Y20000", "X50 Y500", "X10 Y100"),
    ("G54", "X1000 Y30000", "X300 Y3000", "X20 Y200"),
    ("G591", "X1000 Y30000", "X300 Y3000", "X20 Y200"),
    ("G592", "X200 Y30000", "X100 Y1000", "X20 Y100"),
    ("G599", "X200 Y30000", "X100 Y1000", "X20 Y100"),
    ("G60", "X1000 Y30000", "X300 Y2000", "X20 Y100"),
    ("H61", "X300 Y10000", "X100 Y2000", "X10 Y100"),
    ("H62", "X300 Y10000", "X100 Y2000", "X10 Y100"),
    ("I63", "X2000 Y100000", "X100 Y1000", "X10 Y100"),
    ("I64", "X2000 Y100000", "X100 Y1000", "X10 Y100"),
    ("I65", "X300 Y10000", "X100 Y1000", "X10 Y50"),
    ("K701", "Y200000 Z10000", "Y1000 Z5000", "Y100 Z2000"),
    ("K702", "X1000 Y5000", "X300 Y1000", "X100 Y500"),
    ("K703", "X300", "X100", "X10"),
    ("L71", "X300 Z120000", "X100 Z8000", "X10 Z100"),
    ("M73", "X300", "X100", "X10"),
    ("Q85", "X300", "X100", "X10"),
    ("R90", "X300", "X100", "X10"),
]
NAMES = {"X": "persons", "Y": "revenue_wan", "Z": "assets_wan"}


def _measures(text: str) -> dict[str, int]:
    return {NAMES[part[0]]: int(part[1:]) for part in text.split()}


def _size(industry: str, measures: dict[str, int]) -> EnterpriseSize:
    return TABLE.classify(
        parse_industry(industry),
        persons=measures.get("persons"),
        revenue_wan=measures.get("revenue_wan"),
        assets_wan=measures.get("assets_wan"),
    )


@pytest.mark.parametrize(("industry", "large", "medium", "small"), BOUNDS)
def test_a_class_begins_exactly_at_its_bounds_and_one_short_measure_steps_down(
    industry: str, large: str, medium: str, small: str
) -> None:
    sizes = [EnterpriseSize.LARGE, EnterpriseSize.MEDIUM, EnterpriseSize.SMALL, EnterpriseSize.MICRO]
    for place, text in enumerate((large, medium, small)):
        bounds = _measures(text)
        assert _size(industry, bounds) is sizes[place]
        for name in bounds:
            assert _size(industry, bounds | {name: bounds[name] - 1}) is sizes[place + 1]


def test_one_measure_far_below_steps_down_several_classes() -> None:
    assert _size("C39", {"persons": 5000, "revenue_wan": 299}) is EnterpriseSize.MICRO
    assert _size("C39", {"persons": 20, "revenue_wan": 100_000}) is EnterpriseSize.SMALL


def test_revenue_is_compared_exactly() -> None:
    for revenue, size in (("1999.999999", EnterpriseSize.SMALL), ("2000.000000", EnterpriseSize.MEDIUM)):
        assert TABLE.classify(parse_industry("C39"), persons=300, revenue_wan=Decimal(revenue)) is size


@pytest.mark.parametrize("industry", ["G53", "J66", "J", "P83", "Q84", "S91", "T97", "K705"])
def test_industries_without_a_row_are_unclassified(industry: str) -> None:
    assert _size(industry, {"persons": 10_000}) is EnterpriseSize.UNCLASSIFIED


def test_a_section_letter_is_enough_where_the_whole_section_has_one_row() -> None:
    assert _size("C", {"persons": 20, "revenue_wan": 300}) is EnterpriseSize.SMALL


@pytest.mark.parametrize("industry", ["K70", "G59", "K", "G", "F", "I", "Q"])
def test_an_industry_too_coarse_to_tell_is_an_error(industry: str) -> None:
    with pytest.raises(ValueInvalid, match="three digits"):
        _size(industry, {"persons": 1, "revenue_wan": 1, "assets_wan": 1})


def test_a_missing_measure_is_an_error_and_not_a_micro_enterprise() -> None:
    with pytest.raises(ValueInvalid, match="revenue"):
        _size("C39", {"persons": 2000})


@given(st.sampled_from([case[0] for case in BOUNDS]), *[st.integers(0, 250_000)] * 3, st.integers(0, 100_000))
def test_a_growing_enterprise_never_falls_into_a_smaller_class(
    industry: str, persons: int, revenue: int, assets: int, more: int
) -> None:
    order = [EnterpriseSize.MICRO, EnterpriseSize.SMALL, EnterpriseSize.MEDIUM, EnterpriseSize.LARGE]
    before = _size(industry, {"persons": persons, "revenue_wan": revenue, "assets_wan": assets})
    after = _size(industry, {"persons": persons + more, "revenue_wan": revenue + more, "assets_wan": assets + more})
    assert order.index(after) >= order.index(before)


ROW = """
version = "1"
provenance = "test"
[[industry]]
id = "one"
name = "一"
codes = ["01"]
large = { persons = 30 }
medium = { persons = 20 }
small = { persons = 10 }
"""


def test_the_smallest_table_is_accepted() -> None:
    assert [row.id for row in parse_size_table(ROW).rows.values()] == ["one"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('codes = ["01"]', 'codes = ["01", "01"]', "Code 01"),
        ('codes = ["01"]', 'codes = ["1"]', "codes"),
        ('codes = ["01"]', "codes = []", "codes"),
        ("medium = { persons = 20 }", "medium = { persons = 30 }", "medium of row one"),
        ("medium = { persons = 20 }", "medium = { revenue = 20 }", "same measures"),
        ("medium = { persons = 20 }", "medium = { staff = 20 }", "staff"),
        ("small = { persons = 10 }", "small = { persons = 0 }", "small"),
        ("small = { persons = 10 }", "", "small"),
        ('name = "一"', 'name = "一"\nsurplus = 1', "surplus"),
        ('version = "1"', "version = ", "line 2"),
    ],
)
def test_a_bad_size_table_is_refused_with_the_place(before: str, after: str, said: str) -> None:
    assert before in ROW
    with pytest.raises(CatalogueInvalid, match=said):
        parse_size_table(ROW.replace(before, after))


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(CatalogueInvalid, match="2011"):
        load_size_table("1999")


def test_every_row_bounds_the_same_measures_in_all_classes() -> None:
    rows: list[SizeRow] = list(TABLE.rows.values())
    assert len(rows) == 15
    assert all(set(row.large) == set(row.medium) == set(row.small) for row in rows)
