"""Integer shares: exact for every number that the protocol allows, whatever the shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling.bfv import PLAIN_MODULUS
from modeling.errors import ProtocolViolation, RangeExceeded
from modeling.logistic import fixed

RESIDUES = st.integers(0, PLAIN_MODULUS - 1)
QUARTER = PLAIN_MODULUS // 4


def column(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@given(value=st.integers(-QUARTER, QUARTER), share=RESIDUES, mask=st.integers(0, PLAIN_MODULUS - 2))
def test_shares_modulo_t_become_integers_that_add_up(value: int, share: int, mask: int) -> None:
    one, other = column((value - share) % PLAIN_MODULUS), column(share)
    raised = fixed.raised(one)
    product = np.mod(fixed.low(raised) * fixed.low(other) + mask, PLAIN_MODULUS)
    first, second = fixed.lifted_first(raised, product), fixed.lifted_second(other, column(mask))
    assert first[0] + second[0] == value


@given(
    value=st.integers(-(1 << 90), 1 << 90),
    share=st.integers(-(1 << 250), 1 << 250),
    bits=st.sampled_from([20, 22, 79, 80]),
)
def test_residues_of_integer_shares_add_up_but_for_one_unit(value: int, share: int, bits: int) -> None:
    parts = [fixed.residues(np.array([each], dtype=object), bits) for each in (share, value - share)]
    found = int(sum(parts)[0])
    exact = value >> (fixed.FRACTION_BITS - bits)
    assert (exact - found) % PLAIN_MODULUS in (0, 1)


@given(numbers=st.lists(st.integers(-(1 << 383), (1 << 383) - 1), max_size=5))
def test_packed_numbers_come_back(numbers: list[int]) -> None:
    data = fixed.packed(np.array(numbers, dtype=object))
    assert fixed.unpacked(data, len(numbers)).tolist() == numbers


def test_numbers_beyond_their_range_and_other_counts_are_refused() -> None:
    with pytest.raises(RangeExceeded, match="diverged"):
        fixed.packed(np.array([1 << 383], dtype=object))
    with pytest.raises(ProtocolViolation):
        fixed.unpacked(bytes(48), 2)


def test_fresh_shares_are_wide_and_differ() -> None:
    drawn = fixed.fresh(200)
    assert len(set(drawn.tolist())) == 200
    assert max(map(abs, drawn.tolist())).bit_length() > 350
    assert 50 < sum(each < 0 for each in drawn.tolist()) < 150


def test_real_numbers() -> None:
    assert fixed.real(np.array([3 << 79, -(1 << 80)], dtype=object)).tolist() == [1.5, -1.0]
