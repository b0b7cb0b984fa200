"""Numbers that the two computing parties share as integers which add up to them: exact, without a modulus, so nothing overflows.

    residues    s0 + s1 = z modulo t, |z| <= t/4
    lifted      i0 + i1 = z: by one product of a bit that one party knows and a bit that the other knows

s0 + t/4 and s1 add up to z + t/4, which is below t/2, or to t more. They wrapped around if and only if one of them is at least t/2, so
wrapped = 1 - (1 - a)(1 - b) with each party's own bit: "truncation with known most significant bit" (SIRNN, IEEE S&P 2021; Cheetah,
USENIX Security 2022). The product's shares modulo t add up to 0 or 1 as integers but with probability 2^-56.

Integer shares hide nothing once they are told; they leave a party encrypted, masked, or freshly shared. Fixed point has 80 fraction
bits. Division rounds down at either party: one unit of the last place.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from modeling.bfv import PLAIN_MODULUS
from modeling.errors import ProtocolViolation, RangeExceeded

Numbers = npt.NDArray[np.object_]
"""Python integers of any size."""
Residues = npt.NDArray[np.int64]
"""In [0, t)."""

FRACTION_BITS: Final = 80
_QUARTER: Final = PLAIN_MODULUS // 4
_HALF: Final = (PLAIN_MODULUS + 1) // 2
_BYTES: Final = 48
_FRESH_BITS: Final = 360
"""Of a fresh share: 2^-100 and less is left of a number of 256 bits."""


def zeros(count: int) -> Numbers:
    """Integers."""
    return np.array([0] * count, dtype=object)


def residues(numbers: Numbers, bits: int) -> Residues:
    """Numbers in fixed point with so many fraction bits, modulo t."""
    return np.array((numbers >> (FRACTION_BITS - bits)) % PLAIN_MODULUS, np.int64)


def real(numbers: Numbers) -> npt.NDArray[np.float64]:
    """What they stand for."""
    return np.array([float(each) for each in numbers], np.float64) / float(1 << FRACTION_BITS)


def raised(share: Residues) -> Residues:
    """The first party's share of z + t/4."""
    return np.mod(share + _QUARTER, PLAIN_MODULUS)


def low(share: Residues) -> Residues:
    """1 where a share (the first party's raised) is below t/2."""
    return (share < _HALF).astype(np.int64)


def lifted_first(share: Residues, product: Residues) -> Numbers:
    """The first party's integers; `share` raised, `product` its share of the bits' product."""
    found: Numbers = share.astype(object) - _QUARTER - PLAIN_MODULUS + PLAIN_MODULUS * product.astype(object)
    return found


def lifted_second(share: Residues, mask: Residues) -> Numbers:
    """The second party's integers; its share of the product is the mask, negated."""
    found: Numbers = share.astype(object) - PLAIN_MODULUS * mask.astype(object)
    return found


def fresh(count: int) -> Numbers:
    """Uniform integers that share numbers anew."""
    return np.array([secrets.randbits(_FRESH_BITS) - (1 << (_FRESH_BITS - 1)) for _ in range(count)], dtype=object)


def packed(numbers: Numbers) -> bytes:
    """48 bytes each, little-endian. Raises RangeExceeded."""
    try:
        return b"".join(int(each).to_bytes(_BYTES, "little", signed=True) for each in numbers)
    except OverflowError:
        raise RangeExceeded(
            "the training diverged: its numbers outgrew their range; is a column not standardised?"
        ) from None


def unpacked(data: bytes, count: int) -> Numbers:
    """Raises ProtocolViolation."""
    if len(data) != count * _BYTES:
        raise ProtocolViolation(f"{count} numbers should take {count * _BYTES} bytes, not {len(data)}")
    parts = (data[at : at + _BYTES] for at in range(0, len(data), _BYTES))
    return np.array([int.from_bytes(part, "little", signed=True) for part in parts], dtype=object)


def times(matrix: Any, vector: Numbers) -> Numbers:  # noqa: ANN401 - Python integers
    """A public matrix of integers times a shared vector."""
    found: Numbers = np.array(matrix, dtype=object) @ vector
    return found
