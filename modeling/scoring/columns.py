"""The heavy part of scoring many rows: a block of 8,192 rows times the encrypted weights, in whatever process keeps them.

A process keeps the sessions and the encoded columns that it met last. Columns with names are kept within a limit; room is made by
dropping other columns only, so that a table larger than the limit does not push itself out while it is gone through.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

import msgspec
import numpy as np

from modeling.errors import ProtocolViolation
from modeling.scoring import ring
from modeling.scoring.ring import PublicKey, Sum

_SESSIONS: Final = 16


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """What a process needs of a session to answer its blocks."""

    number: bytes
    public: bytes
    columns: tuple[bytes, ...]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A block. `columns`: int32[p, rows], or empty if they are kept under their `names`; `mask`: uint64[8192], or empty for zero."""

    number: bytes
    session: Session | None
    names: tuple[str, ...]
    place: int
    columns: bytes
    mask: bytes
    keep: int


def load_session(chunk: bytes) -> bytes:
    """Keep a session. Raises ProtocolViolation."""
    _kept.load(msgspec.msgpack.decode(chunk, type=Session))
    return b"loaded"


def answer_block(chunk: bytes) -> bytes:
    """The answer to a task; empty if something that it needs is not kept here. Raises ProtocolViolation."""
    task = msgspec.msgpack.decode(chunk, type=Task)
    if task.session is not None:
        _kept.load(task.session)
    session = _kept.session(task.number)
    if session is None:
        return b""
    key, weights = session
    columns = _kept.columns(task, len(weights))
    if columns is None:
        return b""
    products = Sum()
    for weight, column in zip(weights, columns, strict=True):
        products.add(weight, column)
    return key.hidden(products, np.frombuffer(task.mask, "<u8").astype(np.uint64) if task.mask else None)


def loaded(session: Session) -> tuple[PublicKey, list[Any]]:
    """Key and weights, checked. Raises ProtocolViolation."""
    if not session.columns:
        raise ProtocolViolation("a model came without weights for this party")
    return PublicKey(session.public), [ring.received(each) for each in session.columns]


class _Kept:
    """What this process keeps."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[bytes, tuple[PublicKey, list[Any]]] = OrderedDict()
        self._columns: OrderedDict[tuple[str, int], Any] = OrderedDict()

    def load(self, session: Session) -> None:
        if session.number not in self._sessions:
            self._sessions[session.number] = loaded(session)
        if len(self._sessions) > _SESSIONS:
            self._sessions.popitem(last=False)

    def session(self, number: bytes) -> tuple[PublicKey, list[Any]] | None:
        if number in self._sessions:
            self._sessions.move_to_end(number)
        return self._sessions.get(number)

    def columns(self, task: Task, width: int) -> list[Any] | None:
        keys = [(name, task.place) for name in task.names]
        if keys and all(key in self._columns for key in keys):
            for key in keys:
                self._columns.move_to_end(key)
            return [self._columns[key] for key in keys]
        if not task.columns:
            return None
        table = np.frombuffer(task.columns, "<i4").reshape(width, -1)
        encoded = [ring.plain(column.astype(np.int64)) for column in table]
        for key, column in zip(keys, encoded, strict=False):  # without names there is nothing to keep
            self._keep(key, column, task)
        return encoded

    def _keep(self, key: tuple[str, int], column: Any, task: Task) -> None:  # noqa: ANN401
        room = task.keep // ring.PLAIN_BYTES
        while self._columns and len(self._columns) >= room and next(iter(self._columns))[0] not in task.names:
            self._columns.popitem(last=False)
        if len(self._columns) < room or key in self._columns:
            self._columns[key] = column


_kept: Final = _Kept()
