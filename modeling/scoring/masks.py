"""Masks that pairs of providers share: uniform modulo 2^64, and together they cancel (Bonawitz et al., CCS 2017, without dropouts).

Of each pair the provider of the lower place draws a seed and sends it to the other, sealed; the bank carries it and cannot read it. The
lower adds the pair's mask, the higher takes it away. Row i's mask is SM4, under HKDF-SM3 of seed and request number, of the digest of i
and the row's subject, cut to 64 bits: where a bank names one subject to one provider and another to the other, nothing opens. Modulo a
smaller power of two the same masks are uniform too.

A row that a provider refuses is *hidden*: it gets a mask that nobody keeps, and so opens only where every provider lets it.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from modeling.errors import ArgumentInvalid, ProtocolViolation
from trust.suite import KEY_SIZE, hkdf_sm3, sm3

Words = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]

SEED_BYTES: Final = 32
_BLOCK: Final = 16
_MOST_REQUESTS: Final = 1 << 63


def new_seed() -> bytes:
    """For the provider of the lower place of a pair to draw, and send to the other sealed."""
    return secrets.token_bytes(SEED_BYTES)


class PairMasks:
    """One provider's masks in one session."""

    def __init__(self, own_place: int, seeds: Mapping[int, bytes]) -> None:
        """`seeds`: for each other provider's place its pair's 32 bytes; empty with one provider, whose masks are zero.

        Raises ArgumentInvalid.
        """
        if own_place in seeds or any(len(seed) != SEED_BYTES for seed in seeds.values()):
            raise ArgumentInvalid(f"a provider has one seed of {SEED_BYTES} bytes for each other provider")
        self._own, self._seeds = own_place, dict(seeds)
        self._used = -1

    def take(self, request: int, count: int, hidden: Flags | None = None, subjects: Sequence[bytes] = ()) -> Words:
        """uint64[count] for this request, to be added; `hidden`: bool[n], `subjects`: of up to `count` rows, the first.

        Raises ArgumentInvalid, and ProtocolViolation for a number not above all that were taken before.

        A request whose answer was lost is repeated under a new number: two answers under one mask would tell their difference.
        """
        if hidden is not None and (hidden.dtype != np.bool_ or hidden.ndim != 1 or len(hidden) > count):
            raise ArgumentInvalid(f"which rows are hidden is said by up to {count} flags")
        if len(subjects) > count:
            raise ArgumentInvalid(f"{len(subjects)} subjects came for {count} rows")
        if not self._used < request < _MOST_REQUESTS:
            raise ProtocolViolation(
                f"request {request} of this session was answered, or passed over; ask under a new number"
            )
        self._used = request
        total = np.zeros(count, np.uint64)
        inputs = _inputs(count, subjects) if self._seeds else b""
        for place, seed in self._seeds.items():
            stream = _stream(seed, request, inputs)
            total = total + stream if self._own < place else total - stream
        if hidden is not None:
            total[: len(hidden)][hidden] = np.frombuffer(secrets.token_bytes(8 * int(hidden.sum())), np.uint64)
        return total


def _inputs(count: int, subjects: Sequence[bytes]) -> bytes:
    """A block of SM4 for each row, each another."""
    numbers = (place.to_bytes(8, "big") for place in range(count))
    return b"".join(sm3(number + subject)[:_BLOCK] for number, subject in zip_longest(numbers, subjects, fillvalue=b""))


def _stream(seed: bytes, request: int, inputs: bytes) -> Words:
    key = hkdf_sm3(seed, b"", b"xinqiao score mask" + request.to_bytes(8, "big"), KEY_SIZE)
    cipher = Cipher(algorithms.SM4(key), modes.ECB()).encryptor()  # noqa: S305 - a function of single blocks, no two alike
    return np.frombuffer(cipher.update(inputs), "<u8")[::2].astype(np.uint64)
