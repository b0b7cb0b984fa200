"""Encryptions of zero, made while this party would only wait: adding a value to one encrypts it at a fraction of the cost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from modeling.additive import Bytes2, Ciphers, PublicKey
from modeling.gbdt.features import Ints
from modeling.gbdt.wire import PIECE

_BATCH: Final = 128
"""Zeros made between two looks at the channel; divides PIECE."""


class Stock:
    """Each encryption of zero is used once."""

    def __init__(self, key: PublicKey, rows: int) -> None:
        """For as many rows at most."""
        self._key, self._most = key, -(-rows // _BATCH)
        self._zeros: deque[Ciphers] = deque()

    def fill(self, ready: Callable[[], bool]) -> None:
        """Make some until `ready`, or until there are enough."""
        while len(self._zeros) < self._most and not ready():
            self._zeros.append(self._key.zeros(_BATCH))

    def encrypted(self, values: Ints) -> Iterator[Bytes2]:
        """The wire form of int64[n], in pieces."""
        for begin in range(0, len(values), PIECE):
            piece = values[begin : begin + PIECE]
            yield np.concatenate([self._batch(piece[at : at + _BATCH]) for at in range(0, len(piece), _BATCH)])

    def _batch(self, values: Ints) -> Bytes2:
        if len(values) == _BATCH and self._zeros:
            return self._key.to_wire(self._key.add_plain(self._zeros.popleft(), values))
        return self._key.to_wire(self._key.encrypt(values))
