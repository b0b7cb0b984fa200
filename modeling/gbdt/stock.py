"""Encryptions of zero, made while this party would only wait: adding a value to one encrypts it at a fraction of the cost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from modeling.additive import Bytes2, Ciphers, PublicKey
from modeling.additive_rows import encrypted
from modeling.executor import Executor
from modeling.gbdt.features import Ints
from modeling.gbdt.wire import PIECE

_BATCH: Final = 128
"""Zeros made between two looks at the channel; divides PIECE."""
MOST_AHEAD: Final = 1 << 16
"""Zeros that are kept at most: each takes some 2.5 KB."""


class Stock:
    """Each encryption of zero is used once."""

    def __init__(self, key: PublicKey, rows: int, trees: int, executor: Executor | None = None) -> None:
        """For as many rows at most, `trees` times. With an executor its workers encrypt, and nothing is made ahead."""
        self._key, self._executor = key, executor
        batches = -(-rows // _BATCH) if executor is None else 0
        self._most = min(batches, MOST_AHEAD // _BATCH)
        self._wanted = batches * trees
        self._zeros: deque[Ciphers] = deque()

    def fill(self, ready: Callable[[], bool]) -> None:
        """Make some until `ready`, or until there are enough."""
        while len(self._zeros) < min(self._most, self._wanted) and not ready():
            self._zeros.append(self._key.zeros(_BATCH))

    def encrypted(self, values: Ints) -> Iterator[Bytes2]:
        """The wire form of int64[n], in pieces."""
        if self._executor is not None:
            yield from encrypted(self._key, values, PIECE, self._executor)
            return
        for begin in range(0, len(values), PIECE):
            piece = values[begin : begin + PIECE]
            yield np.concatenate([self._batch(piece[at : at + _BATCH]) for at in range(0, len(piece), _BATCH)])

    def _batch(self, values: Ints) -> Bytes2:
        self._wanted -= 1
        if len(values) == _BATCH and self._zeros:
            return self._key.to_wire(self._key.add_plain(self._zeros.popleft(), values))
        return self._key.to_wire(self._key.encrypt(values))
