"""Masks of pairs of providers: they cancel, a part says nothing, and none is used twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.errors import ArgumentInvalid, ProtocolViolation
from modeling.scoring.masks import PairMasks, new_seed
from tests.modeling.scoring.parties import CHI_SQUARE_LIMIT, chi_square, pair_masks


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 5), rows=st.integers(0, 50), request=st.integers(0, 1 << 62))
def test_masks_of_all_providers_cancel(count: int, rows: int, request: int) -> None:
    total = sum((each.take(request, rows) for each in pair_masks(count)), np.zeros(rows, np.uint64))
    assert not total.any()


def test_one_provider_has_nothing_to_mask() -> None:
    assert not PairMasks(0, {}).take(0, 100).any()


def test_each_mask_alone_is_uniform_and_another_in_each_request() -> None:
    first, second, third = pair_masks(3)
    same = [b"the same"] * 20_000
    words = [each.take(request, 20_000, subjects=same) for each in (first, second, third) for request in (1, 2)]
    assert max(chi_square(each, 64) for each in words) < CHI_SQUARE_LIMIT
    assert max(chi_square(words[0] - each, 64) for each in words[1:]) < CHI_SQUARE_LIMIT


def test_a_request_number_is_used_once() -> None:
    masks = PairMasks(0, {1: new_seed()})
    masks.take(5, 10)
    for number in (5, 4, -1, 1 << 63):
        with pytest.raises(ProtocolViolation, match="new number"):
            masks.take(number, 10)
    masks.take(6, 10)


def test_a_mask_is_of_its_subject_so_rows_about_two_subjects_do_not_open() -> None:
    first, second = pair_masks(2)
    said, told = [b"one", b"two", b"three"], [b"one", b"other", b"three"]
    assert not (first.take(1, 4, subjects=said) + second.take(1, 4, subjects=said)).any()
    total = first.take(2, 4, subjects=said) + second.take(2, 4, subjects=told)
    assert (total != 0).tolist() == [False, True, False, False]
    with pytest.raises(ArgumentInvalid, match="3 subjects"):
        first.take(3, 2, subjects=said)


def test_a_hidden_row_gets_a_mask_that_does_not_cancel() -> None:
    hidden = np.array([True, False, True])
    pair = pair_masks(2)
    total = pair[0].take(1, 5, hidden) + pair[1].take(1, 5)
    assert (total != 0).tolist() == [True, False, True, False, False]
    assert PairMasks(0, {}).take(1, 3, hidden).astype(bool).tolist() == hidden.tolist()


def test_seeds_and_flags_that_do_not_fit_are_refused() -> None:
    for own, seeds in ((0, {0: new_seed()}), (0, {1: b"short"})):
        with pytest.raises(ArgumentInvalid, match="32 bytes"):
            PairMasks(own, seeds)
    with pytest.raises(ArgumentInvalid, match="flags"):
        PairMasks(0, {}).take(1, 2, np.ones(3, np.bool_))
