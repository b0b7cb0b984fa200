"""Additively homomorphic encryption of integer vectors: one interface, two schemes, both by sf-heu.

    okamoto-uchiyama   n = p²q, plaintexts below p (a third of the bits); fast. Okamoto, Uchiyama, EUROCRYPT 1998. HEU's randomness is
                       too short, so zeros come from a table (zero_table.py).
    paillier           plaintexts below n; short exponents (zero_table.py). Paillier, EUROCRYPT 1999; Damgård, Jurik, Nielsen 2010.

Okamoto-Uchiyama gives its key away to whoever sees what a chosen ciphertext decrypts to: it is for protocols in which decryptions
never leave the key's holder, who checks their range before acting on them.

A vector of ciphertexts (`Ciphers`) is HEU's array of shape (n, 1). On the wire it is uint8[n, width], little-endian, each below the
modulus: HEU's own reader takes numbers of any size and of any key, so what came is checked here first. HEU keeps ciphertexts in
Montgomery form, which changes neither range nor whether a number is a unit.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from heu import numpy as heu_arrays
from heu import phe

from modeling.errors import DataUnusable, ParametersUnsafe, ProtocolViolation
from modeling.zero_table import Exponents, ZeroTable

SchemeName = Literal["okamoto-uchiyama", "paillier"]
Ciphers = Any
"""A heu.numpy.CiphertextArray of shape (n, 1), n > 0, under one public key."""
_Plaintexts = Any
_HeuKey = Any
Bytes2 = npt.NDArray[np.uint8]

MAX_BUCKETS: Final = 127
"""HEU's bucket numbers are int8."""
MAX_COLUMNS: Final = 8
"""Codes of so many columns fit together into 64 bits."""
_TAG: Final = 8
"""Bytes after each number in HEU's form that name the scheme."""


@dataclass(frozen=True, kw_only=True)
class _Scheme:
    schema: Any
    power: int
    """Ciphertexts are numbers modulo n to this power."""
    key_fields: int
    capacity: int
    """The plaintext's share of the key's bits: one in so many."""


_SCHEMES: Final[dict[str, _Scheme]] = {
    "okamoto-uchiyama": _Scheme(schema=phe.SchemaType.OU, power=1, key_fields=4, capacity=3),
    "paillier": _Scheme(schema=phe.SchemaType.ZPaillier, power=2, key_fields=2, capacity=1),
}
_STRING: Final = 0xDA
_BRIEF: Final = 0xD9
_SHORT: Final = 0xCD
KEY_BITS: Final = (2048, 3072)
EXPONENTS: Final[dict[tuple[str, int], Exponents]] = {
    ("okamoto-uchiyama", 2048): Exponents(bits=224, window=11),
    ("okamoto-uchiyama", 3072): Exponents(bits=256, window=11),
    ("paillier", 2048): Exponents(bits=448, window=11, pays=1024),
    ("paillier", 3072): Exponents(bits=512, window=11, pays=1024),
}
"""Of encryptions of zero, by scheme and bits of the key. A table has 43,000 to 96,000 numbers: 30 to 110 MB."""


def capacity_bits(scheme: SchemeName, bits: int) -> int:
    """Plaintexts v with |v| < 2^capacity are never reduced. Raises ParametersUnsafe."""
    if scheme not in _SCHEMES or bits not in KEY_BITS:
        raise ParametersUnsafe(f"{scheme!r} with {bits} bits is not offered; okamoto-uchiyama or paillier, {KEY_BITS}")
    return bits // _SCHEMES[scheme].capacity - 8


class PublicKey:
    """Encrypts, and computes with ciphertexts. The randomness comes from the operating system's generator."""

    def __init__(self, scheme: SchemeName, bits: int, data: bytes, made: _HeuKey = None) -> None:
        """`data`: HEU's form of a key, perhaps another party's. `made`: the same in HEU, where it has just been made.

        HEU keeps a table with each key, of 130 MB for Paillier with 3,072 bits, which `made` shares.
        Raises ParametersUnsafe for parameters that are not offered, ProtocolViolation unless it is such a key.
        """
        capacity = capacity_bits(scheme, bits)
        self.scheme, self.bits, self.data = scheme, bits, data
        self._exponents = EXPONENTS[scheme, bits]
        self._modulus = _checked_modulus(scheme, bits, data)
        self.width = -(-self._modulus.bit_length() // 8)
        try:
            key = phe.PublicKey.load_from(data) if made is None else made
            kit = heu_arrays.setup(key)
            self._kit, self._encryptor, self._evaluator = kit, kit.encryptor(), kit.evaluator()
            self._plain_zeros = functools.lru_cache(lambda count: self._plain(np.zeros(count, np.int64)))
            self._encrypted = 0
            fits = key.serialize() == data and kit.get_schema() == _SCHEMES[scheme].schema
            bound = int(str(key.plaintext_bound()))
            self._tag = bytes(self._encryptor.encrypt(self._plain_zeros(1)).serialize()[-_TAG:])
        except Exception as error:  # whatever a hostile key makes HEU raise
            raise ProtocolViolation(f"a public key cannot be read: {str(error)[:80]}") from None
        if not fits or bound.bit_length() <= capacity:
            raise ProtocolViolation(f"a public key is not one of {scheme} with {bits} bits")

    def encrypt(self, values: npt.NDArray[np.int64]) -> Ciphers:
        """int64[n] → ciphertexts."""
        if self._by_table(len(values)):
            return self.add_plain(self._table.draw(len(values)), values)
        return self._encryptor.encrypt(self._plain(values))

    def zeros(self, count: int) -> Ciphers:
        """So many fresh encryptions of zero."""
        return self._table.draw(count) if self._by_table(count) else self._encryptor.encrypt(self._plain_zeros(count))

    def add_plain(self, ciphers: Ciphers, values: npt.NDArray[np.int64]) -> Ciphers:
        """Ciphertexts of the sums. On fresh encryptions of zero this is encryption, with the costly half done before."""
        return self._evaluator.add(ciphers, self._plain(values))

    def add(self, one: Ciphers, other: Ciphers) -> Ciphers:
        """Element by element."""
        return self._evaluator.add(one, other)

    def subtract(self, one: Ciphers, other: Ciphers) -> Ciphers:
        """Element by element."""
        return self._evaluator.add(one, self.negate(other))

    def negate(self, ciphers: Ciphers) -> Ciphers:
        """Inverses of all at the price of one and three products each (Montgomery's trick, by halves)."""
        count = ciphers.rows
        if count == 1:
            return self._evaluator.sub(self.zeros(1), ciphers)
        half = count // 2
        left, right = take(ciphers, range(half)), take(ciphers, range(half, 2 * half))
        both = self.negate(self.add(left, right))  # of the sums: adding one side back leaves the other's negation
        parts = [self.add(both, right), self.add(both, left)]
        if count % 2:
            parts.append(self.negate(take(ciphers, [count - 1])))
        return self.join(parts)

    def add_groups(
        self, sums: Ciphers, ciphers: Ciphers, places: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]
    ) -> Ciphers:
        """Each of g sums plus a group of ciphertexts: those at the first sizes[0] of `places`, at the next sizes[1], and so on.

        `places`: int64[m]; `sizes`: int64[g], of sum m. Groups may be empty or have places in common.
        """
        return self.add(sums, self._group_sums(ciphers, places, sizes))

    def bucket_sums(
        self, ciphers: Ciphers, chosen: npt.NDArray[np.bool_], buckets: npt.NDArray[np.int8], count: int
    ) -> Ciphers:
        """Sums of the chosen rows by bucket, cumulated over buckets.

        `chosen`: bool[n], at least one row; `buckets`: int8[n, f], each below `count`, which is at most MAX_BUCKETS.
        Rows alike in all columns are summed only once where that is less work; so it helps to ask for few columns at a
        time, of which MAX_COLUMNS is the most. Returns f · count ciphertexts, feature by feature: element [j, b] sums the
        rows whose bucket of feature j is at most b. Raises DataUnusable for more columns or buckets.
        """
        rows, width = np.flatnonzero(chosen), buckets.shape[1]
        if width > MAX_COLUMNS or count > MAX_BUCKETS:  # over 64 bits, unlike rows would be taken for alike
            raise DataUnusable(
                f"{width} columns with {count} buckets; at most {MAX_COLUMNS} with {MAX_BUCKETS} at a time"
            )
        cells = buckets[rows].astype(np.int64) @ (count ** np.arange(width))
        _, first, cell = np.unique(cells, return_index=True, return_inverse=True)
        if len(rows) + len(first) * width < len(rows) * width:
            ciphers = self._group_sums(ciphers, rows[np.argsort(cell, kind="stable")], np.bincount(cell))
            buckets, chosen = buckets[rows[first]], np.full(len(first), True)
        mask = np.ascontiguousarray(chosen[None, :], np.int8)
        return self._evaluator.feature_wise_bucket_sum(ciphers, mask, np.ascontiguousarray(buckets), count, True)

    def pack(self, columns: Sequence[Ciphers], slot_bits: int) -> Ciphers:
        """Ciphertexts of Σ column_i · 2^(slot_bits · i), by Horner: fewer to send and to decrypt."""
        *rest, packed = columns
        shift = np.full((packed.rows, 1), 1 << slot_bits, object)
        factor = self._kit.array(shift)
        for column in reversed(rest):
            packed = self._evaluator.add(self._evaluator.mul(packed, factor), column)
        return packed

    def refresh(self, ciphers: Ciphers) -> Ciphers:
        """The same values with new randomness: the key's holder knows the old, and could tell by it which rows were summed."""
        return self.add(ciphers, self.zeros(ciphers.rows))

    def join(self, parts: Sequence[Ciphers]) -> Ciphers:
        """One vector after another."""
        joined, at = take(parts[0], [0] * sum(part.rows for part in parts)), 0
        for part in parts:
            joined[slice(at, at + part.rows), :] = part
            at += part.rows
        return joined

    def to_wire(self, ciphers: Ciphers) -> Bytes2:
        """uint8[n, width]."""
        raw, end, rows = bytes(ciphers.serialize()), len(_head(ciphers.rows)), []
        for _ in range(ciphers.rows):
            start, end = _string(raw, end)
            # In it a list of one string, and the tag; spelled out, for this runs once for every row.
            first = start + 4 if raw[start + 1] == _STRING else _string(raw, start + 1)[0]
            number = raw[first : end - _TAG]
            rows.append(number if len(number) == self.width else number.ljust(self.width, b"\0")[: self.width])
        return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, self.width)

    def from_wire(self, wire: Bytes2) -> Ciphers:
        """What another party sent. Raises ProtocolViolation unless every number is below the modulus and a unit."""
        if wire.ndim != 2 or wire.shape[1] != self.width or not len(wire):
            raise ProtocolViolation(
                f"ciphertexts of shape {wire.shape} came; under this key they are {self.width} bytes wide"
            )
        leading = np.ascontiguousarray(wire[:, -8:]).view("<u8")[:, 0]
        limit = self._modulus >> (8 * (self.width - 8))
        for row in np.flatnonzero(leading >= limit):
            if int.from_bytes(wire[row].tobytes(), "little") >= self._modulus:
                raise ProtocolViolation("a ciphertext is not below the modulus of the announced key")
        ciphers = self._load(wire)
        product = bytes(self._evaluator.sum(ciphers).serialize())  # of units only it is a unit
        first, last = _string(product, 1)
        if math.gcd(int.from_bytes(product[first:last], "little"), self._modulus) != 1:
            raise ProtocolViolation("a ciphertext is not in the group of the announced key")
        return ciphers

    def _by_table(self, count: int) -> bool:
        """Whether so many more encryptions are made with the table; not before it pays."""
        self._encrypted += count
        return self._encrypted > self._exponents.pays

    @functools.cached_property
    def _table(self) -> ZeroTable:
        return ZeroTable(self._evaluator, self._encryptor.encrypt(self._plain_zeros(1)), self._exponents)

    def _group_sums(self, ciphers: Ciphers, places: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> Ciphers:
        """As in `add_groups`; HEU gives the sums the shape (g,), which adding to (g, 1) mends."""
        # HEU's threads count references without Python's lock: what two groups share, be it one number, would be freed in use.
        # So each place becomes an object of its own here; CPython never frees the numbers below 257.
        own, ends = places.tolist(), np.cumsum(sizes).tolist()
        groups = [own[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
        return self._evaluator.batch_select_sum(ciphers, groups)

    def _plain(self, values: npt.NDArray[np.int64]) -> _Plaintexts:
        return self._kit.array(np.ascontiguousarray(values, np.int64).reshape(-1, 1))

    def _load(self, wire: Bytes2) -> Ciphers:
        """Write HEU's form: each number as a list of one string, and the tag, in a string. The added zero is the sign."""
        size = self.width + 1
        front = b"\xda" + (4 + size + _TAG).to_bytes(2, "big") + b"\x91\xda" + size.to_bytes(2, "big")
        rows = np.empty((len(wire), len(front) + size + _TAG), np.uint8)
        rows[:, : len(front)] = np.frombuffer(front, np.uint8)
        rows[:, len(front) : len(front) + self.width] = wire
        rows[:, len(front) + self.width] = 0
        rows[:, -_TAG:] = np.frombuffer(self._tag, np.uint8)
        return heu_arrays.CiphertextArray.load_from(_head(len(wire)) + rows.tobytes())


class SecretKey:
    """Decrypts; for one training or table. Its public half is `public`."""

    def __init__(self, scheme: SchemeName, bits: int) -> None:
        """A new pair. Raises ParametersUnsafe for parameters that are not offered, or if the pair fails its test."""
        capacity = capacity_bits(scheme, bits)
        kit = heu_arrays.setup(_SCHEMES[scheme].schema, bits)
        self._decryptor = kit.decryptor()
        try:
            self.public = PublicKey(scheme, bits, bytes(kit.public_key().serialize()), kit.public_key())
            sound = self._tested(capacity)
        except ProtocolViolation as error:
            raise ParametersUnsafe(f"a new key of {scheme} fails its own checks: {error}") from None
        if not sound:
            raise ParametersUnsafe(f"a new key of {scheme} does not decrypt what it encrypts")

    def decrypt(self, ciphers: Ciphers) -> list[int]:
        """Signed integers."""
        return [int(value) for value in self._decryptor.decrypt(ciphers).to_numpy().reshape(-1)]

    def _tested(self, capacity: int) -> bool:
        public, values = self.public, np.array([0, 1, -5, 1 << 60, -(1 << 60)])
        received = public.from_wire(public.to_wire(public.encrypt(values)))
        wide = public.pack([received] * (capacity // 64), 64)
        factor = sum(1 << (64 * place) for place in range(capacity // 64))
        none = public.refresh(public.subtract(received, received))
        return self.decrypt(wide) == [int(v) * factor for v in values] and self.decrypt(none) == [0] * len(values)


def take(ciphers: Ciphers, places: Sequence[int]) -> Ciphers:
    """Those at these places, in this order; HEU wants Python's integers."""
    return ciphers[list(places), :]


@functools.lru_cache(maxsize=1024)
def _head(rows: int) -> bytes:
    """What HEU's form of an array (rows, 1) begins with: rows, columns, dimensions, and the list's length."""
    count = bytes([0x90 | rows]) if rows < 16 else b"\xdc" + rows.to_bytes(2, "big")
    if rows > 0xFFFF:
        count = b"\xdd" + rows.to_bytes(4, "big")
    return b"\x94" + msgspec.msgpack.encode(rows) + b"\x01\x02" + count


def _string(raw: bytes, at: int) -> tuple[int, int]:
    """Where the MessagePack string at this place begins and ends."""
    if raw[at] == _STRING:
        return at + 3, at + 3 + int.from_bytes(raw[at + 1 : at + 3], "big")
    if raw[at] == _BRIEF:
        return at + 2, at + 2 + raw[at + 1]
    return at + 1, at + 1 + (raw[at] & 0x1F)


def _checked_modulus(scheme: SchemeName, bits: int, data: bytes) -> int:
    """The modulus of a key's ciphertexts, after every check that needs no HEU. Raises ProtocolViolation."""
    numbers = _numbers(data)
    told = _SCHEMES[scheme]
    if len(numbers) != told.key_fields:
        raise ProtocolViolation(f"a public key of {scheme} has {told.key_fields} numbers, {len(numbers)} came")
    n, *rest = numbers
    modulus: int = n**told.power
    if n % 2 == 0 or not bits <= n.bit_length() <= bits + 16:
        raise ProtocolViolation(f"a public key of {n.bit_length()} bits came where {bits} were announced")
    if any(not 1 < number < modulus for number in rest) or any(math.gcd(number, n) != 1 for number in rest[:2]):
        raise ProtocolViolation("a public key's generators are not in its group")
    return modulus


def _numbers(data: bytes) -> list[int]:
    """A list as HEU writes it: numbers as strings of little-endian bytes, one of 16 bits plain. Raises ProtocolViolation."""
    found: list[int] = []
    at, end = 1, len(data) - _TAG
    while at < end:
        if data[at] == _SHORT:
            found.append(int.from_bytes(data[at + 1 : at + 3], "big"))
            at += 3
        elif data[at] in (_STRING, _BRIEF):
            begin, at = _string(data, at)
            found.append(int.from_bytes(data[begin:at], "little"))
        else:
            break
    if at != end or data[0] != 0x90 | len(found):
        raise ProtocolViolation("a public key cannot be read")
    return found
