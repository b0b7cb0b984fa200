"""The two heavy maps of boosting, encryption of rows and their sums by bucket, in this process or on an executor.

In this process is the default, and not slower for want of processes: HEU's own threads use all cores of the machine. On an executor a
task is a piece of rows: its numbers or ciphertexts go to a worker as bytes, with the public key; the worker makes the key of them once,
with every check, and so checks what another party sent exactly as this process would. The decryption key stays here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.additive import Bytes2, Ciphers, PublicKey, SchemeName
from modeling.executor import Executor
from modeling.gbdt.features import Binned, Flags, Ints
from modeling.gbdt.wire import PIECE

_KEYS: Final = 4
"""Keys that a worker keeps: one with a table may take 130 MB."""

Codes = npt.NDArray[np.int8]
_Groups = tuple[tuple[int, ...], ...]
_Named = tuple[SchemeName, int, bytes]
"""A public key as it goes to a worker: scheme, bits, HEU's form."""


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
        work = functools.partial(_summed, _named(self._key), self._width, self._groups)
        for found in self._executor.map(work, (self._chunk(place, chosen) for place, chosen in parts)):
            yield self._key.from_wire(np.frombuffer(found, np.uint8).reshape(-1, self._key.width))

    def _codes_of(self, place: int) -> Codes:
        return self._codes[place * PIECE : (place + 1) * PIECE]

    def _chunk(self, place: int, chosen: Flags) -> bytes:
        """The chosen rows only: each travels at most once for each level of a tree."""
        return msgspec.msgpack.encode((self._pieces[place][chosen].tobytes(), self._codes_of(place)[chosen].tobytes()))


def encrypted(key: PublicKey, values: Ints, executor: Executor) -> Iterator[Bytes2]:
    """The wire form of int64[n], in pieces, by the workers of an executor."""
    chunks = (values[begin : begin + PIECE].astype("<i8").tobytes() for begin in range(0, len(values), PIECE))
    for found in executor.map(functools.partial(_encrypted, _named(key)), chunks):
        yield np.frombuffer(found, np.uint8).reshape(-1, key.width)


def _named(key: PublicKey) -> _Named:
    return key.scheme, key.bits, key.data


@functools.lru_cache(maxsize=_KEYS)
def _key(named: _Named) -> PublicKey:
    return PublicKey(*named)


def _encrypted(named: _Named, chunk: bytes) -> bytes:
    key = _key(named)
    return key.to_wire(key.encrypt(np.frombuffer(chunk, "<i8").astype(np.int64))).tobytes()


def _summed(named: _Named, width: int, groups: _Groups, chunk: bytes) -> bytes:
    key = _key(named)
    rows, codes = msgspec.msgpack.decode(chunk, type=tuple[bytes, bytes])
    ciphers = key.from_wire(np.frombuffer(rows, np.uint8).reshape(-1, key.width))
    buckets = np.frombuffer(codes, np.int8).reshape(ciphers.rows, -1)
    return key.to_wire(_sums(key, ciphers, np.full(ciphers.rows, True), buckets, width, groups)).tobytes()


def _sums(key: PublicKey, ciphers: Ciphers, chosen: Flags, codes: Codes, width: int, groups: _Groups) -> Ciphers:
    """Group by group: columns that are summed together stand together."""
    return key.join([key.bucket_sums(ciphers, chosen, codes[:, group], width) for group in groups])
