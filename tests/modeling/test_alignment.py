"""Alignment by consent: the same rows at every party, without a word about who lacks what."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling.alignment import common_order, placed, rows_of_tokens, tokens_for, union_order
from modeling.errors import CohortTooSmall, DataUnusable, ProtocolViolation

SUBJECTS = st.sets(st.text("ABC0123456789", min_size=3, max_size=6), min_size=1, max_size=30)

SECRET = b"1" * 32


def consents(subjects: set[str] | list[str], provider: str = "tax") -> dict[str, str]:
    return {subject: str(uuid.uuid5(uuid.NAMESPACE_URL, provider + subject)) for subject in sorted(subjects)}


@given(SUBJECTS, st.randoms())
def test_both_sides_have_the_same_order_however_they_hold_their_consents(subjects: set[str], random: object) -> None:
    held = consents(subjects)
    shuffled = list(held.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    order = common_order(held, "exchange", 1)
    assert order == common_order(dict(shuffled), "exchange", 1)
    assert set(order) == subjects


def test_another_exchange_has_another_order() -> None:
    held = consents([f"S{number}" for number in range(200)])
    first, second = common_order(held, "one"), common_order(held, "two")
    assert first != second
    assert first != tuple(sorted(first))


@given(SUBJECTS, SUBJECTS)
def test_a_passive_recognises_exactly_its_own_rows(tax: set[str], court: set[str]) -> None:
    held = (consents(tax, "tax"), consents(court, "court"))
    order = union_order(held, "exchange", 1)
    assert set(order) == tax | court
    for mine in held:
        seen = rows_of_tokens(tokens_for(order, mine, "exchange", SECRET), mine, "exchange", 1)
        assert seen == [subject if subject in mine else None for subject in order]


def test_what_a_passive_lacks_looks_like_any_token() -> None:
    order = [f"S{number}" for number in range(300)]
    held = consents(order[:150])
    tokens = tokens_for(order, held, "exchange", SECRET)
    assert (tokens == tokens_for(order, held, "exchange", SECRET)).all()  # a job that goes on announces the same rows
    for again in (tokens_for(order, held, "exchange", b"2" * 32), tokens_for(order, held, "other", SECRET)):
        assert not (tokens[150:] == again[150:]).all(axis=1).any()
    assert (tokens[:150] == tokens_for(order, held, "exchange", b"2" * 32)[:150]).all()
    assert len({bytes(row) for row in tokens}) == 300


def test_a_row_that_is_announced_twice_is_refused() -> None:
    held = consents([f"S{number}" for number in range(100)])
    tokens = tokens_for(list(held), held, "exchange", SECRET)
    tokens = np.vstack([tokens, tokens[:1]])
    with pytest.raises(ProtocolViolation):
        rows_of_tokens(tokens, held, "exchange")


def test_a_cohort_below_the_minimum_is_refused_at_every_side() -> None:
    few = consents([f"S{number}" for number in range(99)])
    for attempt in (
        lambda: common_order(few, "exchange"),
        lambda: union_order((few, few), "exchange"),
        lambda: rows_of_tokens(tokens_for([*few, "X"], few, "exchange", SECRET), few, "exchange"),
    ):
        with pytest.raises(CohortTooSmall, match="fewer than 100"):
            attempt()


def test_a_consent_of_two_subjects_is_refused() -> None:
    with pytest.raises(DataUnusable):
        common_order({"A": "same", "B": "same"}, "exchange", 1)


def test_rows_without_a_record_are_zeros_of_weight_zero() -> None:
    features, weights = placed(["B", None, "A", "C"], {"A": 0, "B": 1}, np.array([[1.0, 2.0], [3.0, 4.0]]))
    np.testing.assert_array_equal(features, [[3, 4], [0, 0], [1, 2], [0, 0]])
    np.testing.assert_array_equal(weights, [1, 0, 1, 0])
