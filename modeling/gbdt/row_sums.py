"""Sums of encrypted rows by bucket, with encryption the heavy map of boosting, in this process or on an executor (`additive_rows`).

In this process is the default, and not slower for want of processes: HEU's own threads use all cores of the machine.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.additive import Bytes2, Ciphers, PublicKey
from modeling.additive_rows import Named, key_of, named
from modeling.executor import Executor
from modeling.gbdt.features import Binned, Flags, Ints
from modeling.gbdt.wire import PIECE

Codes = npt.NDArray[np.int8]
_Groups = tuple[tuple[int, ...], ...]


class RowSums:
    """The ciphertexts of the rows that a tree sees, and sums of them by bucket, cumulated over each column's buckets."""

    def __init__(self, key: PublicKey, table: Binned, seen: Ints, executor: Executor | None) -> None:
        """`seen`: int64[m], the rows of the table that come, in their order."""
        self._key, self._executor, self._groups, self._width = key, executor, table.groups, table.width
        self._codes = np.ascontiguousarray(table.codes[seen])
        self._pieces: list[Any] = []  # Ciphers here, and Bytes2 for an executor

    def take(self, pieces: Iterable[Bytes2]) -> Ciphers:
        """Keep the pieces as they come; the sums of all rows, brought forward with each. Raises ProtocolViolation."""
        return self._total((place, np.full(len(piece), True)) for place, piece in enumerate(self._kept(pieces)))

    def of(self, members: Flags) -> Ciphers:
        """The sums of some of the m rows."""
        parts = ((place, members[begin : begin + PIECE]) for place, begin in enumerate(range(0, len(members), PIECE)))
        return self._total((place, chosen) for place, chosen in parts if chosen.any())

    def _kept(self, pieces: Iterable[Bytes2]) -> Iterator[Bytes2]:
        for piece in pieces:
            self._pieces.append(self._key.from_wire(piece) if self._executor is None else piece)
            yield piece

    def _total(self, parts: Iterable[tuple[int, Flags]]) -> Ciphers:
        total: Ciphers | None = None
        for found in self._each(parts):
            total = found if total is None else self._key.add(total, found)
        return self._key.zeros(self._codes.shape[1] * self._width) if total is None else total

    def _each(self, parts: Iterable[tuple[int, Flags]]) -> Iterator[Ciphers]:
        if self._executor is None:
            for place, chosen in parts:
                yield _sums(self._key, self._pieces[place], chosen, self._codes_of(place), self._width, self._groups)
            return
        work = functools.partial(_summed, named(self._key), self._width, self._groups)
        for found in self._executor.map(work, (self._chunk(place, chosen) for place, chosen in parts)):
            yield self._key.from_wire(np.frombuffer(found, np.uint8).reshape(-1, self._key.width))

    def _codes_of(self, place: int) -> Codes:
        return self._codes[place * PIECE : (place + 1) * PIECE]

    def _chunk(self, place: int, chosen: Flags) -> bytes:
        """The chosen rows only: each travels at most once for each level of a tree."""
        return msgspec.msgpack.encode((self._pieces[place][chosen].tobytes(), self._codes_of(place)[chosen].tobytes()))


def _summed(told: Named, width: int, groups: _Groups, chunk: bytes) -> bytes:
    key = key_of(told)
    rows, codes = msgspec.msgpack.decode(chunk, type=tuple[bytes, bytes])
    ciphers = key.from_wire(np.frombuffer(rows, np.uint8).reshape(-1, key.width))
    buckets = np.frombuffer(codes, np.int8).reshape(ciphers.rows, -1)
    return key.to_wire(_sums(key, ciphers, np.full(ciphers.rows, True), buckets, width, groups)).tobytes()


def _sums(key: PublicKey, ciphers: Ciphers, chosen: Flags, codes: Codes, width: int, groups: _Groups) -> Ciphers:
    """Group by group: columns that are summed together stand together."""
    return key.join([key.bucket_sums(ciphers, chosen, codes[:, group], width) for group in groups])
