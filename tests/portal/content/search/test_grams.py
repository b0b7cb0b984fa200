from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.content.search.grams import MOST_WEIGHT, TITLE_COUNTS, highlight, terms, weights


def shown(text: str, query: str, longest: int = 60) -> str:
    return "".join(f"[{each.text}]" if each.hit else each.text for each in highlight(text, terms(query), longest))


@pytest.mark.parametrize(
    ("query", "grams"),
    [
        ("税", [{"税"}]),
        ("贷款", [{"贷款"}]),
        ("小微企业", [{"小微", "微企", "企业"}]),
        ("LPR 利率", [{"lpr"}, {"利率"}]),
        ("ＬＰＲ利率", [{"lpr"}, {"利率"}]),
        ("撤回，撤回", [{"撤回"}]),
        ("  !?  ", []),
    ],
)
def test_a_query_is_cut_into_pairs_and_words(query: str, grams: list[set[str]]) -> None:
    assert terms(query) == [frozenset(each) for each in grams]


def test_a_text_weighs_by_how_often_and_its_title_more() -> None:
    found = weights("贷款", "贷款 LPR " + "税 " * 400)
    assert found["贷款"] == 1 + TITLE_COUNTS and found["贷"] == 1 + TITLE_COUNTS
    assert found["lpr"] == 1 and found["税"] == MOST_WEIGHT


def test_what_was_looked_for_is_marked_whole_and_nothing_else_is() -> None:
    assert shown("办理小微企业贷款。", "小微企业") == "办理[小微企业]贷款。"
    assert shown("LPR利率，LPRX", "lpr") == "[LPR]利率，LPRX"
    assert shown("税款与税", "税") == "[税]款与[税]"


def test_the_stretch_is_where_most_of_the_query_stands() -> None:
    text = "贷款。" + "无关的话" * 60 + "贷款的利率与期限" + "其他的话" * 60
    found = shown(text, "贷款 利率", 40)
    assert "[贷款]的[利率]" in found and found.startswith("…") and found.endswith("…")


@settings(deadline=None)
@given(st.text("贷款利率税LPR a，。<\n", max_size=80), st.text("贷款利率税LPR ", max_size=8), st.integers(1, 90))
def test_pieces_are_the_text_itself(text: str, query: str, longest: int) -> None:
    pieces = highlight(text, terms(query), longest)
    whole = "".join(piece.text for piece in pieces).removeprefix("…").removesuffix("…")
    assert whole in text and len(whole) <= longest
