"""BFV as the trainers use it: exact modulo t, fresh each time, and nothing strange is taken for a ciphertext."""

from __future__ import annotations

import copy
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
    assert len(first) < 220_000
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


def test_masks_are_uniform() -> None:
    drawn = bfv.uniform(160_000)
    assert drawn.min() >= 0
    assert drawn.max() < T
    counts = np.bincount(drawn // (T // 16 + 1), minlength=16)
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 60  # chi-square, 15 degrees of freedom: beyond one in ten million


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
