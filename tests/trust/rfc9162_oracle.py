"""RFC 9162, 2.1.1, 2.1.3.1 and 2.1.4.1, word for word: the recursive definitions that tests compare with."""

import functools
from collections.abc import Sequence

from trust.suite import sm3


class Oracle:
    """The definitions over one list of leaf hashes; D[a:b] of the RFC is the pair (a, b) here."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = leaves
        self.mth = functools.cache(self._mth)

    def _mth(self, a: int, b: int) -> bytes:
        if a == b:
            return sm3(b"")
        if b - a == 1:
            return self.leaves[a]
        k = split(b - a)
        return sm3(b"\x01" + self.mth(a, a + k) + self.mth(a + k, b))

    def root(self, size: int) -> bytes:
        return self.mth(0, size)

    def path(self, m: int, size: int) -> list[bytes]:
        return self._path(m, 0, size)

    def _path(self, m: int, a: int, b: int) -> list[bytes]:
        if b - a == 1:
            return []
        k = split(b - a)
        if m < k:
            return [*self._path(m, a, a + k), self.mth(a + k, b)]
        return [*self._path(m - k, a + k, b), self.mth(a, a + k)]

    def proof(self, m: int, size: int) -> list[bytes]:
        return self._subproof(m, 0, size, True) if m else []

    def _subproof(self, m: int, a: int, b: int, whole: bool) -> list[bytes]:
        if m == b - a:
            return [] if whole else [self.mth(a, b)]
        k = split(b - a)
        if m <= k:
            return [*self._subproof(m, a, a + k, whole), self.mth(a + k, b)]
        return [*self._subproof(m - k, a + k, b, False), self.mth(a, a + k)]


def split(n: int) -> int:
    """Return the largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k
