"""Which subjects of a transfer have withdrawn since it was planned."""

from __future__ import annotations

import asyncio
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from consent.columns import NEVER, ConsentColumns
from nodes.errors import NodeError
from nodes.replica import Replica

_UNKNOWN: Final = -1

Rows = npt.NDArray[np.int64]


class Withdrawn:
    """The permitted subjects whose consent ended since the plan was made; looked at again only when the log has grown.

    Finding the consents takes a second a million, in another thread. A look takes some milliseconds a million, in the event loop's, so
    that nothing comes between it and the sending of what it lets pass.
    """

    def __init__(self, replica: Replica, subjects: pa.Array, rows: Rows) -> None:
        """Made by `of`. `rows`: where the subjects' consents stand in the book."""
        self._replica = replica
        self._subjects, self._rows = subjects, rows
        self._positions: object = None
        self._gone = np.zeros(len(rows), np.bool_)
        self._codes = pa.array([], pa.string())

    @classmethod
    async def of(cls, replica: Replica, permitted: pa.Table) -> Self:
        """Of the subjects of a plan. A consent that the book does not know counts as ended."""
        rows = await asyncio.to_thread(_rows, replica.own_book.snapshot(), permitted)
        return cls(replica, permitted.column("uscc").combine_chunks(), rows)

    def now(self) -> pa.Array:
        """Codes to leave out: the same object as long as nothing has changed. Raises NodeError while the hub is in doubt."""
        if self._replica.alarm is not None:
            raise NodeError(
                "The node has seen the hub contradict itself and stopped the transfer.", code="LOG_INCONSISTENT"
            )
        positions = self._replica.positions()
        if positions != self._positions:
            self._positions = positions
            gone = self._look()
            if not np.array_equal(gone, self._gone):
                self._gone, self._codes = gone, self._subjects.filter(pa.array(gone))
        return self._codes

    def _look(self) -> npt.NDArray[np.bool_]:
        revoked = np.frombuffer(self._replica.own_book.revoked[:], np.int64)  # a copy: see ConsentColumns
        gone: npt.NDArray[np.bool_] = self._rows == _UNKNOWN
        gone[~gone] = revoked[self._rows[~gone]] != NEVER
        return gone


def _rows(book: ConsentColumns, permitted: pa.Table) -> Rows:
    found = map(book.row_of, permitted.column("consent_id").to_pylist())
    return np.array([_UNKNOWN if row is None else row for row in found], np.int64)
