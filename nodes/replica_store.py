"""Storage of the replica: kept in one transaction per event, loaded again without verifying it twice.

The rules of this module:
1. Entries, what they changed, and the head of their log are stored together: after a crash the positions that the node
   subscribes from are exactly those of what it knows.
2. What could not be stored (a full disk) is kept in memory and stored with the next event, in its order.
3. A cold start trusts the node's own database: every signature in it was verified before it was stored, and is not computed
   again (`Directory.restore`). The frontier of each log comes with it, so that the first checkpoint that the hub sends proves
   the whole copy complete; every entry that comes later is verified in full.
4. An alarm is stored and outlives a restart; clearing it is stored with the operator's reason.
"""

from __future__ import annotations

import gc
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from consent.book import Change, ConsentBook, ConsentRow
from consent.decision import Terms
from consent.directory import Directory
from consent.errors import ConsentError
from nodes.errors import Alarm, AlarmKind, StoreFailed
from nodes.replica import CONSENT_PREFIX, DIRECTORY_ORIGIN, Pending, Replica
from nodes.store import Store
from nodes.trusted_log import LogHead
from trust.checkpoint import Checkpoint
from trust.document import SignedDocument
from trust.errors import TrustError
from trust.sm2 import PublicKey

_log = logging.getLogger(__name__)

_MANY: Final = 200_000

_encode_terms: Final = msgspec.json.Encoder(order="deterministic").encode
_decode_terms: Final = msgspec.json.Decoder(Terms).decode


class ReplicaKeeper:
    """A replica and its place in the database. In the event loop's thread only."""

    def __init__(self, store: Store, replica: Replica, clock: Callable[[], int]) -> None:
        self.replica = replica
        self._store = store
        self._clock = clock
        self._waiting: list[Pending] = []

    @classmethod
    async def load(cls, store: Store, *, member_id: str, hub_key: PublicKey, clock: Callable[[], int]) -> ReplicaKeeper:
        """Load the replica of a node. Raises StoreFailed if what is stored cannot be read."""
        with _many_objects():
            replica = await store.read(lambda connection: load_replica(connection, member_id, hub_key))
        return cls(store, replica, clock)

    async def persist(self) -> None:
        """Store what the replica verified since the last call; durable when this returns.

        Raises StoreFailed or DiskFull; then nothing is lost, the next call tries again.
        """
        pending = self.replica.drain()
        if not pending.empty:
            self._waiting.append(pending)
        batch = tuple(self._waiting)
        if not batch:
            return

        def work(connection: sqlite3.Connection) -> None:
            for part in batch:
                save_pending(connection, part)

        await self._store.write(work)
        del self._waiting[: len(batch)]

    async def record_alarm(self, alarm: Alarm) -> None:
        """Latch an alarm in the replica and keep it. Does not raise: the replica refuses also if the store fails."""
        self.replica.raise_alarm(alarm)
        _log.error("alarm", extra={"kind": alarm.kind.value, "origin": alarm.origin, "detail": alarm.detail})
        row = (alarm.kind.value, alarm.origin, alarm.detail, self._clock())

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO alarms (kind, origin, detail, raised_ms) VALUES (?, ?, ?, ?)", row)

        try:
            await self._store.write(work)
        except StoreFailed as error:
            _log.error("alarm_not_stored", extra={"code": error.code})

    async def clear_alarm(self, reason: str) -> None:
        """Record that an operator has looked, and let the replica go on."""
        row = (self._clock(), reason)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE alarms SET cleared_ms = ?, cleared_reason = ? WHERE cleared_ms IS NULL", row)

        await self._store.write(work)
        self.replica.clear_alarm()
        _log.warning("alarm_cleared", extra={"reason": reason})


# -- writing -----------------------------------------------------------------------------------------------------------


def save_pending(connection: sqlite3.Connection, pending: Pending) -> None:
    """Write what a replica verified (rule 1), inside the caller's transaction."""
    connection.executemany(
        "INSERT INTO log_entries (origin, idx, leaf) VALUES (?, ?, ?)",
        ((entry.origin, entry.index, entry.leaf) for entry in pending.entries),
    )
    connection.executemany(
        "INSERT INTO grantee_entries (seq, origin, idx, leaf) VALUES (?, ?, ?, ?)",
        ((entry.seq, entry.origin, entry.index, entry.leaf) for entry in pending.inbox),
    )
    save_changes(connection, pending.changes)
    for head in pending.heads:
        save_head(connection, head)


def save_changes(connection: sqlite3.Connection, changes: tuple[tuple[str, Change], ...]) -> None:
    """Write what entries changed in the consent books, by origin."""
    connection.executemany(_UPSERT_ROW, _consent_rows(connection, changes))
    newest: dict[str, int] = {}
    for origin, change in changes:
        newest[origin] = max(newest.get(origin, 0), change.dated_ms)
    connection.executemany(
        "INSERT INTO consent_books (origin, newest_ms) VALUES (?, ?) "
        "ON CONFLICT (origin) DO UPDATE SET newest_ms = max(newest_ms, excluded.newest_ms)",
        newest.items(),
    )


def save_head(connection: sqlite3.Connection, head: LogHead) -> None:
    """Write the head of a log."""
    connection.execute(
        "INSERT INTO log_heads (origin, size, frontier, recent_roots, checkpoint, verified_ms) "
        "VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (origin) DO UPDATE SET size = excluded.size, frontier = excluded.frontier, "
        "recent_roots = excluded.recent_roots, checkpoint = excluded.checkpoint, verified_ms = excluded.verified_ms",
        (head.origin, head.size, head.frontier, head.recent_roots, head.checkpoint_document, head.verified_ms),
    )


_UPSERT_ROW: Final = (
    "INSERT INTO consent_rows (record_id, origin, uscc, terms_id, record_version, payload_sm3, valid_from_ms,"
    " valid_to_ms, status, revoked_ms, log_index) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (origin, record_id) DO UPDATE SET terms_id = excluded.terms_id,"
    " record_version = excluded.record_version, payload_sm3 = excluded.payload_sm3,"
    " valid_from_ms = excluded.valid_from_ms, valid_to_ms = excluded.valid_to_ms,"
    " status = excluded.status, revoked_ms = excluded.revoked_ms, log_index = excluded.log_index"
)


def _consent_rows(
    connection: sqlite3.Connection, changes: tuple[tuple[str, Change], ...]
) -> Iterator[tuple[str | int | bytes | None, ...]]:
    known: dict[Terms, int] = {}
    for origin, change in changes:
        row = change.row
        if row is None:
            continue
        terms_id = known.get(row.terms)
        if terms_id is None:
            terms_id = known[row.terms] = _terms_id(connection, row)
        yield (
            row.record_id,
            origin,
            row.uscc,
            terms_id,
            row.record_version,
            row.payload_sm3,
            row.valid_from_ms,
            row.valid_to_ms,
            int(row.status),
            row.revoked_ms,
            row.log_index,
        )


def _terms_id(connection: sqlite3.Connection, row: ConsentRow) -> int:
    """Return the place of these terms, from 0 without gaps, so that a list can be indexed by it."""
    encoded = _encode_terms(row.terms)
    connection.execute(
        "INSERT OR IGNORE INTO consent_terms (terms_id, terms) SELECT count(*), ? FROM consent_terms", (encoded,)
    )
    (terms_id,) = connection.execute("SELECT terms_id FROM consent_terms WHERE terms = ?", (encoded,)).fetchone()
    return int(terms_id)


# -- the cold start ----------------------------------------------------------------------------------------------------


@contextmanager
def _many_objects() -> Iterator[None]:
    """Keep the garbage collector from walking millions of objects that are being made to stay.

    It would look at all of them again and again while they are made (a third of the time of a large cold start), and
    pause the node for a good part of a second each time afterwards.
    """
    enabled, before = gc.isenabled(), len(gc.get_objects())
    gc.disable()
    try:
        yield
    finally:
        if len(gc.get_objects()) - before > _MANY:
            gc.freeze()
        if enabled:
            gc.enable()


def load_replica(connection: sqlite3.Connection, member_id: str, hub_key: PublicKey) -> Replica:
    """Build the replica from the node's database (rule 3). Raises StoreFailed if it cannot be read."""
    (seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM grantee_entries").fetchone()
    try:
        return Replica(
            member_id=member_id,
            hub_key=hub_key,
            directory=_load_directory(connection, hub_key),
            books=_load_books(connection),
            heads=_load_heads(connection),
            grantee_seq=seq,
            alarm=load_alarm(connection),
        )
    except (TrustError, ConsentError, msgspec.MsgspecError) as error:
        raise StoreFailed(f"the stored replica is damaged ({error}); restore the node's database") from error


def load_head(connection: sqlite3.Connection, origin: str) -> LogHead | None:
    """Read the head of one log, or None. Raises trust.errors.TrustError if it is damaged."""
    row = connection.execute(
        "SELECT size, frontier, recent_roots, checkpoint, verified_ms FROM log_heads WHERE origin = ?", (origin,)
    ).fetchone()
    if row is None:
        return None
    size, frontier, recent_roots, document, verified_ms = row
    # Its signature was verified before it was stored.
    checkpoint = Checkpoint.decode(SignedDocument.decode(document).payload) if document is not None else None
    return LogHead(
        origin=origin,
        size=size,
        frontier=frontier,
        recent_roots=recent_roots,
        checkpoint=checkpoint,
        checkpoint_document=document,
        verified_ms=verified_ms,
    )


def load_alarm(connection: sqlite3.Connection) -> Alarm | None:
    """Read the oldest alarm that no operator has cleared, or None."""
    row = connection.execute(
        "SELECT kind, origin, detail FROM alarms WHERE cleared_ms IS NULL ORDER BY alarm_no LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    kind, origin, detail = row
    return Alarm(AlarmKind(kind), origin, detail)


def _load_heads(connection: sqlite3.Connection) -> list[LogHead]:
    stored = [origin for (origin,) in connection.execute("SELECT origin FROM log_heads")]
    origins = [origin for origin in stored if origin == DIRECTORY_ORIGIN or origin.startswith(CONSENT_PREFIX)]
    return [head for origin in origins if (head := load_head(connection, origin)) is not None]


def _load_directory(connection: sqlite3.Connection, hub_key: PublicKey) -> Directory:
    directory = Directory()
    leaves = connection.execute("SELECT leaf FROM log_entries WHERE origin = ? ORDER BY idx", (DIRECTORY_ORIGIN,))
    directory.restore((SignedDocument.decode(leaf) for (leaf,) in leaves), hub_key)
    return directory


def _load_books(connection: sqlite3.Connection) -> list[tuple[str, ConsentBook]]:
    terms = [
        _decode_terms(encoded) for (encoded,) in connection.execute("SELECT terms FROM consent_terms ORDER BY terms_id")
    ]
    books = []
    for origin, newest_ms in connection.execute("SELECT origin, newest_ms FROM consent_books").fetchall():
        book = ConsentBook(origin.removeprefix(CONSENT_PREFIX))
        book.load_columns(
            connection.execute(
                "SELECT record_id, uscc, terms_id, record_version, payload_sm3, valid_from_ms, valid_to_ms, status,"
                " revoked_ms, log_index FROM consent_rows WHERE origin = ? ORDER BY record_id",
                (origin,),
            ),
            terms,
        )
        book.newest_ms = newest_ms
        books.append((origin, book))
    return books
