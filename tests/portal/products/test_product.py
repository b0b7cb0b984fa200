from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from consent.documents import ItemMode, Purpose
from consent.enterprise_size import EnterpriseSize
from portal.products import fields
from portal.products.eligibility import FoundedFor, IndustryOutside, Measured, RegionAmong, SizeAmong
from portal.products.product import Product, RateBasis, RequiredItem, TermUnit, faults
from portal.products.required import by_mode
from portal.products.words import FREQUENCIES, costs, lpr_basis
from portal.web.i18n import translate
from tests.portal.products.offer import ANSWERS, product


def test_what_is_typed_becomes_a_product_that_survives_being_kept() -> None:
    made = product()
    assert faults(made) == {}
    assert msgspec.json.decode(msgspec.json.encode(made), type=Product) == made
    assert (made.amount_max, made.term_unit, made.revolving) == (Decimal(300), TermUnit.M, True)
    assert made.documents == ("营业执照", "法定代表人身份证")
    assert made.eligibility == (
        RegionAmong(regions=("110000",)),
        SizeAmong(sizes=(EnterpriseSize.SMALL, EnterpriseSize.MICRO)),
        FoundedFor(months=24),
        IndustryOutside(industries=("K70", "J")),
        Measured(measure="revenue_wan", at_least=Decimal(100)),
    )


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"product_name": " "}, "product_name"),
    ({"amount_min": Decimal(0)}, "amount_min"),
    ({"amount_max": Decimal(9)}, "amount_max"),
    ({"amount_step": Decimal(301)}, "amount_step"),
    ({"term_min": 0}, "term_min"),
    ({"term_max": 2}, "term_max"),
    ({"term_max": 31, "term_unit": TermUnit.Y}, "term_max"),
    ({"rate_min": Decimal(0), "rate_basis": RateBasis.FIXED, "spread_bp": None}, "rate_min"),
    ({"rate_max": Decimal(37)}, "rate_max"),
    ({"rate_basis": RateBasis.FIXED}, "spread_bp"),
    ({"spread_bp": None}, "spread_bp"),
    ({"spread_bp": 345}, "spread_bp"),
    ({"guarantee_types": ()}, "guarantee_types"),
    ({"repayment_methods": ()}, "repayment_methods"),
    ({"regions": ("999999",)}, "regions"),
    ({"industries": ("C65",)}, "industries"),
    ({"valid_to": date(2025, 12, 31)}, "valid_to"),
    ({"required_items": (RequiredItem(item_id="no_such", mode=ItemMode.Q),)}, "required_items"),
    ({"required_items": (RequiredItem(item_id="pboc_report", mode=ItemMode.X),)}, "required_items"),
    ({"required_items": (RequiredItem(item_id="patents", mode=ItemMode.R),)}, "required_items"),
    ({"required_items": (RequiredItem(item_id="patents", mode=ItemMode.P),) * 2}, "required_items"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_a_product_that_is_not_sound_says_which_field_has_to_change(change: dict[str, Any], field: str) -> None:
    assert list(faults(product(**change))) == [field]


def test_a_form_that_is_not_whole_makes_no_product_and_loses_nothing() -> None:
    typed = {**ANSWERS, "amount_max": "<script>", "revenue_max": "1", "rate_max": ""}
    made, filled = fields.parse(typed, "P1", "bank-a", 1)
    assert made is None and set(filled.faults) == {"amount_max", "rate_max"}
    assert filled.given["amount_max"] == "<script>" and filled.given["revenue_max"] == "1"
    made, filled = fields.parse({**ANSWERS, "revenue_max": "1"}, "P1", "bank-a", 1)
    assert made is None and set(filled.faults) == {"revenue_max"}


def test_every_field_is_asked_for_in_exactly_one_section() -> None:
    names = [each.name for each in fields.FIELDS]
    assert len(names) == len(set(names))
    assert all(each in fields.section_of(each.name).fields for each in fields.FIELDS)
    assert fields.section_of("required_items") is fields.DATA


def test_amounts_go_in_steps_and_terms_are_compared_in_days() -> None:
    made = product(amount_step=Decimal("0.5"))
    assert [made.amount_fits(Decimal(each)) for each in ("10", "10.5", "300", "10.25", "9.5", "301")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert [made.term_fits(*each) for each in ((90, TermUnit.D), (2, TermUnit.Y), (2, TermUnit.M))] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("day", "state", "taken"),
    [
        (date(2026, 1, 1), "published", True),
        (date(2026, 6, 30), "published", True),
        (date(2025, 12, 31), "published", False),
        (date(2026, 7, 1), "published", False),
        (date(2026, 3, 1), "offline", False),
    ],
)
def test_applications_are_taken_from_the_first_day_to_the_last(day: date, state: str, taken: bool) -> None:
    made = product(valid_to=date(2026, 6, 30), publish_state=state)
    assert made.takes_applications(day) is taken


def test_a_rate_on_the_lpr_says_which_lpr_it_reckons_with() -> None:
    made = product()
    assert (made.lpr, made.spread_bp_max) == (Decimal(3), Decimal(135))
    basis = lpr_basis(made)
    assert basis is not None and "3 %, and 45 to 135 basis points" in translate("en", basis)
    assert translate("zh", costs(made)) == "借 10 万元用满一年，利息约 3,450 至 4,350 元。"
    assert lpr_basis(product(rate_basis=RateBasis.FIXED, spread_bp=None)) is None


def test_what_each_mode_tells_the_bank_is_said_beside_the_items_the_least_first() -> None:
    told = [(each.mode, [item.id for item in each.items], each.consent) for each in by_mode(product())]
    assert told == [
        (ItemMode.J, ["payment_flow"], True),
        (ItemMode.V, ["si_headcount_trend"], True),
        (ItemMode.Q, ["tax_payment_summary"], True),
        (ItemMode.P, ["registration_basic"], False),
    ]
    assert all(translate(language, each.learns) for each in by_mode(product()) for language in ("zh", "en"))


def test_every_item_that_can_be_wanted_says_in_words_how_often_it_is_updated() -> None:
    assert {item.frequency for _, items in fields.classes() for item, _ in items} <= set(FREQUENCIES)


def test_a_consent_for_an_item_is_for_the_purpose_that_allows_its_mode() -> None:
    purposes = {each.mode: each.purpose for each in product().required_items}
    assert purposes[ItemMode.Q] is purposes[ItemMode.V] is Purpose.PRE_LOAN
    assert purposes[ItemMode.J] is Purpose.SCORING
