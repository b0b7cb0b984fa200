"""Additive encryption of small counts: Okamoto-Uchiyama (EUROCRYPT 1998) by sf-heu, 3072 bits.

What comes from the other party is read by heu's own C++ reader, which believes the number of elements that a text claims; so the
beginning of the text, where that number stands, is compared with the one that is due before heu sees it. heu has no check of a
public key: its size is read from its printed form.

Decryption must never be an oracle: an Okamoto-Uchiyama plaintext that is encrypted above the secret prime p and returned reduced
modulo p gives p away. `LabelKey.counts` therefore returns small numbers or nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from heu import numpy as hnp
from heu import phe

from modeling.errors import ParametersUnsafe, ProtocolViolation

BITS: Final = 3072
LEAST_BITS: Final = 2048
"""The smallest modulus that is made, or accepted from another party."""
_SCHEMA: Final = phe.SchemaType.OU
_ENCODER: Final = phe.BigintEncoder(_SCHEMA)
_READING: Final = (RuntimeError, IndexError, MemoryError, ValueError, phe.PheRuntimeError)
"""What heu raises for bytes that it cannot read."""

Ciphertexts = Any
"""heu's one-dimensional array of ciphertexts; heu has no types."""


class LabelKey:
    """The active party's key pair. Making one takes 1 to 40 seconds of a core: make it once for a job."""

    def __init__(self, bits: int = BITS) -> None:
        """A fresh key; heu takes randomness from the system. Raises ParametersUnsafe for a short one."""
        if bits < LEAST_BITS:
            raise ParametersUnsafe(f"a key of {bits} bits is too short; {LEAST_BITS} at least, {BITS} by default")
        self._kit = hnp.setup(_SCHEMA, bits)

    @property
    def public(self) -> bytes:
        """The public key, as it travels."""
        return bytes(self._kit.public_key().serialize())

    def encrypt(self, values: npt.NDArray[np.int64]) -> bytes:
        """Ciphertexts of numbers of at least 0, int64[n], as they travel."""
        return bytes(self._kit.encryptor().encrypt(hnp.array(values, _ENCODER)).serialize())

    def counts(self, data: bytes, count: int, most: int) -> list[int]:
        """The plaintexts of `count` ciphertexts. Raises ProtocolViolation if one is not in 0 .. most, and then says no more."""
        try:
            found = self._kit.decryptor().decrypt(_read(data, count)).to_numpy(_ENCODER)
        except _READING:
            raise ProtocolViolation("sums cannot be decrypted") from None
        values = [int(each) for each in found.ravel()]
        if any(not 0 <= each <= most for each in values):
            raise ProtocolViolation("a sum is not one of the labels that were sent")
        return values


@dataclass(frozen=True)
class PublicKey:
    """The passive party's side of a key."""

    kit: Any

    @staticmethod
    def read(data: bytes) -> PublicKey:
        """Raises ProtocolViolation for what is no public key of this scheme, or a weak one."""
        if len(data) > 8192:
            raise ProtocolViolation("a public key is too long")
        try:
            key = phe.PublicKey.load_from(data)
            told = re.match(r"OU PK: n=([0-9A-F]+)\[", str(key))
            modulus = int(told[1], 16) if told else 0
            if modulus.bit_length() < LEAST_BITS or modulus % 2 == 0:
                raise ProtocolViolation(f"a public key is no Okamoto-Uchiyama key of at least {LEAST_BITS} bits")
            return PublicKey(hnp.setup(key))
        except _READING as error:
            raise ProtocolViolation(f"a public key cannot be read ({type(error).__name__})") from None

    def zeros(self, count: int) -> Ciphertexts:
        """Fresh encryptions of zero: to begin sums with, and what hides which ciphertexts went into them."""
        return self.kit.encryptor().encrypt(hnp.array(np.zeros(count, np.int64), _ENCODER))

    def add_sums(self, sums: Ciphertexts, data: bytes, count: int, groups: list[list[int]]) -> Ciphertexts:
        """Sums plus, for each group, the sum of its places among `count` ciphertexts. Raises ProtocolViolation."""
        try:
            read = _read(data, count)
            # heu's threads count references without Python's lock: a list or a number that two groups share would be freed in use.
            own = [np.array(group, np.int64).tolist() for group in groups]
            return self.kit.evaluator().add(sums, self.kit.evaluator().batch_select_sum(read, own))
        except _READING as error:
            raise ProtocolViolation(f"ciphertexts cannot be added ({type(error).__name__})") from None

    def text(self, sums: Ciphertexts) -> bytes:
        """Sums as they travel."""
        return bytes(sums.serialize())


def _read(data: bytes, count: int) -> Ciphertexts:
    """Raises ProtocolViolation, or one of `_READING`."""
    pack = msgspec.msgpack.encode
    # rows, columns, dimensions, and the beginning of an array of as many elements
    due = b"\x94" + pack(count) + pack(1) + pack(1) + pack([None] * count)[:-count]
    if not data.startswith(due) or len(data) > len(due) + count * 2048:
        raise ProtocolViolation(f"{count} ciphertexts were due, and the bytes are not of so many")
    found = hnp.CiphertextArray.load_from(data)
    if found.size != count or found.ndim != 1:
        raise ProtocolViolation(f"{count} ciphertexts were due, {found.size} came")
    return found
