"""The index: whatever was published, changed and taken away, it is what an index made anew of what is left would be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, select

from portal.content.search import index
from portal.content.search.grams import of_kind, terms
from portal.content.search.index import BLOCK, Change, Postings
from portal.content.search.ranking import rank

NUMBERS = st.sampled_from([0, 1, 2, BLOCK - 1, BLOCK, 3 * BLOCK + 7])
WEIGHED = st.dictionaries(st.sampled_from(["贷款", "税", "lpr", "利率"]), st.integers(1, 255), max_size=3)


def rows(connection: Connection) -> list[tuple[str, int, bytes]]:
    grams = index.grams.c
    found = connection.execute(select(grams.gram, grams.block, grams.entries).order_by(grams.gram, grams.block))
    return [(gram, block, bytes(entries)) for gram, block, entries in found]


@settings(deadline=None)
@given(st.lists(st.lists(st.tuples(NUMBERS, WEIGHED), max_size=4), max_size=5))
def test_after_any_changes_it_is_what_one_made_anew_would_be(steps: list[list[tuple[int, dict[str, int]]]]) -> None:
    engine = create_engine("sqlite://")
    index.grams.create(engine)
    texts: dict[int, Mapping[str, int]] = {}
    with engine.connect() as connection:
        for step in steps:
            by_number = dict(step)
            index.apply(
                connection, [Change(number=n, before=texts.get(n, {}), after=after) for n, after in by_number.items()]
            )
            texts |= by_number
        changed = rows(connection)
        connection.execute(index.grams.delete())
        index.apply(connection, [Change(number=n, before={}, after=after) for n, after in texts.items()])
        assert changed == rows(connection)
        postings = index.read(connection, ["贷款", "税", "nowhere"])
    for gram, found in postings.items():
        has = {number: weighed[gram] for number, weighed in texts.items() if gram in weighed}
        assert dict(zip(found.numbers.tolist(), found.weights.tolist(), strict=True)) == has
        assert found.numbers.tolist() == sorted(has)
    assert "nowhere" not in postings


def postings(**of: dict[int, int]) -> dict[str, Postings]:
    return {
        gram: Postings(np.array(sorted(has), np.int64), np.array([has[n] for n in sorted(has)], np.float64))
        for gram, has in of.items()
    }


def test_what_has_more_than_half_of_a_term_answers_and_what_has_all_comes_first() -> None:
    found = postings(小微={1: 1, 2: 1, 3: 9}, 微企={1: 1, 3: 9}, 企业={1: 1, 4: 9})
    assert rank(terms("小微企业"), found).tolist() == [1, 3]


def test_each_term_has_to_be_there() -> None:
    found = postings(贷款={1: 1, 2: 1}, lpr={2: 1, 3: 5})
    assert rank(terms("贷款 lpr"), found).tolist() == [2]


def test_the_rarer_gram_and_the_title_count_more_and_the_newer_of_two_alike_is_first() -> None:
    found = postings(贷款={1: 1, 2: 9, 3: 1})
    assert rank(terms("贷款"), found).tolist() == [2, 3, 1]
    found |= postings(**{of_kind("faq"): {1: 1, 3: 1, 4: 1}})
    assert rank([*terms("贷款"), frozenset({of_kind("faq")})], found).tolist() == [3, 1], "and of one kind only"


def test_no_query_and_an_unknown_word_find_nothing() -> None:
    assert rank(terms(""), {}).size == 0
    assert rank(terms("贷款"), {}).size == 0
    assert rank(terms("贷款 税"), postings(贷款={1: 1})).size == 0
