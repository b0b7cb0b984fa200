"""Products of polynomials with numbers in their coefficients: exact, fresh each time, and nothing strange is taken for a ciphertext."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.errors import ParametersUnsafe, ProtocolViolation
from modeling.scoring import ring
from modeling.seal_bytes import loaded_cipher
from tests.modeling.scoring.parties import CHI_SQUARE_LIMIT, chi_square

T = 1 << ring.MODULUS_BITS


@pytest.fixture(scope="module")
def owner() -> ring.SecretKey:
    return ring.SecretKey()


@pytest.fixture(scope="module")
def helper(owner: ring.SecretKey) -> ring.PublicKey:
    return ring.PublicKey(owner.public)


def product(left: list[int], right: list[int]) -> list[int]:
    """In the ring Z_t[X] / (X^8192 + 1), by Python's integers."""
    found = [0] * ring.SIZE
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            place, sign = (i + j) % ring.SIZE, -1 if i + j >= ring.SIZE else 1
            found[place] = (found[place] + sign * a * b) % T
    return found


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(-(1 << 49), (1 << 49) - 1), min_size=1, max_size=20),
    st.lists(st.integers(-(1 << 22), 1 << 22), min_size=1, max_size=20),
    st.integers(0, ring.SIZE - 20),
)
def test_a_product_is_that_of_polynomials(left: list[int], right: list[int], shift: int) -> None:
    owner, helper = keys()
    multiplier = [0] * shift + right
    total = ring.Sum()
    total.add(ring.received(owner.encrypt(np.array(left))), ring.plain(np.array(multiplier)))
    found = owner.decrypt(helper.hidden(total, None), range(ring.SIZE))
    assert found.tolist() == product(left, multiplier)


@cache
def keys() -> tuple[ring.SecretKey, ring.PublicKey]:
    owner = ring.SecretKey()
    return owner, ring.PublicKey(owner.public)


def test_a_sum_of_nothing_is_its_mask(owner: ring.SecretKey, helper: ring.PublicKey) -> None:
    total, mask = ring.Sum(), ring.uniform(ring.SIZE)
    total.add(ring.received(owner.encrypt(np.array([7]))), ring.plain(np.zeros(5, np.int64)))
    assert (owner.decrypt(helper.hidden(total, mask), range(ring.SIZE)) == mask).all()


def test_the_same_numbers_never_encrypt_to_the_same_bytes(owner: ring.SecretKey, helper: ring.PublicKey) -> None:
    numbers = np.arange(9)
    first, second = owner.encrypt(numbers), owner.encrypt(numbers)
    assert first != second
    assert max(len(first), len(second)) < 132_000
    assert helper.hidden(ring.Sum(), None) != helper.hidden(ring.Sum(), None)


def test_encryptions_made_ahead_are_used_once(owner: ring.SecretKey) -> None:
    helper = ring.PublicKey(owner.public)
    assert [helper.prepare_one(2) for _ in range(3)] == [True, True, False]
    answers = {helper.hidden(ring.Sum(), None) for _ in range(3)}
    assert len(answers) == 3
    assert helper.prepare_one(2)


def test_no_noise_of_a_product_is_left_in_an_answer(owner: ring.SecretKey, helper: ring.PublicKey) -> None:
    """Rule 3: before the last prime is divided away products have 2^30 times less noise than that rounding makes."""
    numbers = np.full(ring.SIZE, 1 << 22)
    cipher = ring.received(owner.encrypt(np.array([1 << 26])))
    products = ring.Sum()
    for _ in range(64):
        products.add(cipher, ring.plain(numbers))
    total = helper._zero()
    products.add_to(total)
    before = 120 - ring.MODULUS_BITS - 1 - owner._decryptor.invariant_noise_budget(total)
    after = ring._library()
    answer = loaded_cipher(after.context, helper.hidden(products, None))
    rounding = 60 - ring.MODULUS_BITS - 1 - owner._decryptor.invariant_noise_budget(answer)
    assert before - 60 < rounding - 20


def test_parameters_that_are_unsafe_or_compute_wrongly_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    ring.self_test()
    fresh: Callable[[], Any] = ring._library.__wrapped__
    with monkeypatch.context() as patch:
        patch.setattr(ring, "PRIME_BITS", (60, 60, 60, 60))  # 240 bits, of 218
        with pytest.raises(ParametersUnsafe, match="128 bits"):
            fresh()
    honest = ring.plain
    monkeypatch.setattr(ring, "plain", lambda numbers: honest(numbers + 1))
    with pytest.raises(ParametersUnsafe, match="wrongly"):
        ring.self_test()


def test_a_modulus_that_leaves_no_room_for_rounding_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring, "MODULUS_BITS", 54)
    library = ring._Library()
    monkeypatch.setattr(ring, "_library", lambda: library)
    with pytest.raises(ParametersUnsafe, match="noise"):
        ring.self_test()


def test_masks_are_uniform() -> None:
    assert chi_square(ring.uniform(160_000), ring.MODULUS_BITS) < CHI_SQUARE_LIMIT


@pytest.mark.parametrize("bent", [b"", b"noise" * 100, "cut", "flipped", "public key", "answer"])
def test_what_is_no_fresh_ciphertext_is_refused(
    owner: ring.SecretKey, helper: ring.PublicKey, bent: bytes | str
) -> None:
    good = owner.encrypt(np.arange(9))
    data = bent if isinstance(bent, bytes) else {
        "cut": good[: len(good) // 2],
        "flipped": good[:20] + bytes([good[20] ^ 255]) + good[21:],
        "public key": owner.public,
        "answer": helper.hidden(ring.Sum(), None),
    }[bent]  # fmt: skip
    with pytest.raises(ProtocolViolation):
        ring.received(data)


def test_what_is_no_answer_under_this_key_is_refused(owner: ring.SecretKey) -> None:
    stranger = ring.PublicKey(ring.SecretKey().public).hidden(ring.Sum(), None)
    with pytest.raises(ProtocolViolation, match="under this key"):
        owner.decrypt(stranger, range(1))
    with pytest.raises(ProtocolViolation, match="level"):
        owner.decrypt(owner.encrypt(np.arange(9)), range(1))


def test_a_secret_key_is_not_copied(owner: ring.SecretKey) -> None:
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            attempt(owner)


def test_a_seed_makes_the_same_key_and_ciphertexts_again_and_no_two_of_them_share_randomness() -> None:
    seed, numbers = bytes(range(32)), np.array([5, -6])
    one, two, other = ring.SecretKey(seed), ring.SecretKey(seed), ring.SecretKey(bytes(32))
    first, again = [one.encrypt(numbers) for _ in range(2)], [two.encrypt(numbers) for _ in range(2)]
    assert (one.public, first) == (two.public, again)
    assert one.public != other.public
    assert other.encrypt(numbers) != first[0]
    # Two encryptions that shared their randomness would have the second half in common, which travels as its seed.
    held = [loaded_cipher(ring._library().context, each).dyn_array() for each in first]
    assert all(held[0][place] != held[1][place] for place in range(held[0].size() // 2, held[0].size(), 64))
    helper = ring.PublicKey(one.public)
    products = ring.Sum()
    products.add(ring.received(first[1]), ring.plain(np.array([7])))
    found = ring.centred(one.decrypt(helper.hidden(products, None), range(2)))
    assert found.tolist() == [35, -42]
