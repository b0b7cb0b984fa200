"""Which subjects of a transfer have withdrawn since it was planned."""

from __future__ import annotations

import pyarrow as pa

from nodes.errors import NodeError
from nodes.replica import Replica


class Withdrawn:
    """The permitted subjects whose consent ended since the plan was made; looked at again only when the log has grown."""

    def __init__(self, replica: Replica, permitted: pa.Table) -> None:
        self._replica = replica
        self._permitted = permitted
        self._positions: object = None
        self._codes = pa.array([], pa.string())

    def now(self) -> pa.Array:
        """Codes to leave out: the same object as long as nothing has changed. Raises NodeError while the hub is in doubt."""
        if self._replica.alarm is not None:
            raise NodeError(
                "The node has seen the hub contradict itself and stopped the transfer.", code="LOG_INCONSISTENT"
            )
        positions = self._replica.positions()
        if positions != self._positions:
            self._positions = positions
            self._codes = pa.array(self._look(), pa.string())
        return self._codes

    def _look(self) -> list[str]:
        book = self._replica.own_book
        gone = []
        for code, consent in zip(
            self._permitted.column("uscc").to_pylist(), self._permitted.column("consent_id").to_pylist(), strict=True
        ):
            view = book.view(consent)
            if view is None or view.revoked_ms is not None:
                gone.append(code)
        return gone
