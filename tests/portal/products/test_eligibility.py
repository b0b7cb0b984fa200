from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.enterprise_size import EnterpriseSize
from portal.facts.facts import Facts
from portal.products.eligibility import (
    Answer,
    FoundedFor,
    IndustryAmong,
    IndustryOutside,
    Measured,
    RegionAmong,
    Rule,
    SizeAmong,
    evaluate,
    months_between,
    overall,
)
from portal.web.i18n import translate

TODAY = date(2026, 11, 30)
FIRM = Facts(
    region="110108",
    industry="I651",
    founded=date(2024, 11, 30),
    employees=42,
    revenue_wan=Decimal("860.5"),
    assets_wan=Decimal(300),
    version=1,
)

CASES: list[tuple[Rule, Answer, Answer]] = [
    (FoundedFor(months=24), Answer.YES, Answer.UNKNOWN),
    (FoundedFor(months=25), Answer.NO, Answer.UNKNOWN),
    (RegionAmong(regions=("110108",)), Answer.YES, Answer.UNKNOWN),
    (RegionAmong(regions=("310000", "110000")), Answer.YES, Answer.UNKNOWN),
    (RegionAmong(regions=("110105",)), Answer.NO, Answer.UNKNOWN),
    (IndustryAmong(industries=("C", "I65")), Answer.YES, Answer.UNKNOWN),
    (IndustryAmong(industries=("I64",)), Answer.NO, Answer.UNKNOWN),
    (IndustryOutside(industries=("K70",)), Answer.YES, Answer.UNKNOWN),
    (IndustryOutside(industries=("I",)), Answer.NO, Answer.UNKNOWN),
    (SizeAmong(sizes=(EnterpriseSize.SMALL,)), Answer.YES, Answer.UNKNOWN),
    (SizeAmong(sizes=(EnterpriseSize.MICRO,)), Answer.NO, Answer.UNKNOWN),
    (Measured(measure="employees", at_most=Decimal(42)), Answer.YES, Answer.UNKNOWN),
    (Measured(measure="revenue_wan", at_least=Decimal("860.5")), Answer.YES, Answer.UNKNOWN),
    (Measured(measure="revenue_wan", at_least=Decimal("860.6")), Answer.NO, Answer.UNKNOWN),
    (Measured(measure="assets_wan", at_least=Decimal(1), at_most=Decimal(299)), Answer.NO, Answer.UNKNOWN),
]


@pytest.mark.parametrize(("rule", "answer", "untold"), CASES)
def test_a_rule_is_answered_by_the_facts_and_unknown_without_them(rule: Rule, answer: Answer, untold: Answer) -> None:
    (found,) = evaluate([rule], FIRM, TODAY)
    assert found.answer is answer and found.told is not None
    (found,) = evaluate([rule], Facts(), TODAY)
    assert found.answer is untold and found.told is None


def test_what_was_told_too_roughly_to_decide_is_unknown_and_not_a_no() -> None:
    rough = Facts(region="110000", industry="I")
    rules = (RegionAmong(regions=("110108",)), IndustryAmong(industries=("I65",)), IndustryOutside(industries=("I65",)))
    assert {each.answer for each in evaluate(rules, rough, TODAY)} == {Answer.UNKNOWN}


def test_a_rule_tells_what_it_demands_and_what_was_told_in_both_languages() -> None:
    (found,) = evaluate([RegionAmong(regions=("110108", "310000"))], FIRM, TODAY)
    assert found.told is not None
    assert (translate("en", found.demand), translate("en", found.told)) == (
        "Registered in: Haidian, Beijing, Shanghai",
        "Haidian, Beijing",
    )
    assert translate("zh", found.told) == "北京市海淀区"
    (found,) = evaluate([Measured(measure="revenue_wan", at_least=Decimal(1500))], FIRM, TODAY)
    assert translate("en", found.demand) == "Revenue a year: at least 1,500 × CNY 10,000"


def test_one_no_decides_and_one_unknown_leaves_it_open() -> None:
    yes, no = FoundedFor(months=1), FoundedFor(months=999)
    unknown = Measured(measure="assets_wan", at_least=Decimal(1))
    facts = Facts(founded=date(2020, 1, 1))
    assert overall(evaluate([yes], facts, TODAY)) is Answer.YES
    assert overall(evaluate([], facts, TODAY)) is Answer.YES
    assert overall(evaluate([yes, unknown], facts, TODAY)) is Answer.UNKNOWN
    assert overall(evaluate([unknown, no, yes], facts, TODAY)) is Answer.NO


@given(st.dates(min_value=date(1950, 1, 1), max_value=date(2100, 1, 1)), st.integers(0, 600), st.integers(1, 28))
def test_months_count_from_day_to_day(start: date, months: int, day: int) -> None:
    start = start.replace(day=day)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    end = start.replace(year=year, month=month + 1)
    assert months_between(start, end) == months
    assert months_between(end, start) == -months
