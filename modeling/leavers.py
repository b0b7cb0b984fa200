"""Rows whose subjects withdraw while a training runs: asked before each step or tree, and gone from then on.

A party treats a row that has left as one that it has no record of. A checkpoint says which rows have left, and has a fingerprint of the
data of those that stay, so that a training does not go on with the data of another; what a row that left had been does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from modeling.errors import DataUnusable
from trust.suite import sm3

Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

Withdrawn = Callable[[], Sequence[int]]
"""Rows of the common order whose subjects have withdrawn by now."""


def nobody() -> Sequence[int]:
    """No subject withdraws."""
    return ()


class Leavers:
    """Which of a party's rows have left. `data`: its arrays, float64[n] or float64[n, p], as they are before anybody leaves."""

    def __init__(self, *data: npt.NDArray[np.float64]) -> None:
        self._data = data
        self.gone: Flags = np.zeros(len(data[0]), np.bool_)
        self._fingerprint = ""

    def add(self, rows: Sequence[int] | Ints) -> Ints:
        """int64[m]: those of the rows that were not gone before. Raises DataUnusable for a row that the cohort does not have."""
        asked = np.unique(np.array(rows, np.int64))
        if len(asked) and not 0 <= asked[0] <= asked[-1] < len(self.gone):
            raise DataUnusable(f"a row that withdrew is none of the {len(self.gone)} rows of the cohort")
        new: Ints = asked[~self.gone[asked]]
        if len(new):
            self.gone[new] = True
            self._fingerprint = ""
        return new

    @property
    def rows(self) -> list[int]:
        """Those that are gone, ascending."""
        found: list[int] = np.flatnonzero(self.gone).tolist()
        return found

    @property
    def packed(self) -> bytes:
        """The same as int32, little-endian."""
        return np.array(self.rows, "<i4").tobytes()

    @property
    def fingerprint(self) -> str:
        """SM3 of the data of the rows that stay."""
        if not self._fingerprint:
            self._fingerprint = sm3(b"".join(map(self._of, self._data))).hex()
        return self._fingerprint

    def restore(self, packed: bytes, fingerprint: str) -> Ints:
        """Begin where a checkpoint ends; the rows that are gone. Raises DataUnusable if it is of other data."""
        if len(packed) % 4:
            raise DataUnusable("the checkpoint is damaged")
        new = self.add(np.frombuffer(packed, "<i4").astype(np.int64))
        if self.fingerprint != fingerprint:
            raise DataUnusable("the checkpoint is of other columns or rows, or their values have changed since")
        return new

    def _of(self, array: npt.NDArray[Any]) -> bytes:
        stays = array.astype("<f8")
        stays[self.gone] = 0.0
        return str(array.shape).encode() + stays.tobytes()
