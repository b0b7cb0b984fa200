"""The selection: for every subject of a book exactly what the decision says one by one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from consent.book import ConsentBook, ConsentRow, Status
from consent.catalogue import load_catalogue
from consent.decision import (
    ConsentView,
    Counts,
    Freshness,
    ItemUse,
    Permit,
    Reason,
    Terms,
    UseRequest,
    decide,
    no_counts,
)
from consent.documents import ItemMode, ItemScope, Purpose
from consent.rules import load_rules
from consent.selection import SelectedSubject, SelectedSubjects, Selection, select_subjects
from tests.consent import strategies
from tests.consent.builders import BANK, DAY, NOW, PROVIDER, record_id

CATALOGUE, RULES = load_catalogue(), load_rules()
ITEM = "tax_payment_summary"
TERMS = Terms(
    provider=PROVIDER,
    data_users=(BANK,),
    purpose=Purpose.PRE_LOAN,
    separate_consent=False,
    scope=(ItemScope(item_id=ITEM, mode=ItemMode.Q), ItemScope(item_id="tax_registration", mode=ItemMode.Q)),
    fetch="periodic",
    frequency=None,
    max_uses=None,
    data_life_days=30,
)


def book_of(consents: list[ConsentView]) -> ConsentBook:
    """Put consents into a book, in their order."""
    book = ConsentBook(PROVIDER)
    add(book, consents)
    return book


def add(book: ConsentBook, consents: list[ConsentView]) -> None:
    """Put further ones into it, or other versions of those that it has."""
    book.load(
        ConsentRow(
            record_id=each.record_id,
            uscc=each.uscc,
            terms=each.terms,
            record_version=1,
            payload_sm3=bytes(32),
            valid_from_ms=each.valid_from_ms,
            valid_to_ms=each.valid_to_ms,
            status=Status.ACTIVE if each.revoked_ms is None else Status.WITHDRAWN,
            revoked_ms=each.revoked_ms,
            log_index=index,
        )
        for index, each in enumerate(consents)
    )


def select(book: ConsentBook, request: UseRequest, freshness: Freshness, counts: Counts = no_counts) -> Selection:
    return select_subjects(
        book,
        requester=request.requester,
        provider=request.provider,
        purpose=request.purpose,
        items=request.items,
        at_ms=request.at_ms,
        freshness=freshness,
        catalogue=CATALOGUE,
        rules=RULES,
        counts=counts,
    )


def one_by_one(
    book: ConsentBook, request: UseRequest, freshness: Freshness, counts: Counts = no_counts
) -> tuple[list[SelectedSubject], Counter[Reason]]:
    """What the selection has to equal: the permitted in the order of their first consent, and the refusals."""
    permitted: list[SelectedSubject] = []
    refused: Counter[Reason] = Counter()
    for uscc in dict.fromkeys(book.subjects):
        outcome = decide(replace(request, subject=uscc), book.consents_of(uscc), freshness, CATALOGUE, RULES, counts)
        if isinstance(outcome, Permit):
            permitted.append(SelectedSubject(uscc, outcome.spends, outcome.delete_by_ms))
        else:
            refused[outcome.reason] += 1
    return permitted, refused


@st.composite
def books(draw: st.DrawFn) -> list[ConsentView]:
    """Draw consents of a few subjects with a few terms, so that many subjects have several."""
    shared = tuple(draw(st.lists(strategies.terms, min_size=1, max_size=3)))
    count = draw(st.integers(0, 14))
    drawn = [draw(strategies.consents(number, signed=True, shared=shared)) for number in range(count)]
    subjects = draw(st.lists(st.sampled_from([f"subject-{n}" for n in range(8)]), min_size=count, max_size=count))
    return [replace(each, uscc=uscc) for each, uscc in zip(drawn, subjects, strict=True)]


@settings(max_examples=300)
@given(consents=books(), request=strategies.requests, freshness=strategies.freshness, spent=strategies.spent)
def test_the_selection_is_the_decision_one_by_one(
    consents: list[ConsentView], request: UseRequest, freshness: Freshness, spent: strategies.Counted
) -> None:
    book = book_of(consents)
    permitted, refused = one_by_one(book, request, freshness, spent)
    selection = select(book, request, freshness, spent)
    event(f"{min(len(permitted), 3)} permitted")
    assert list(selection.subjects) == permitted
    assert selection.refused == refused


def request_for(*items: tuple[str, ItemMode]) -> UseRequest:
    return UseRequest(
        subject="",
        requester=BANK,
        provider=PROVIDER,
        purpose=Purpose.PRE_LOAN,
        items=tuple(ItemUse(item_id=item_id, mode=mode) for item_id, mode in items),
        at_ms=NOW,
    )


def view(number: int, uscc: str, **changes: object) -> ConsentView:
    made = ConsentView(
        record_id=record_id(number), uscc=uscc, terms=TERMS, valid_from_ms=NOW - DAY, valid_to_ms=NOW + DAY
    )
    return replace(made, **changes)  # type: ignore[arg-type]


FRESH = Freshness(checkpoint_ms=NOW)
QUERY = request_for((ITEM, ItemMode.Q))
ONLY_REGISTRATION = replace(TERMS, scope=TERMS.scope[1:], data_life_days=3)
ONLY_SUMMARY = replace(TERMS, scope=TERMS.scope[:1])


def test_each_refusal_is_counted_under_its_reason() -> None:
    book = book_of(
        [
            view(1, "a"),
            view(2, "b", revoked_ms=NOW),
            view(3, "c", valid_to_ms=NOW),
            view(4, "d", valid_from_ms=NOW + 1),
            view(5, "e", terms=ONLY_REGISTRATION),
            view(6, "f", revoked_ms=NOW),
            view(7, "f", valid_to_ms=NOW),
        ]
    )
    selection = select(book, QUERY, FRESH)
    assert list(selection.subjects) == [SelectedSubject("a", (record_id(1),), NOW + 30 * DAY)]
    assert selection.refused == {
        Reason.CONSENT_REVOKED: 1,
        Reason.CONSENT_EXPIRED: 2,
        Reason.CONSENT_NOT_YET_VALID: 1,
        Reason.ITEM_NOT_COVERED: 1,
    }


def test_of_several_consents_the_one_that_ends_first_is_charged_in_the_place_of_the_first() -> None:
    book = book_of(
        [view(1, "b", valid_to_ms=NOW + 9 * DAY), view(2, "a"), view(3, "b"), view(4, "c"), view(5, "c"), view(6, "d")]
    )
    assert [(each.uscc, each.record_ids) for each in select(book, QUERY, FRESH).subjects] == [
        ("b", (record_id(3),)),
        ("a", (record_id(2),)),
        ("c", (record_id(4),)),
        ("d", (record_id(6),)),
    ]


def test_a_consent_that_the_rules_end_first_is_charged_before_one_that_ends_itself_later() -> None:
    old = view(1, "a", valid_from_ms=NOW - 180 * DAY + 1, valid_to_ms=NOW + 9 * DAY)
    for consents in ([old, view(2, "a")], [view(2, "a"), old]):
        assert select(book_of(consents), QUERY, FRESH).subjects[0].record_ids == (record_id(1),)
        assert one_by_one(book_of(consents), QUERY, FRESH)[0][0].record_ids == (record_id(1),)


def test_items_from_two_consents_charge_both_and_the_shorter_life_counts() -> None:
    both = request_for((ITEM, ItemMode.Q), ("tax_registration", ItemMode.Q))
    book = book_of(
        [view(1, "a", terms=ONLY_REGISTRATION), view(2, "a", terms=ONLY_SUMMARY), view(3, "b", terms=ONLY_SUMMARY)]
    )
    selection = select(book, both, FRESH)
    assert list(selection.subjects) == [SelectedSubject("a", (record_id(2), record_id(1)), NOW + 3 * DAY)]
    assert selection.refused == {Reason.ITEM_NOT_COVERED: 1}


def test_public_items_alone_select_everybody_and_charge_nobody() -> None:
    book = book_of([view(1, "a", revoked_ms=1), view(2, "b"), view(3, "a")])
    selection = select(book, request_for(("judgments", ItemMode.P)), Freshness(checkpoint_ms=None))
    assert [(each.uscc, each.record_ids) for each in selection.subjects] == [("a", ()), ("b", ())]


@pytest.mark.parametrize(
    ("request_", "freshness", "reason"),
    [
        (request_for(), FRESH, Reason.ITEM_UNKNOWN),
        (request_for(("no_such_item", ItemMode.Q)), FRESH, Reason.ITEM_UNKNOWN),
        (QUERY, Freshness(checkpoint_ms=None), Reason.CONSENT_STALE),
        (QUERY, Freshness(checkpoint_ms=NOW, consistent=False), Reason.LOG_INCONSISTENT),
    ],
)
def test_what_is_wrong_for_all_refuses_each_subject_once(
    request_: UseRequest, freshness: Freshness, reason: Reason
) -> None:
    book = book_of([view(1, "a"), view(2, "b"), view(3, "a")])
    selection = select(book, request_, freshness)
    assert not selection.subjects
    assert selection.refused == {reason: 2}


def test_an_empty_book_selects_nobody() -> None:
    assert select(book_of([]), QUERY, FRESH) == Selection(subjects=SelectedSubjects([], [], []), refused=Counter())


def test_the_book_can_grow_after_a_selection() -> None:
    book = book_of([view(1, "a")])
    kept = select(book, QUERY, FRESH)
    book.load(book_of([view(2, "b")]).stored(each) for each in [record_id(2)])
    assert len(kept.subjects) == 1
    assert len(select(book, QUERY, FRESH).subjects) == 2


def test_the_columns_are_a_sequence() -> None:
    subjects = select(book_of([view(1, "a"), view(2, "b"), view(3, "c")]), QUERY, FRESH).subjects
    assert len(subjects) == 3
    assert subjects[-1].uscc == "c"
    assert [each.uscc for each in subjects[1:]] == ["b", "c"]
    assert sorted(subjects, key=lambda each: each.uscc, reverse=True)[0] == subjects[2]
