"""Which failures are the database's own (disk, connection, lock) and what the caller is told; the rest are ours."""

from __future__ import annotations

import errno
import sqlite3
import traceback
from typing import Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from hub.errors import HubError

_SQLITE_FULL: Final = {sqlite3.SQLITE_FULL}
_SQLITE_AWAY: Final = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
}
# SQLSTATE: 53100 disk full; classes 08 connection, 57 operator intervention, 53 resources, 40 serialisation and
# deadlock.
_STATE_FULL: Final = "53100"
_STATES_AWAY: Final = ("08", "57", "53", "40")


def of_database(problem: BaseException) -> HubError | None:
    """DISK_FULL or UNAVAILABLE for a failure of the database itself, None for any other exception."""
    if isinstance(problem, OSError) and problem.errno == errno.ENOSPC:
        return HubError("DISK_FULL")
    original = problem.orig if isinstance(problem, DBAPIError) else problem
    if isinstance(original, sqlite3.Error):
        return _of_sqlite(original)
    state = getattr(original, "sqlstate", None)
    if state == _STATE_FULL:
        return HubError("DISK_FULL")
    lost = isinstance(problem, DBAPIError) and problem.connection_invalidated
    if lost or (isinstance(state, str) and state.startswith(_STATES_AWAY)):
        return HubError("UNAVAILABLE", "the hub's database is not reachable or busy; call again", retry_after_ms=1000)
    return None


def trace_of(problem: BaseException) -> str:
    """What may be logged of an exception: where it came from, and its text only if no database had a part in it.

    A database's messages quote the values of rows ("Key (uscc)=(…) already exists"), and those are personal data.
    """
    chain: list[BaseException] = []
    following: BaseException | None = problem
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or following.__context__
    if not any(isinstance(one, SQLAlchemyError) for one in chain):
        return "".join(traceback.format_exception(problem))
    parts = [f"{type(one).__module__}.{type(one).__qualname__}" for one in chain]
    return "".join((*traceback.format_tb(problem.__traceback__), " from ".join(parts)))


def _of_sqlite(problem: sqlite3.Error) -> HubError | None:
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF  # extended codes carry the primary one in the low byte
    if code in _SQLITE_FULL:
        return HubError("DISK_FULL")
    if code in _SQLITE_AWAY:
        return HubError(
            "UNAVAILABLE", "the hub's database is locked or its disk fails; call again", retry_after_ms=1000
        )
    return None
