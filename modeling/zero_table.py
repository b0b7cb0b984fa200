"""Fresh encryptions of zero by a fixed-base table and exponents of chosen length.

An encryption of zero is g^r with a random r, and encrypting anything else is one product more. HEU draws r for Paillier of half the
key's bits (Damgård, Jurik, Nielsen, IJIS 2010), which is more than is needed, and for Okamoto-Uchiyama of 110 or 128 bits, which is
less: a guessed plaintext could be tested in 2^55 or 2^64 products (Pollard 1978). Here g^r is a product of table entries (Brickell,
Gordon, McCurley, Wilson, EUROCRYPT 1992), for Paillier at a third of HEU's cost, and r has

    key of              2,048      3,072 bits
    Paillier            448        512 bits     as Ma, Han, Lei, ACSAC 2021 (in a subgroup of that size, which HEU's keys do not have);
                                                Jost, Lam, Maximov, Smeets, ePrint 2015/864, precompute too
    Okamoto-Uchiyama    224        256 bits     twice the security of the key (NIST SP 800-57 part 1, table 2: 112 and 128 bits)

Assumption: g^r with such an r looks like g^r with any r. In groups of prime order that follows from discrete logarithms with short
exponents being hard (Koshiba, Kurosawa, PKC 2004); that half the bits look like all follows from factoring (Goldreich, Rosen,
J. Cryptology 2003). The best attack known takes the square root of the number of exponents. Who knows the group's order may first find
r modulo its small factors (van Oorschot, Wiener, EUROCRYPT 1996); Paillier's exponent has room for that, so that the key's holder does
not undo what another party refreshes.

The base g is one encryption of zero that HEU makes for this table, and not the h of the public key: a random element of the same
group, chosen by who encrypts and told to nobody, where h is the choice of who made the key. HEU's inner form of numbers is not touched.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]
_Evaluator = Any
_Ciphers = Any


@dataclass(frozen=True, kw_only=True)
class Exponents:
    """How long they are, and how they are put together.

    `bits`: at least so many are random. `window`: bits that one table entry stands for, at most 16; each more is less work for a zero
    and twice the table. `pays`: encryptions by HEU before there is a table; 0 where HEU's own are not to be used.
    """

    bits: int
    window: int
    pays: int = 0

    @property
    def windows(self) -> int:
        """Table entries that a zero is a product of."""
        return -(-self.bits // self.window)

    def drawn(self, count: int) -> Places:
        """Where in the table the factors of so many zeros are: int64[count, windows], of independent uniform digits.

        No digit is zero, so that every group has as many places; the exponent is a uniform one plus a constant.
        """
        random = np.frombuffer(secrets.token_bytes(2 * self.windows * count), "<u2").reshape(count, self.windows)
        digits = (random & ((1 << self.window) - 1)).astype(np.int64)
        return digits * self.windows + np.arange(self.windows)


class ZeroTable:
    """Powers of one random encryption of zero."""

    def __init__(self, evaluator: _Evaluator, zero: _Ciphers, exponents: Exponents) -> None:
        """`zero`: a fresh encryption of zero, shape (1, 1), that is used for nothing else.

        Row by row, element (digit - 1, window) is g^(digit · 2^(bits of a window · window)), digit from 1 to 2^bits of a window.
        """
        self._evaluator, self._exponents = evaluator, exponents
        windows, size = exponents.windows, exponents.windows << exponents.window
        self._table = zero[[0] * size, :]
        for window in range(1, windows):
            for _ in range(exponents.window):
                zero = evaluator.add(zero, zero)
            self._table[[window], :] = zero
        for known in (1 << bit for bit in range(exponents.window)):  # digits 1 .. known make as many more, on all cores
            top = list(range((known - 1) * windows, known * windows))
            made = evaluator.add(self._table[slice(0, known * windows), :], self._table[top * known, :])
            self._table[slice(known * windows, 2 * known * windows), :] = made

    def draw(self, count: int) -> _Ciphers:
        """So many fresh encryptions of zero, shape (count, 1)."""
        places = self._exponents.drawn(count)
        # By tolist each place is an object of its own, as HEU's threads need it: see PublicKey._group_sums.
        rest = self._evaluator.batch_select_sum(self._table, places[:, 1:].tolist())
        return self._evaluator.add(self._table[places[:, 0].tolist(), :], rest)
