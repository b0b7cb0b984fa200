"""The decision: one case a reason, the edges of every bound, the obligations, and equality with the slow reference."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from consent.catalogue import load_catalogue
from consent.decision import (
    REASONS,
    ConsentView,
    Denial,
    Freshness,
    ItemUse,
    Permit,
    Reason,
    Terms,
    UseCounts,
    UseRequest,
    decide,
)
from consent.documents import Frequency, ItemMode, ItemScope, Purpose
from consent.rules import load_rules
from tests.consent import strategies
from tests.consent.builders import BANK, DAY, NOW, OTHER_USCC, PROVIDER, USCC, record_id
from tests.consent.reference import Allowed, Refused, judge

CATALOGUE, RULES = load_catalogue(), load_rules()
SUMMARY = "tax_payment_summary"  # level 3, modes Q and J
REPAYMENT = "platform_repayment"  # level 4
RATING = "judgments"  # level 2, modes P and Q
FRESH = Freshness(checkpoint_ms=NOW)

TERMS = Terms(
    provider=PROVIDER,
    data_users=(BANK,),
    purpose=Purpose.PRE_LOAN,
    separate_consent=False,
    scope=(
        ItemScope(item_id=SUMMARY, mode=ItemMode.Q, fields=("period", "paid")),
        ItemScope(item_id=REPAYMENT, mode=ItemMode.Q),
    ),
    fetch="periodic",
    frequency=None,
    max_uses=None,
    data_life_days=30,
)
CONSENT = ConsentView(record_id=record_id(1), uscc=USCC, terms=TERMS, valid_from_ms=NOW - DAY, valid_to_ms=NOW + DAY)
REQUEST = UseRequest(
    subject=USCC,
    requester=BANK,
    provider=PROVIDER,
    purpose=Purpose.PRE_LOAN,
    items=(ItemUse(item_id=SUMMARY, mode=ItemMode.Q),),
    at_ms=NOW,
)


def asking(item_id: str = SUMMARY, mode: ItemMode = ItemMode.Q, *fields: str, **changes: object) -> UseRequest:
    """Return the request for another item."""
    return replace(REQUEST, items=(ItemUse(item_id=item_id, mode=mode, fields=fields),), **changes)  # type: ignore[arg-type]


def given_consent(terms: dict[str, object] | None = None, **changes: object) -> ConsentView:
    """Return the consent with other terms or times."""
    return replace(CONSENT, terms=replace(TERMS, **(terms or {})), **changes)  # type: ignore[arg-type]


def decided(
    request: UseRequest = REQUEST,
    *consents: ConsentView,
    freshness: Freshness = FRESH,
    total: int = 0,
    in_window: int = 0,
) -> Permit | Denial:
    """Decide, with as many uses spent of every consent."""
    counts = UseCounts(total=total, in_window=in_window)
    return decide(request, consents, freshness, CATALOGUE, RULES, lambda record, window: counts)


def test_a_covered_use_is_permitted_with_its_obligations() -> None:
    permit = decided(REQUEST, CONSENT)
    assert isinstance(permit, Permit)
    (grant,) = permit.grants
    assert (grant.item_id, grant.mode, grant.record_id) == (SUMMARY, ItemMode.Q, record_id(1))
    assert grant.fields == ("period", "paid")
    assert permit.spends == (record_id(1),)
    assert permit.delete_by_ms == NOW + 30 * DAY
    assert permit.remaining_uses is None


DAILY = Frequency(count=2, unit="day")
CASES: list[tuple[Reason, UseRequest, tuple[ConsentView, ...], dict[str, object]]] = [
    (Reason.ITEM_UNKNOWN, replace(REQUEST, items=()), (CONSENT,), {}),
    (Reason.ITEM_UNKNOWN, asking("no_such_item"), (CONSENT,), {}),
    (Reason.ITEM_UNKNOWN, asking(SUMMARY, ItemMode.Q, "no_such_field"), (CONSENT,), {}),
    (Reason.ITEM_NOT_PROVIDED, asking("pboc_report"), (CONSENT,), {}),
    (Reason.ITEM_NOT_PROVIDED, asking("pboc_report", ItemMode.X), (CONSENT,), {}),
    (Reason.MODE_NOT_ALLOWED, asking(SUMMARY, ItemMode.P), (CONSENT,), {}),
    (Reason.MODE_NOT_ALLOWED, asking(SUMMARY, ItemMode.R), (CONSENT,), {}),
    (Reason.MODE_NOT_ALLOWED, asking(SUMMARY, ItemMode.X), (CONSENT,), {}),
    (Reason.MODE_NOT_ALLOWED, asking(SUMMARY, ItemMode.J), (CONSENT,), {}),
    (
        Reason.MODE_NOT_ALLOWED,
        asking(SUMMARY, ItemMode.J, purpose=Purpose.SCORING),
        (given_consent({"purpose": Purpose.SCORING}),),
        {},
    ),
    (Reason.LOG_INCONSISTENT, REQUEST, (CONSENT,), {"freshness": Freshness(checkpoint_ms=NOW, consistent=False)}),
    (Reason.LOG_INCONSISTENT, REQUEST, (CONSENT,), {"freshness": Freshness(checkpoint_ms=None, consistent=False)}),
    (Reason.CONSENT_STALE, REQUEST, (CONSENT,), {"freshness": Freshness(checkpoint_ms=None)}),
    (Reason.CONSENT_STALE, REQUEST, (CONSENT,), {"freshness": Freshness(checkpoint_ms=NOW - 60_000)}),
    (Reason.CONSENT_STALE, REQUEST, (CONSENT,), {"freshness": Freshness(checkpoint_ms=NOW + 60_000)}),
    (Reason.CONSENT_STALE, REQUEST, (), {"freshness": Freshness(checkpoint_ms=None)}),
    (Reason.NO_CONSENT, REQUEST, (), {}),
    (Reason.NO_CONSENT, REQUEST, (replace(CONSENT, uscc=OTHER_USCC),), {}),
    (Reason.WRONG_PROVIDER, REQUEST, (given_consent({"provider": "platform"}),), {}),
    (Reason.WRONG_GRANTEE, replace(REQUEST, requester="secondbank"), (CONSENT,), {}),
    (Reason.SIGNATURE_INVALID, REQUEST, (replace(CONSENT, signature_ok=False),), {}),
    (Reason.CONSENT_NOT_YET_VALID, REQUEST, (replace(CONSENT, valid_from_ms=NOW + 1),), {}),
    (Reason.CONSENT_REVOKED, REQUEST, (replace(CONSENT, revoked_ms=NOW - 1),), {}),
    (Reason.CONSENT_REVOKED, REQUEST, (replace(CONSENT, revoked_ms=NOW + 1),), {}),
    (Reason.CONSENT_EXPIRED, REQUEST, (replace(CONSENT, valid_to_ms=NOW),), {}),
    (Reason.CONSENT_EXPIRED, REQUEST, (replace(CONSENT, valid_from_ms=NOW - 180 * DAY),), {}),
    (Reason.PURPOSE_NOT_COVERED, replace(REQUEST, purpose=Purpose.SCORING), (CONSENT,), {}),
    (Reason.ITEM_NOT_COVERED, asking("tax_registration"), (CONSENT,), {}),
    (Reason.FIELD_NOT_COVERED, asking(SUMMARY, ItemMode.Q, "paid", "payable"), (CONSENT,), {}),
    (Reason.SEPARATE_CONSENT_REQUIRED, asking(REPAYMENT), (CONSENT,), {}),
    (Reason.USES_EXHAUSTED, REQUEST, (given_consent({"max_uses": 3}),), {"total": 3}),
    (Reason.USES_EXHAUSTED, REQUEST, (given_consent({"fetch": "once"}),), {"total": 1}),
    (Reason.USES_EXHAUSTED, REQUEST, (given_consent({"fetch": "once", "max_uses": 9}),), {"total": 1}),
    (Reason.FREQUENCY_EXCEEDED, REQUEST, (given_consent({"frequency": DAILY}),), {"total": 9, "in_window": 2}),
]


@pytest.mark.parametrize(
    ("reason", "request_", "consents", "known"), CASES, ids=[f"{n}-{row[0]}" for n, row in enumerate(CASES)]
)
def test_a_use_is_refused_for_its_reason(
    reason: Reason, request_: UseRequest, consents: tuple[ConsentView, ...], known: dict[str, object]
) -> None:
    denial = decided(request_, *consents, **known)  # type: ignore[arg-type]
    assert isinstance(denial, Denial), denial
    assert denial.reason is reason
    assert denial.sentence == REASONS[reason]


def test_every_reason_has_a_case_and_a_sentence() -> None:
    assert {case[0] for case in CASES} == set(Reason) == set(REASONS)
    for sentence in REASONS.values():
        assert sentence.endswith(".") and sentence.count(". ") >= 1, sentence


@pytest.mark.parametrize(
    ("request_", "consents", "known"),
    [
        (REQUEST, (replace(CONSENT, valid_from_ms=NOW),), {}),
        (REQUEST, (replace(CONSENT, valid_to_ms=NOW + 1),), {}),
        (REQUEST, (replace(CONSENT, valid_from_ms=NOW - 180 * DAY + 1),), {}),
        (REQUEST, (CONSENT,), {"freshness": Freshness(checkpoint_ms=NOW - 59_999)}),
        (REQUEST, (CONSENT,), {"freshness": Freshness(checkpoint_ms=NOW + 59_999)}),
        (REQUEST, (given_consent({"max_uses": 3}),), {"total": 2}),
        (REQUEST, (given_consent({"fetch": "once"}),), {"total": 0}),
        (REQUEST, (given_consent({"frequency": DAILY}),), {"total": 9, "in_window": 1}),
        (asking(SUMMARY, ItemMode.Q, "paid"), (CONSENT,), {}),
        (asking(REPAYMENT), (given_consent({"separate_consent": True}),), {}),
        (REQUEST, (replace(CONSENT, record_id=record_id(2), revoked_ms=1), CONSENT), {}),
        (asking(RATING, ItemMode.P), (), {}),
        (asking(RATING, ItemMode.P), (), {"freshness": Freshness(checkpoint_ms=None, consistent=False)}),
    ],
)
def test_a_use_just_inside_its_bounds_is_permitted(
    request_: UseRequest, consents: tuple[ConsentView, ...], known: dict[str, Any]
) -> None:
    assert isinstance(decided(request_, *consents, **known), Permit)


def test_a_public_item_needs_no_consent_and_charges_none() -> None:
    permit = decided(asking(RATING, ItemMode.P))
    assert isinstance(permit, Permit)
    assert permit.spends == ()
    assert permit.grants[0].record_id is None


def test_a_public_item_does_not_open_the_door_for_another() -> None:
    both = replace(REQUEST, items=(ItemUse(item_id=RATING, mode=ItemMode.P), *REQUEST.items))
    assert decided(both) == Denial(reason=Reason.NO_CONSENT, item_id=SUMMARY)
    permit = decided(both, CONSENT)
    assert isinstance(permit, Permit)
    assert [grant.record_id for grant in permit.grants] == [None, record_id(1)]


def test_all_items_or_nothing() -> None:
    both = replace(REQUEST, items=(*REQUEST.items, ItemUse(item_id="tax_registration", mode=ItemMode.Q)))
    denial = decided(both, CONSENT)
    assert denial == Denial(reason=Reason.ITEM_NOT_COVERED, item_id="tax_registration", record_id=record_id(1))


def test_two_items_of_one_consent_charge_it_once() -> None:
    consent = given_consent({"separate_consent": True, "max_uses": 5})
    both = replace(REQUEST, items=(*REQUEST.items, ItemUse(item_id=REPAYMENT, mode=ItemMode.Q)))
    permit = decided(both, consent, total=2)
    assert isinstance(permit, Permit)
    assert permit.spends == (consent.record_id,)
    assert permit.remaining_uses == 2


def test_items_of_two_consents_charge_both() -> None:
    other = given_consent(
        {"scope": (ItemScope(item_id="tax_registration", mode=ItemMode.Q),), "max_uses": 7, "data_life_days": 5},
        record_id=record_id(2),
    )
    both = replace(REQUEST, items=(*REQUEST.items, ItemUse(item_id="tax_registration", mode=ItemMode.Q)))
    permit = decided(both, CONSENT, other, total=1)
    assert isinstance(permit, Permit)
    assert permit.spends == (record_id(1), record_id(2))
    assert permit.remaining_uses == 5
    assert permit.delete_by_ms == NOW + 5 * DAY


def test_the_consent_that_ends_first_is_used_then_the_smaller_identifier() -> None:
    later = replace(CONSENT, record_id=record_id(0), valid_to_ms=NOW + 2 * DAY)
    twin = replace(CONSENT, record_id=record_id(9))
    for order in ((later, twin, CONSENT), (twin, CONSENT, later), (CONSENT, later, twin)):
        assert decided(REQUEST, *order).spends == (record_id(1),)  # type: ignore[union-attr]


def test_a_consent_that_its_purpose_cuts_short_ends_first_whatever_it_says_itself() -> None:
    cut_short = replace(CONSENT, record_id=record_id(7), valid_from_ms=NOW - 180 * DAY + 5, valid_to_ms=NOW + 99 * DAY)
    longer = replace(CONSENT, valid_to_ms=NOW + 2 * DAY)
    for order in ((cut_short, longer), (longer, cut_short)):
        assert decided(REQUEST, *order).spends == (record_id(7),)  # type: ignore[union-attr]


def test_of_several_refusals_that_of_the_consent_that_got_furthest_is_told() -> None:
    stranger = given_consent({"data_users": ("secondbank",)}, record_id=record_id(2))
    revoked = replace(CONSENT, record_id=record_id(3), revoked_ms=NOW)
    for order in ((stranger, revoked), (revoked, stranger)):
        assert decided(REQUEST, *order) == Denial(
            reason=Reason.CONSENT_REVOKED, item_id=SUMMARY, record_id=record_id(3)
        )


def test_fields_are_those_asked_for_in_the_order_of_the_catalogue() -> None:
    permit = decided(asking(SUMMARY, ItemMode.Q, "paid", "period"), CONSENT)
    assert permit.grants[0].fields == ("period", "paid")  # type: ignore[union-attr]


def test_the_bounds_on_the_period_are_passed_on() -> None:
    bounded = given_consent(
        {"scope": (ItemScope(item_id=SUMMARY, mode=ItemMode.Q, range_from="2025-01", range_to="2025-06"),)}
    )
    grant = decided(REQUEST, bounded).grants[0]  # type: ignore[union-attr]
    assert (grant.range_from, grant.range_to) == ("2025-01", "2025-06")


@pytest.mark.parametrize(
    ("item_id", "life_days", "expected"), [(SUMMARY, 3000, 365), (SUMMARY, 7, 7), (REPAYMENT, 3000, 365)]
)
def test_data_is_kept_no_longer_than_consent_purpose_and_level_allow(
    item_id: str, life_days: int, expected: int
) -> None:
    consent = given_consent({"data_life_days": life_days, "separate_consent": True})
    assert decided(asking(item_id), consent).delete_by_ms == NOW + expected * DAY  # type: ignore[union-attr]


def test_masking_follows_the_level() -> None:
    scope = (ItemScope(item_id="water_usage", mode=ItemMode.Q), ItemScope(item_id=RATING, mode=ItemMode.Q))
    consent = given_consent({"scope": scope})
    masked = decided(asking("water_usage"), consent).grants[0].masking  # type: ignore[union-attr]
    assert dict(masked)["account_masked"] == "account"
    assert not any(
        CATALOGUE.item(SUMMARY).by_name[name].mask for name, _ in decided(REQUEST, CONSENT).grants[0].masking
    )  # type: ignore[union-attr]


def beijing(text: str) -> int:
    """Milliseconds of a local time."""
    return int(datetime.fromisoformat(f"{text}+08:00").astimezone(UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("unit", "at", "begin"),
    [
        ("hour", "2026-03-01T00:59:59", "2026-03-01T00:00:00"),
        ("day", "2026-03-01T00:00:00", "2026-03-01T00:00:00"),
        ("day", "2026-03-01T07:59:59", "2026-03-01T00:00:00"),
        ("day", "2026-03-01T23:59:59", "2026-03-01T00:00:00"),
        ("month", "2026-03-01T00:00:00", "2026-03-01T00:00:00"),
        ("month", "2026-02-28T23:59:59", "2026-02-01T00:00:00"),
    ],
)
def test_frequency_counts_in_calendar_windows_of_beijing(unit: str, at: str, begin: str) -> None:
    asked: list[tuple[str, int | None]] = []

    def counts(record: str, window: int | None) -> UseCounts:
        asked.append((record, window))
        return UseCounts()

    terms = replace(TERMS, frequency=Frequency(count=1, unit=unit))  # type: ignore[arg-type]
    at_ms = beijing(at)
    consent = replace(CONSENT, terms=terms, valid_from_ms=at_ms, valid_to_ms=at_ms + 1)
    permit = decide(replace(REQUEST, at_ms=at_ms), [consent], Freshness(checkpoint_ms=at_ms), CATALOGUE, RULES, counts)
    assert set(asked) == {(record_id(1), beijing(begin))}
    assert permit.windows == ((record_id(1), beijing(begin)),)  # type: ignore[union-attr]


consents_of_some = strategies.mostly(2, 0, 1, 3, 4).flatmap(
    lambda n: st.tuples(*(strategies.consents(number) for number in range(n)))
)


@settings(max_examples=500)
@given(
    request=strategies.requests,
    consents=consents_of_some,
    freshness=strategies.freshness,
    spent=strategies.spent,
)
def test_the_decision_is_that_of_the_reference(
    request: UseRequest, consents: tuple[ConsentView, ...], freshness: Freshness, spent: strategies.Counted
) -> None:
    outcome = decide(request, consents, freshness, CATALOGUE, RULES, spent)
    expected = judge(request, consents, freshness, CATALOGUE, RULES, spent)
    if isinstance(outcome, Denial):
        event(outcome.reason)
        assert expected == Refused(outcome.reason.value, outcome.item_id)
        return
    event("permit")
    assert expected == Allowed(
        grants=tuple(
            (
                each.item_id,
                each.record_id,
                each.fields,
                tuple(name for name, _ in each.masking),
                each.range_from,
                each.range_to,
            )
            for each in outcome.grants
        ),
        spends=frozenset(outcome.spends),
        delete_by_ms=outcome.delete_by_ms,
        remaining=outcome.remaining_uses,
    )
    assert len(set(outcome.spends)) == len(outcome.spends)


@given(
    request=strategies.requests,
    consents=consents_of_some,
    spent=strategies.spent,
    shuffled=st.randoms(use_true_random=False),
)
def test_the_order_in_which_consents_are_known_does_not_matter(
    request: UseRequest, consents: tuple[ConsentView, ...], spent: strategies.Counted, shuffled: Random
) -> None:
    others = list(consents)
    shuffled.shuffle(others)
    assert decide(request, consents, FRESH, CATALOGUE, RULES, spent) == decide(
        request, others, FRESH, CATALOGUE, RULES, spent
    )


@given(request=strategies.requests, consents=consents_of_some, freshness=strategies.freshness, spent=strategies.spent)
def test_withdrawing_every_consent_never_permits_more_than_public_items(
    request: UseRequest, consents: tuple[ConsentView, ...], freshness: Freshness, spent: strategies.Counted
) -> None:
    withdrawn = [replace(consent, revoked_ms=NOW) for consent in consents]
    outcome = decide(request, withdrawn, freshness, CATALOGUE, RULES, spent)
    assert isinstance(outcome, Denial) or all(grant.mode is ItemMode.P for grant in outcome.grants)
