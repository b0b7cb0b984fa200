from __future__ import annotations

from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.catalogue import Field, load_catalogue
from consent.fields import MaskRule
from consent.masking import MASKS, apply_to_record, band, mask, verify_value

CATALOGUE = load_catalogue()


@pytest.mark.parametrize(
    ("rule", "value", "shown"),
    [
        ("name", "张三", "张*"),
        ("name", "欧阳小明", "欧***"),
        ("name", "张", "张*"),
        ("account", "6222020200012345678", "****5678"),
        ("account", "1234567", "****"),
        ("account", 12345678, "****5678"),
        ("address", "北京市海淀区中关村大街1号", "北京市海淀区****"),
        ("address", "北京市", "****"),
        ("digest", "ab" * 32, "****"),
        ("a rule nobody knows", "secret", "****"),
        ("name", None, None),
    ],
)
def test_values_are_shown_as_their_rule_says(rule: str, value: object, shown: str | None) -> None:
    assert mask(rule, value) == shown


def test_every_rule_that_a_catalogue_can_name_exists() -> None:
    assert set(MASKS) == set(get_args(MaskRule))


@given(st.sampled_from(sorted(MASKS)), st.text(min_size=2, max_size=40).filter(lambda text: "*" not in text))
def test_a_mask_always_hides_something(rule: str, text: str) -> None:
    shown = mask(rule, text)
    assert shown is not None
    assert text not in shown
    assert "*" in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-1, "<1"),
        (0, "<1"),
        (1, "1-3"),
        (2, "1-3"),
        (3, "3-6"),
        (Decimal("5.99"), "3-6"),
        (12, ">=12"),
        (10**9, ">=12"),
    ],
)
def test_a_band_includes_its_lower_edge_only(value: int | Decimal, shown: str) -> None:
    assert band((1, 3, 6, 12), value) == shown


def test_edges_are_written_out() -> None:
    assert band((0.01, 1_000_000, 10_000_000), 5_000_000) == "1000000-10000000"
    assert band((0.01, 10), 0) == "<0.01"


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=6, unique=True).map(sorted), st.integers(-2000, 2000))
def test_a_number_lies_within_its_band(edges: list[int], value: int) -> None:
    lower = max((edge for edge in edges if edge <= value), default=None)
    upper = min((edge for edge in edges if edge > value), default=None)
    expected = f"<{upper}" if lower is None else f">={lower}" if upper is None else f"{lower}-{upper}"
    assert band(edges, value) == expected


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        (Field(name="f", type="boolean"), True, True),
        (Field(name="f", type="boolean"), False, False),
        (Field(name="f", type="boolean"), None, None),
        (Field(name="f", type="boolean"), "a text where a yes/no should be", None),
        (Field(name="f", type="integer", bands=(1.0, 5.0)), 4, "1-5"),
        (Field(name="f", type="decimal", precision=18, scale=2, bands=(0.5,)), Decimal("0.49"), "<0.5"),
        (Field(name="f", type="integer"), 4, True),  # no bands: not even the sign is told
        (Field(name="f", type="decimal", precision=18, scale=2, bands=(0.5,)), Decimal("NaN"), True),
        (Field(name="f", type="integer", bands=(1.0,)), "4", True),  # not the field's type: not told
        (Field(name="f", type="enum", values=("水", "电")), "水", "水"),
        (Field(name="f", type="enum", values=("水", "电")), "not of the set", True),
        (Field(name="f", type="string", length=10), "secret", True),
        (Field(name="f", type="date"), None, False),
        (Field(name="f", type="date", nullable=True), None, None),
    ],
)
def test_verification_tells_bands_and_yes_or_no_and_nothing_more(field: Field, value: object, told: object) -> None:
    assert verify_value(field, value) is told or verify_value(field, value) == told
    assert type(verify_value(field, value)) is type(told)


def test_a_verified_record_keeps_its_period_and_loses_its_numbers() -> None:
    item = CATALOGUE.item("si_headcount_trend")
    record = {"period": "2026-03", "headcount": 73, "joined": 2, "left": 0}
    fields = ("period", "headcount", "left")
    assert apply_to_record(item, record, fields, {}, verification=True) == {
        "period": "2026-03",
        "headcount": "50-100",
        "left": "<1",
    }


def test_an_overdue_amount_of_nothing_is_its_own_band() -> None:
    item = CATALOGUE.item("demo_delinquency")
    for amount, shown in ((Decimal("0.00"), "<0.01"), (Decimal("0.01"), "0.01-1000"), (Decimal("999.99"), "0.01-1000")):
        assert apply_to_record(item, {"delinq_amnt": amount}, ("delinq_amnt",), {}, verification=True) == {
            "delinq_amnt": shown
        }


def test_only_permitted_fields_leave_and_masked_ones_are_masked() -> None:
    item = CATALOGUE.item("property_title")
    record = {
        "unit_no": "1101080010012345678901234567",
        "area": Decimal("80.00"),
        "location": "北京市海淀区中关村大街1号",
        "co_owned": False,
    }
    shown = apply_to_record(item, record, ("unit_no", "area"), {"unit_no": "account"}, verification=False)
    assert shown == {"unit_no": "****4567", "area": Decimal("80.00")}
