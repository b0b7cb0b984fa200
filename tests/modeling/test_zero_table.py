"""Encryptions of zero by a table: against Python's integers and python-paillier, and the draw of their exponents."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import pytest
from heu import numpy as heu_arrays
from heu import phe
from phe import paillier

from modeling import additive, zero_table
from modeling.additive import EXPONENTS, PublicKey, SecretKey, take
from modeling.zero_table import Exponents, ZeroTable
from tests.modeling.small_keys import BITS, OFFERED, offer

LONG = EXPONENTS["paillier", 3072]
WINDOWS, WINDOW_BITS, EXPONENT_BITS = LONG.windows, LONG.window, LONG.bits


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, *OFFERED)
    pays(monkeypatch, 0)


def pays(monkeypatch: pytest.MonkeyPatch, encryptions: int) -> None:
    """From so many encryptions on there is a table for Paillier; for the other scheme from the first."""
    monkeypatch.setitem(EXPONENTS, ("paillier", BITS), dataclasses.replace(LONG, pays=encryptions))


@functools.cache
def kit() -> Any:
    return heu_arrays.setup(phe.SchemaType.ZPaillier, BITS)


def public() -> PublicKey:
    return PublicKey("paillier", BITS, bytes(kit().public_key().serialize()))


def theirs() -> paillier.PaillierPrivateKey:
    """The same key in python-paillier."""
    n = additive._numbers(bytes(kit().public_key().serialize()))[0]
    *_, p, q = additive._numbers(bytes(kit().secret_key().serialize()))
    return paillier.PaillierPrivateKey(paillier.PaillierPublicKey(n), p, q)


def plain(key: PublicKey, ciphers: Any) -> list[int]:
    """The numbers themselves, out of HEU's Montgomery form: there a · b is stored as aR · bR / R."""
    one, other = (int.from_bytes(row.tobytes(), "little") for row in key.to_wire(take(ciphers, [0, 1])))
    product = int.from_bytes(key.to_wire(key.add(take(ciphers, [0]), take(ciphers, [1])))[0].tobytes(), "little")
    modulus = key._modulus
    radix = one * other * pow(product, -1, modulus) % modulus
    stored = [int.from_bytes(row.tobytes(), "little") for row in key.to_wire(ciphers)]
    return [each * pow(radix, -1, modulus) % modulus for each in stored]


def test_zeros_are_the_base_to_the_drawn_exponents(monkeypatch: pytest.MonkeyPatch) -> None:
    key, base = public(), public().zeros(1)
    table = ZeroTable(key._evaluator, base, LONG)
    places = LONG.drawn(40)
    places[0], places[1] = np.arange(WINDOWS), np.arange(WINDOWS) + WINDOWS * ((1 << WINDOW_BITS) - 1)
    monkeypatch.setattr(Exponents, "drawn", lambda _, count: places[:count])
    g, *powers = plain(key, key.join([base, table.draw(40)]))
    digits = places // WINDOWS + 1
    exponents = [sum(int(d) << (WINDOW_BITS * place) for place, d in enumerate(row)) for row in digits]
    assert powers == [pow(g, exponent, key._modulus) for exponent in exponents]
    assert exponents[1] >> EXPONENT_BITS >= 1


def test_python_paillier_reads_what_the_table_encrypts() -> None:
    key, private = public(), theirs()
    values = np.array([0, 1, -1, (1 << 62) - 1, -(1 << 62), 77])
    found = [private.raw_decrypt(each) for each in plain(key, key.encrypt(values))]
    assert found == [int(value) % private.public_key.n for value in values]
    assert {private.raw_decrypt(each) for each in plain(key, key.zeros(9))} == {0}


def test_no_zero_comes_twice() -> None:
    key = public()
    rows = np.concatenate([key.to_wire(key.zeros(700)), key.to_wire(key.encrypt(np.zeros(700, np.int64)))])
    assert len(np.unique(rows, axis=0)) == 1400


def test_a_table_is_made_once_and_only_where_it_pays_or_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    class Spied(ZeroTable):
        def __init__(self, evaluator: Any, zero: Any, exponents: Exponents) -> None:
            made.append(exponents.bits)
            super().__init__(evaluator, zero, exponents)

    monkeypatch.setattr(additive, "ZeroTable", Spied)
    pays(monkeypatch, 200)
    key = public()
    key.zeros(100)
    key.encrypt(np.zeros(90, np.int64))
    assert made == []
    key.encrypt(np.zeros(90, np.int64))
    key.zeros(1)
    assert made == [512]
    other = SecretKey("okamoto-uchiyama", BITS)  # its own test encrypts
    assert made == [512, 256]
    values = np.array([5, -7, 0])
    assert other.decrypt(other.public.encrypt(values)) == [5, -7, 0] and other.decrypt(other.public.zeros(2)) == [0, 0]
    assert made == [512, 256]


@pytest.mark.parametrize("scheme", ["okamoto-uchiyama", "paillier"])
def test_exponents_have_twice_the_security_of_their_key(scheme: str) -> None:
    for bits, security in ((2048, 112), (3072, 128)):  # NIST SP 800-57 part 1, table 2
        assert EXPONENTS[scheme, bits].bits >= 2 * security
    assert {bits for name, bits in EXPONENTS if name == scheme} == set(additive.KEY_BITS)


def test_exponents_of_heu_for_okamoto_uchiyama_are_too_short_to_be_used_at_all() -> None:
    assert not any(each.pays for (scheme, _), each in EXPONENTS.items() if scheme == "okamoto-uchiyama")


def test_digits_are_uniform_and_come_from_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    count, size = 4096, 1 << WINDOW_BITS
    places = LONG.drawn(count)
    windows, digits = places % WINDOWS, places // WINDOWS
    assert (windows == np.arange(WINDOWS)).all() and digits.min() == 0 and digits.max() == size - 1
    expected = count * WINDOWS / size
    excess = float(((np.bincount(digits.ravel(), minlength=size) - expected) ** 2 / expected).sum())
    assert abs(excess - (size - 1)) < 6 * (2 * (size - 1)) ** 0.5  # chi-squared: one draw in 10^8 fails
    bits = ((digits[:, :, None] >> np.arange(WINDOW_BITS)) & 1).reshape(count, -1)
    assert bits.shape[1] >= EXPONENT_BITS
    assert abs(bits.mean(axis=0) - 0.5).max() < 6 * 0.5 / count**0.5
    related = np.corrcoef(bits.T) - np.eye(bits.shape[1])
    assert abs(related).max() < 7 / count**0.5
    monkeypatch.setattr(zero_table.secrets, "token_bytes", lambda size: b"\x05\xf8" * (size // 2))
    assert (LONG.drawn(2) == 5 * WINDOWS + np.arange(WINDOWS)).all()
