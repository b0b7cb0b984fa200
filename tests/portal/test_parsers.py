from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from portal.facts.fields import FACTS
from portal.forms import Wrong, fill
from portal.parsers import day, decimal, edition, industry, lines, one_of, optional, region, several, whole
from portal.products.product import Guarantee

WAN = decimal(0, 1000, places=2)
GOOD: list[tuple[Callable[[str], Any], str, Any]] = [
    (WAN, "12.50", Decimal("12.50")),
    (WAN, "１，０００", Decimal(1000)),
    (WAN, "1,0 00", Decimal(1000)),
    (whole(-5, 5), "-5", -5),
    (day, "2024-02-29", date(2024, 2, 29)),
    (one_of(Guarantee), "credit", Guarantee.CREDIT),
    (several(one_of(Guarantee)), "pledge,credit,pledge", (Guarantee.PLEDGE, Guarantee.CREDIT)),
    (several(region), "", ()),
    (region, "110302", "110302"),
    (industry, "651", "I651"),
    (industry, "c39", "C39"),
    (lines(2, 5), " a \r\n\n b ", ("a", "b")),
    (optional(whole(1, 9)), "", None),
]
BAD: list[tuple[Callable[[str], Any], str]] = [
    *((WAN, text) for text in ("", "x", "1e3", "nan", "-1", "1000.01", "1.234", "²", "1" * 40, "<b>1</b>", "1;DROP")),
    *((whole(1, 9), text) for text in ("", "0", "10", "1.0", "٣" * 20, "one")),
    *((day, text) for text in ("", "2023-02-29", "30.11.2026", "20261130", "2026-1-1", "0000-00-00")),
    *((one_of(Guarantee), text) for text in ("", "Credit", "'; --")),
    (several(one_of(Guarantee)), "credit,free"),
    *((region, text) for text in ("", "999999", "11010", "11010８", "北京")),
    *((industry, text) for text in ("", "Z", "C65", "98", "I651234")),
    (lines(2, 5), "a\nb\nc"),
    (lines(2, 5), "abcdef"),
]


@pytest.mark.parametrize(("parse", "text", "value"), GOOD)
def test_what_people_type_is_read(parse: Callable[[str], Any], text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(("parse", "text"), BAD)
def test_what_makes_no_sense_is_refused_with_a_sentence(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(Wrong) as wrong:
        parse(text)
    assert str(wrong.value)


def test_an_edition_that_makes_no_sense_is_older_than_all() -> None:
    assert edition({"edition": "7"}) == 7
    assert {edition({"edition": text}) for text in ("", "x", "-1", "٣", "9" * 10)} == {-1}


def test_facts_may_be_left_out_but_not_be_nonsense() -> None:
    nothing = fill(FACTS, {})
    assert nothing.faults == {} and set(nothing.values.values()) == {"", None}
    wrong = {
        "region": "000000",
        "industry": "I",
        "founded": "1899-12-31",
        "employees": "1.5",
        "revenue_wan": "-1",
        "assets_wan": "viel",
    }
    assert set(fill(FACTS, wrong).faults) == set(wrong)
