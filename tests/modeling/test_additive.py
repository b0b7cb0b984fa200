"""Additive encryption: arithmetic against plaintexts and python-paillier, and everything that another party might send instead."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from phe import paillier

from modeling import additive
from modeling.additive import PublicKey, SecretKey, take
from modeling.errors import DataUnusable, ModelingError, ParametersUnsafe, ProtocolViolation, RangeExceeded
from modeling.gbdt.gradients import Seen, unpacked
from modeling.gbdt.settings import Settings, layout_for
from tests.modeling.small_keys import BITS, OFFERED, offer

SCHEMES = ["okamoto-uchiyama", "paillier"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, *OFFERED)


@functools.cache
def pair(scheme: additive.SchemeName, which: int = 0) -> SecretKey:
    return SecretKey(scheme, BITS)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_arithmetic_is_that_of_integers(scheme: Any) -> None:
    key, rng = pair(scheme), np.random.default_rng(1)
    values = rng.integers(-(1 << 58), 1 << 58, 700)
    public = PublicKey(scheme, BITS, key.public.data)
    ciphers = public.from_wire(key.public.to_wire(key.public.encrypt(values)))
    assert key.decrypt(ciphers) == values.tolist()
    assert key.decrypt(public.add_plain(public.zeros(700), values)) == values.tolist()
    few = take(ciphers, range(9))
    assert key.decrypt(public.subtract(few, take(ciphers, range(9, 18)))) == (values[:9] - values[9:18]).tolist()
    assert key.decrypt(public.negate(few)) == (-values[:9]).tolist()
    codes = rng.integers(0, 7, (700, 3)).astype(np.int8)
    chosen = rng.random(700) < 0.4
    sums = key.decrypt(public.bucket_sums(ciphers, chosen, codes, 8))
    assert sums == [sum(int(v) for v in values[chosen & (codes[:, j] <= b)]) for j in range(3) for b in range(8)]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_refreshed_ciphertexts_differ_and_say_the_same(scheme: Any) -> None:
    key = pair(scheme)
    ciphers = key.public.encrypt(np.array([3, -4]))
    again = key.public.refresh(ciphers)
    assert key.decrypt(again) == [3, -4]
    assert (key.public.to_wire(again) != key.public.to_wire(ciphers)).any(axis=1).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_groups_are_added_whatever_they_have_in_common(scheme: Any) -> None:
    key, rng = pair(scheme), np.random.default_rng(2)
    values, places, sizes = rng.integers(-99, 99, 300), rng.integers(0, 300, 700), np.array([0, 400, 0, 299, 1, 0])
    found = key.public.add_groups(key.public.encrypt(np.arange(6)), key.public.encrypt(values), places, sizes)
    plain = [part.sum() for part in np.split(values[places], np.cumsum(sizes)[:-1])]
    assert key.decrypt(found) == (np.arange(6) + plain).tolist()
    assert key.decrypt(take(found, [3, 1])) == [3 + plain[3], 1 + plain[1]]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rows_alike_in_all_columns_are_summed_once(scheme: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against plain sums, on both sides of the choice, with as many columns and buckets as there can be."""
    key, rng = pair(scheme), np.random.default_rng(3)
    values, chosen = rng.integers(-(1 << 40), 1 << 40, 200), rng.random(200) < 0.7
    ciphers, most = key.public.encrypt(values), additive.MAX_BUCKETS
    kinds = rng.integers(0, most, (5, additive.MAX_COLUMNS)).astype(np.int8)
    kinds[1], kinds[2] = kinds[0], kinds[0]
    kinds[1, -1], kinds[2] = (kinds[0, -1] + 1) % most, most - 1  # in the last column only; the largest code
    alike, grouped = kinds[rng.integers(0, 5, 200)], []
    sums = key.public._group_sums

    def spied(*arguments: Any) -> Any:
        grouped.append(arguments[2].tolist())
        return sums(*arguments)

    monkeypatch.setattr(key.public, "_group_sums", spied)
    for codes in (alike, rng.integers(0, most, (200, 2)).astype(np.int8)):
        found = key.decrypt(key.public.bucket_sums(ciphers, chosen, codes, most))
        columns = range(codes.shape[1])
        assert found == [int(values[chosen & (codes[:, j] <= b)].sum()) for j in columns for b in range(most)]
    _, sizes = np.unique(alike[chosen], axis=0, return_counts=True)
    assert [sorted(each) for each in grouped] == [sorted(sizes.tolist())]


def test_more_columns_than_fit_into_64_bits_are_refused() -> None:
    """Else rows that differ could share a code, and would be summed as one."""
    public = pair("okamoto-uchiyama").public
    ciphers = public.encrypt(np.arange(4))
    for columns, count in [(additive.MAX_COLUMNS + 1, 4), (1, additive.MAX_BUCKETS + 1)]:
        with pytest.raises(DataUnusable, match="at most 8 with 127"):
            public.bucket_sums(ciphers, np.full(4, True), np.zeros((4, columns), np.int8), count)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_vectors_are_joined_in_order(scheme: Any) -> None:
    key = pair(scheme)
    parts = [key.public.encrypt(np.arange(begin, end)) for begin, end in [(0, 1), (1, 5), (5, 7)]]
    assert key.decrypt(key.public.join(parts)) == list(range(7))
    assert key.decrypt(parts[0]) == [0]


def test_groups_may_be_of_the_same_places() -> None:
    """With objects that groups share heu's threads free what they still read: this process then crashes within some rounds."""
    key, rows = pair("okamoto-uchiyama"), 400
    ones, places, sizes = (
        key.public.encrypt(np.ones(rows, np.int64)),
        np.tile(np.arange(rows), rows),
        np.full(rows, rows),
    )
    for _ in range(20):
        sums = key.public.add_groups(key.public.zeros(rows), ones, places, sizes)
    assert key.decrypt(sums) == [rows] * rows


def test_python_paillier_sums_and_packs_alike() -> None:
    key, (public, private) = pair("paillier"), paillier.generate_paillier_keypair(n_length=1024)
    values = np.array([5, -(1 << 40), 7 << 30, -1])
    theirs = [public.encrypt(int(value)) for value in values]
    ours = key.public.encrypt(values)
    codes = np.array([[0], [1], [0], [1]], np.int8)
    left, both = key.decrypt(key.public.bucket_sums(ours, np.full(4, True), codes, 2))
    assert left == private.decrypt(theirs[0] + theirs[2])
    assert both == private.decrypt(theirs[0] + theirs[1] + theirs[2] + theirs[3])
    packed = key.public.pack([take(ours, [place]) for place in range(4)], 50)
    horner = theirs[3]
    for cipher in reversed(theirs[:3]):
        horner = horner * (1 << 50) + cipher
    assert key.decrypt(packed) == [private.decrypt(horner)]


def test_wire_form_of_short_numbers() -> None:
    """HEU drops leading zeros, in one of some hundred ciphertexts."""
    key = pair("okamoto-uchiyama").public
    wire = np.zeros((3, key.width), np.uint8)
    wire[0, 0], wire[1, :20], wire[2, :124] = 1, 7, 9
    assert (key.to_wire(key.from_wire(wire)) == wire).all()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_foreign_numbers_are_refused(scheme: Any) -> None:
    public = pair(scheme).public
    good = public.to_wire(public.zeros(2)).copy()
    with pytest.raises(ProtocolViolation, match="wide"):
        public.from_wire(good[:, :-1])
    with pytest.raises(ProtocolViolation, match="wide"):
        public.from_wire(good[:0])
    with pytest.raises(ProtocolViolation, match="below the modulus"):
        public.from_wire(np.full((2, public.width), 255, np.uint8))
    modulus = np.frombuffer(public._modulus.to_bytes(public.width, "little"), np.uint8)
    with pytest.raises(ProtocolViolation, match="below the modulus"):
        public.from_wire(np.stack([good[0], modulus]))
    good[1] = 0
    with pytest.raises(ProtocolViolation, match="not in the group"):
        public.from_wire(good)


def test_foreign_keys_are_refused() -> None:
    ours, other = pair("okamoto-uchiyama").public.data, pair("paillier").public.data
    for scheme, bits, data in [
        ("okamoto-uchiyama", BITS, other),
        ("paillier", BITS, ours),
        ("okamoto-uchiyama", 2048, ours),
        ("okamoto-uchiyama", BITS, b""),
        ("okamoto-uchiyama", BITS, b"\x94" + bytes(400)),
        ("okamoto-uchiyama", BITS, ours[:-30]),
        ("okamoto-uchiyama", BITS, ours + b"\0"),
        ("okamoto-uchiyama", BITS, ours[:3] + b"\0" + ours[4:]),  # n is even
        ("okamoto-uchiyama", BITS, ours[:-8] + other[-8:]),
    ]:
        with pytest.raises(ProtocolViolation):
            PublicKey(scheme, bits, data)


def test_weak_parameters_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    weak = pair("okamoto-uchiyama").public.data
    monkeypatch.setattr(additive, "KEY_BITS", OFFERED)
    with pytest.raises(ParametersUnsafe, match="1024 bits is not offered"):
        PublicKey("okamoto-uchiyama", 1024, weak)
    for scheme, bits in [("okamoto-uchiyama", 1024), ("paillier", 512), ("elgamal", 2048)]:
        with pytest.raises(ParametersUnsafe):
            SecretKey(scheme, bits)


@pytest.mark.parametrize("rows", [1, 2, 1000, 1 << 20])
def test_layout_holds_the_worst_case(rows: int) -> None:
    """All rows at the bound, of both signs, in every slot."""
    layout = layout_for(Settings(sample=0.3, top=0.1), rows)
    amplified = (1 << 20) / 0.3
    for sign in (1, -1):
        g, h = np.round(sign * amplified), np.round(amplified / 4)
        row = int(Seen(rows=np.full(1, True), g=np.array([g]), h=np.array([h])).packed(layout)[0])
        packed = sum((row * rows) << (layout.slot_bits * place) for place in range(layout.slots))
        found = unpacked([packed], layout.slots, layout, h * rows)
        assert (found[0] == g * rows).all() and (found[1] == h * rows).all()


def test_too_many_rows_are_told_before_anything_is_sent() -> None:
    with pytest.raises(RangeExceeded):
        layout_for(Settings(), 1 << 40)
    with pytest.raises(RangeExceeded):
        layout_for(Settings(sample=1e-9, top=0.5), 1 << 20)


def test_plaintexts_out_of_range_end_the_training() -> None:
    layout = layout_for(Settings(), 100)
    for values in ([1 << 1000], [-(1 << 1000)], [5], [-1]):
        with pytest.raises(ModelingError):
            unpacked(values, 1, layout, 4.0)
