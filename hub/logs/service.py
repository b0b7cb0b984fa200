"""The hub's append-only logs: "directory", "consent/<provider>", "usage".

Rules:
1. Only `append` adds, inside `Database.write`; nothing changes or removes an entry. Indexes are given out at once and
   without gaps; entries, tiles and size become durable in the same commit (the run of a whole group is written at its
   end).
2. A reader sees entries, tiles and size of one snapshot, so that a proof always belongs to the size that it is for.
3. Whoever asks for what is beyond the log's end gets PROOF_OUT_OF_RANGE, for a log that does not exist NOT_FOUND.
4. An append touches the topic that is the log's origin: the push streams wake on it after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from sqlalchemy import Connection, bindparam, insert, select, text

from hub.database import group_of, open_group, touch
from hub.errors import HubError
from hub.logs.tables import log_entries, logs
from hub.logs.tiles import SqlTileStore
from trust.merkle import OutsideLog, leaf_hash
from trust.tiles import TiledLog

T = TypeVar("T")
DIRECTORY: Final = "directory"
USAGE: Final = "usage"
MAX_PAGE: Final = 5000
_PARTICIPANT: Final = "logs"

# Made once: what SQLAlchemy has to find out about a statement costs more than to run it.
_SIZE: Final = select(logs.c.size).where(logs.c.origin == bindparam("origin"))
_ORIGINS: Final = select(logs.c.origin).order_by(logs.c.origin)
_LEAVES: Final = (
    select(log_entries.c.leaf)
    .where(log_entries.c.origin == bindparam("origin"), log_entries.c.idx >= bindparam("first"))
    .order_by(log_entries.c.idx)
    .limit(bindparam("limit"))
)
_INSERT: Final = insert(log_entries)
_SET_SIZE: Final = text(
    "INSERT INTO logs (origin, size) VALUES (:origin, :size) ON CONFLICT (origin) DO UPDATE SET size = excluded.size"
)


def consent_origin(provider: str) -> str:
    """The name of a provider's consent log."""
    return f"consent/{provider}"


@dataclass(slots=True)
class _Tail:
    """What an open group has appended to one log: `base` entries were there before, `flushed` of ours are written."""

    base: int
    leaves: list[bytes] = field(default_factory=list)
    flushed: int = 0


class _Tails:
    """The appends of an open group (a `group_commit.Participant`)."""

    def __init__(self) -> None:
        self.by_origin: dict[str, _Tail] = {}

    def mark(self) -> object:
        return {origin: (len(tail.leaves), tail.flushed) for origin, tail in self.by_origin.items()}

    def rewind(self, mark: object | None) -> None:
        marks = mark if isinstance(mark, dict) else {}
        for origin in list(self.by_origin):
            if origin not in marks:
                del self.by_origin[origin]
                continue
            tail = self.by_origin[origin]
            length, tail.flushed = marks[origin]
            del tail.leaves[length:]

    def flush(self, connection: Connection) -> None:
        for origin, tail in self.by_origin.items():
            fresh = tail.leaves[tail.flushed :]
            if not fresh:
                continue
            first = tail.base + tail.flushed
            connection.execute(
                _INSERT,
                [{"origin": origin, "idx": first + at, "leaf": leaf} for at, leaf in enumerate(fresh)],
            )
            TiledLog(SqlTileStore(connection, origin), first).append_many(map(leaf_hash, fresh))
            connection.execute(_SET_SIZE, {"origin": origin, "size": first + len(fresh)})
            tail.flushed = len(tail.leaves)

    def settle(self, *, committed: bool) -> None:
        self.by_origin.clear()


def append(connection: Connection, origin: str, leaves: Sequence[bytes]) -> int:
    """Append entries to a log (made by its first entry) and return the index of the first of them.

    Only inside `Database.write`. The caller has verified what the entries say.
    """
    group = group_of(connection)
    tails = group.participants.get(_PARTICIPANT)
    if not isinstance(tails, _Tails):
        tails = group.participants[_PARTICIPANT] = _Tails()
    tail = tails.by_origin.get(origin)
    if tail is None:
        tail = tails.by_origin[origin] = _Tail(_stored_size(connection, origin) or 0)
    first = tail.base + len(tail.leaves)
    tail.leaves.extend(leaves)
    group.topics.append(origin)
    return first


def create(connection: Connection, origin: str) -> None:
    """Make an empty log if there is none, so that it has checkpoints from the start. Only inside `Database.write`."""
    if _stored_size(connection, origin) is None and _tail_size(connection, origin) is None:
        connection.execute(_SET_SIZE, {"origin": origin, "size": 0})
        touch(connection, origin)


def size(connection: Connection, origin: str) -> int:
    """How many entries the log has; 0 for one that nothing was appended to yet."""
    found = _tail_size(connection, origin)
    return found if found is not None else _stored_size(connection, origin) or 0


def origins(connection: Connection) -> list[str]:
    """The names of all logs, sorted."""
    write_pending(connection)
    return list(connection.execute(_ORIGINS).scalars())


def root(connection: Connection, origin: str, at_size: int | None = None) -> bytes:
    """The Merkle root over the first `at_size` entries (default: all). Raises HubError PROOF_OUT_OF_RANGE."""
    log = _open(connection, origin)
    return _in_range(origin, lambda: log.root(at_size))


def inclusion_proof(connection: Connection, origin: str, index: int, at_size: int) -> tuple[bytes, ...]:
    """The path of entry `index` in the tree of `at_size` entries. Raises HubError PROOF_OUT_OF_RANGE."""
    ((_, path),) = inclusion_proofs(connection, origin, (index,), at_size)
    return path


def inclusion_proofs(
    connection: Connection, origin: str, indexes: Sequence[int], at_size: int
) -> list[tuple[bytes, tuple[bytes, ...]]]:
    """Leaf hash and path of each index, in the tree of `at_size` entries. Raises HubError PROOF_OUT_OF_RANGE."""
    log = _open(connection, origin)
    return _in_range(origin, lambda: log.inclusion_proofs(indexes, at_size))


def consistency_proof(connection: Connection, origin: str, old_size: int, new_size: int) -> tuple[bytes, ...]:
    """The path from the tree of `old_size` entries to that of `new_size`. Raises HubError PROOF_OUT_OF_RANGE."""
    log = _open(connection, origin)
    return _in_range(origin, lambda: log.consistency_proof(old_size, new_size))


def read_leaves(connection: Connection, origin: str, first: int, limit: int = MAX_PAGE) -> list[bytes]:
    """The entries from index `first` on, in order, at most `limit` of them (and never more than MAX_PAGE)."""
    write_pending(connection)
    wanted = {"origin": origin, "first": first, "limit": min(limit, MAX_PAGE)}
    return [bytes(leaf) for leaf in connection.execute(_LEAVES, wanted).scalars()]


def read_leaf(connection: Connection, origin: str, index: int) -> bytes:
    """One entry. Raises HubError PROOF_OUT_OF_RANGE if the log is shorter."""
    found = read_leaves(connection, origin, index, 1) if index >= 0 else []
    if not found:
        raise HubError("PROOF_OUT_OF_RANGE", f"log {origin} has no entry {index}; ask for its checkpoint first")
    return found[0]


def write_pending(connection: Connection) -> None:
    """Write what this group has appended so far, so that statements of the same function see it."""
    tails = _tails(connection)
    if tails is not None:
        tails.flush(connection)


def _open(connection: Connection, origin: str) -> TiledLog:
    write_pending(connection)
    stored = _stored_size(connection, origin)
    if stored is None:
        raise HubError("NOT_FOUND", f"there is no log {origin!r}; check its name")
    return TiledLog(SqlTileStore(connection, origin), stored)


def _stored_size(connection: Connection, origin: str) -> int | None:
    return connection.execute(_SIZE, {"origin": origin}).scalar()


def _tail_size(connection: Connection, origin: str) -> int | None:
    tails = _tails(connection)
    tail = None if tails is None else tails.by_origin.get(origin)
    return None if tail is None else tail.base + len(tail.leaves)


def _tails(connection: Connection) -> _Tails | None:
    """The appends of this connection's open group, if it is the writer's and has any."""
    group = open_group(connection)
    tails = None if group is None else group.participants.get(_PARTICIPANT)
    return tails if isinstance(tails, _Tails) else None


def _in_range(origin: str, prove: Callable[[], T]) -> T:
    try:
        return prove()
    except OutsideLog as problem:
        raise HubError("PROOF_OUT_OF_RANGE", f"log {origin}: {problem}") from problem
