"""A snapshot of a book stays as it is, whatever becomes of the book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.columns import ConsentColumns
from consent.decision import ConsentView, Freshness, UseCounts, UseRequest, no_counts
from tests.consent import strategies
from tests.consent.builders import NOW, record_id
from tests.consent.test_selection import FRESH, QUERY, TERMS, add, book_of, books, select, view


def lookups(book: ConsentColumns, consents: Sequence[ConsentView]) -> object:
    """All that a book tells of these consents one by one."""
    subjects = {each.uscc for each in consents}
    return (
        len(book),
        book.subject_count,
        sorted(book.subjects_with_several()),
        {uscc: book.consents_of(uscc) for uscc in subjects},
        {each.record_id: book.view(each.record_id) for each in consents},
        {each.record_id: book.stands(each.record_id, NOW) for each in consents},
    )


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[ConsentView], list[ConsentView]]:
    """Consents, and what comes later: further ones of the same subjects, and other versions of the first."""
    consents = draw(books())
    at = draw(st.integers(0, len(consents)))
    before, later = consents[:at], consents[at:]
    changed = [
        replace(each, record_id=old.record_id, uscc=old.uscc)
        for old, each in zip(before, draw(st.permutations(later)), strict=False)
    ]
    return before, [*later, *changed]


@settings(max_examples=200)
@given(life=lives(), request=strategies.requests, freshness=strategies.freshness)
def test_a_snapshot_decides_as_the_book_did_when_it_was_taken(
    life: tuple[list[ConsentView], list[ConsentView]], request: UseRequest, freshness: Freshness
) -> None:
    before, later = life
    book = book_of(before)
    snapshot = book.snapshot()
    told, chosen = lookups(book, [*before, *later]), select(book, request, freshness)
    add(book, later)
    assert lookups(snapshot, [*before, *later]) == told
    found = select(snapshot, request, freshness)
    assert (list(found.subjects), found.refused) == (list(chosen.subjects), chosen.refused)
    whole = book_of([*before, *later])
    assert lookups(book, [*before, *later]) == lookups(whole, [*before, *later])


def test_a_book_grows_while_another_thread_decides_from_a_snapshot_and_cannot_while_one_decides_from_it() -> None:
    """As seen in the middle of a decision, where a thread may be stopped: numpy reads the columns then."""
    limited = replace(TERMS, max_uses=3)
    book = book_of([view(number, f"subject-{number}", terms=limited) for number in range(3)])
    more = iter(range(3, 100))

    def growing(record: str, window: int | None) -> UseCounts:
        number = next(more)
        add(book, [view(number, f"subject-{number % 4}", terms=limited, revoked_ms=NOW), view(0, "subject-0")])
        return no_counts(record, window)

    found = select(book.snapshot(), QUERY, FRESH, growing)
    assert [each.record_ids for each in found.subjects] == [(record_id(number),) for number in range(3)]
    assert len(book) > 3
    with pytest.raises(BufferError):
        select(book, QUERY, FRESH, growing)
