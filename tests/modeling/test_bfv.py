"""BFV as the trainers use it: exact modulo t, fresh each time, and nothing strange is taken for a ciphertext."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

from modeling import bfv
from modeling.errors import ParametersUnsafe, ProtocolViolation

T = bfv.PLAIN_MODULUS


@pytest.fixture(scope="module")
def owner() -> bfv.SecretKey:
    return bfv.SecretKey()


@pytest.fixture(scope="module")
def helper(owner: bfv.SecretKey) -> bfv.PublicKey:
    return bfv.PublicKey(owner.public)


def test_a_masked_sum_of_products_is_exact(owner: bfv.SecretKey, helper: bfv.PublicKey) -> None:
    ours, theirs = [bfv.uniform(bfv.SLOTS) for _ in range(40)], [bfv.uniform(bfv.SLOTS) for _ in range(40)]
    products = bfv.products_of(
        [bfv.received(owner.encrypt(each)) for each in ours], [bfv.encode(each) for each in theirs]
    )
    cipher, mask = helper.masked(products)
    wanted = sum(a.astype(object) * b.astype(object) for a, b in zip(ours, theirs, strict=True)) % T
    assert (np.mod(owner.decrypt([cipher])[0] - mask, T).astype(object) == wanted).all()


def test_a_sum_of_nothing_is_the_mask(owner: bfv.SecretKey, helper: bfv.PublicKey) -> None:
    zero = np.zeros(bfv.SLOTS, np.int64)
    products = bfv.products_of([bfv.received(owner.encrypt(bfv.uniform(bfv.SLOTS)))], [bfv.encode(zero)])
    cipher, mask = helper.masked(products)
    np.testing.assert_array_equal(owner.decrypt([cipher])[0], mask)


def test_the_same_vector_never_encrypts_to_the_same_bytes(owner: bfv.SecretKey, helper: bfv.PublicKey) -> None:
    vector = bfv.uniform(bfv.SLOTS)
    first, second = owner.encrypt(vector), owner.encrypt(vector)
    assert first != second
    assert len(first) == pytest.approx(len(second), rel=0.001)
    assert len(first) < 200_000
    products = [bfv.products_of([bfv.received(first)], [bfv.encode(vector)]) for _ in range(2)]
    assert helper.masked(products[0])[0] != helper.masked(products[1])[0]


def test_the_library_agrees_on_the_parameters_and_the_self_test_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    bfv.self_test()
    assert T % (2 * bfv.SLOTS) == 1
    assert all(pow(base, T - 1, T) == 1 for base in (2, 3, 5, 7, 11, 13))
    honest = bfv.encode
    monkeypatch.setattr(bfv, "encode", lambda vector: honest((vector + 1) % T))
    with pytest.raises(ParametersUnsafe):
        bfv.self_test()


def is_uniform(drawn: np.ndarray, modulus: int) -> bool:
    """Chi-square of sixteenths, 15 degrees of freedom: refused by chance once in ten million."""
    counts = np.bincount((drawn // (modulus // 16 + 1)).astype(np.int64), minlength=16)
    expected = len(drawn) / 16
    return bool(((counts - expected) ** 2 / expected).sum() < 60)


def test_masks_are_uniform() -> None:
    drawn = bfv.uniform(160_000)
    assert drawn.min() >= 0
    assert drawn.max() < T
    assert is_uniform(drawn, T)


def test_drowning_noise_is_one_uniform_number_in_all_residues() -> None:
    primes, residues = bfv._library().primes, bfv.drowning().astype(object)
    product = math.prod(primes)
    others = [product // prime for prime in primes]
    units = [other * pow(other, -1, prime) for other, prime in zip(others, primes, strict=True)]
    noise = sum(row * unit for row, unit in zip(residues, units, strict=True)) % product
    bound = max(primes) << 45
    assert max(noise) < bound
    assert is_uniform(noise, bound) and is_uniform(noise % 1009, 1009)


def test_the_noise_of_an_answer_is_the_same_whatever_was_multiplied(
    owner: bfv.SecretKey, helper: bfv.PublicKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def budgets() -> set[int]:
        cipher, plain = bfv.received(owner.encrypt(bfv.uniform(bfv.SLOTS))), bfv.encode(bfv.uniform(bfv.SLOTS))
        sums = [bfv.products_of([cipher] * 64, [plain] * 64), bfv.products_of([], [])]
        return {owner._decryptor.invariant_noise_budget(bfv._loaded(helper.masked(each)[0])) for each in sums}

    assert len(budgets()) == 1
    monkeypatch.setattr(bfv, "drowning", lambda: np.zeros((3, bfv.SLOTS), np.uint64))
    assert len(budgets()) == 2
    with pytest.raises(ParametersUnsafe, match="drowned"):
        bfv.self_test()


def test_what_was_cut_is_not_made_whole_by_what_was_loaded_before(owner: bfv.SecretKey) -> None:
    good = owner.encrypt(bfv.uniform(bfv.SLOTS))
    bfv.received(good)
    with pytest.raises(ProtocolViolation):
        bfv.received(good[: len(good) // 2])


@pytest.mark.parametrize("bent", [b"", b"noise" * 100, "cut", "flipped", "public key"])
def test_what_is_no_ciphertext_is_refused(owner: bfv.SecretKey, bent: bytes | str) -> None:
    good = owner.encrypt(bfv.uniform(bfv.SLOTS))
    data = bent if isinstance(bent, bytes) else {
        "cut": good[: len(good) // 2],
        "flipped": good[:20] + bytes([good[20] ^ 255]) + good[21:],
        "public key": owner.public,
    }[bent]  # fmt: skip
    with pytest.raises(ProtocolViolation):
        bfv.received(data)


def test_a_ciphertext_under_another_key_does_not_decrypt(owner: bfv.SecretKey) -> None:
    stranger = bfv.PublicKey(bfv.SecretKey().public)
    vector = bfv.uniform(bfv.SLOTS)
    cipher, _ = stranger.masked(bfv.products_of([bfv.received(owner.encrypt(vector))], [bfv.encode(vector)]))
    with pytest.raises(ProtocolViolation, match="does not decrypt"):
        owner.decrypt([cipher])


def test_a_fresh_ciphertext_is_not_taken_for_a_masked_one_at_a_wrong_level(
    owner: bfv.SecretKey, helper: bfv.PublicKey
) -> None:
    vector = bfv.uniform(bfv.SLOTS)
    cipher, _ = helper.masked(bfv.products_of([bfv.received(owner.encrypt(vector))], [bfv.encode(vector)]))
    with pytest.raises(ProtocolViolation, match="level"):
        bfv.received(cipher)


def test_a_secret_key_is_not_copied(owner: bfv.SecretKey) -> None:
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            attempt(owner)


def test_residues_are_summed_and_centred_exactly() -> None:
    vector = bfv.uniform(bfv.SLOTS)
    assert bfv.total_mod_t(vector) == int(vector.astype(object).sum()) % T
    assert [bfv.centred(value) for value in (0, 5, T - 5, T // 2, T // 2 + 1)] == [0, 5, -5, T // 2, -(T // 2)]
    column = np.arange(-3, 9000)
    blocks = bfv.blocks_of(column)
    assert len(blocks) == 2
    assert [bfv.centred(int(value)) for value in np.concatenate(blocks)[: len(column)]] == column.tolist()
