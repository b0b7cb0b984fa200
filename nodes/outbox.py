"""The durable outbox: no receipt of a use is lost, doubled or late for longer than the hub is away.

The rules of this module:
1. A receipt is written in the transaction that spends the use (`write_receipt`): both happened or neither.
2. Receipts are signed in batches, up to 500 under one signature, after 200 ms at the latest; the signed
   form is durable before it is sent, so that what is sent again after a crash is byte for byte the same leaf.
3. Receipts are sent in their order, 500 at a time, and repeated until the hub has answered: the hub knows a
   receipt by its id and answers a repetition with the same index.
4. The subjects of a batch receipt follow after it; deletion attestations have their own queue.
5. A receipt that the hub refuses (a code that no repetition cures) stops the outbox and says so: nothing is
   dropped.

States of a receipt: waiting, signed, sent (has an index in the usage log), included (proved by
`nodes.monitor`).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from consent.documents import encode
from consent.usage import Receipt, make_batch, parse_receipt
from nodes.backoff import Backoff
from nodes.errors import NodeError
from nodes.store import Store
from trust.document import SignedDocument
from trust.merkle import MAX_SIZE, leaf_hash
from trust.sm2 import PrivateKey

BATCH_SIZE: Final = 500
BATCH_DELAY_S: Final = 0.2
SUBJECTS_PER_CALL: Final = 5000

_log = logging.getLogger(__name__)


class UsageSink(Protocol):
    """Where receipts go: the hub's Usage service. Every method raises NodeError and may be repeated."""

    async def submit_receipts(self, signed: Sequence[bytes]) -> Sequence[int]:
        """Send signed receipts, at most 1,000; returns the index of each in the usage log."""
        ...

    async def submit_batch_subjects(self, receipt_id: str, first_index: int, uses: Sequence[bytes]) -> None:
        """Send encoded subject uses of a batch receipt, at most 5,000."""
        ...

    async def submit_deletion(self, attestation: bytes) -> int:
        """Send a signed deletion attestation; returns its index in the usage log."""
        ...


@dataclass(frozen=True, kw_only=True)
class OutboxStatus:
    """Counts: receipts not yet acknowledged by the hub, and receipts proved to be in the usage log."""

    waiting: int
    included: int
    last_error: str


def write_receipt(connection: sqlite3.Connection, receipt: Receipt, subject_uses: Iterable[bytes] = ()) -> None:
    """Put a receipt into the outbox, inside the caller's `Store.write` transaction (rule 1).

    `subject_uses`: for a batch receipt, its encoded SubjectUse values in the order of its commitment. Call
    `Outbox.wake` after the transaction. Raises StoreFailed through the store if the receipt's id was used before.
    """
    rows = ((receipt.receipt_id, position, use) for position, use in enumerate(subject_uses))
    count = connection.executemany(
        "INSERT INTO batch_subjects (receipt_id, position, subject_use) VALUES (?, ?, ?)", rows
    ).rowcount
    connection.execute(
        "INSERT INTO outbox (receipt_id, payload, subject_count, created_ms) VALUES (?, ?, ?, ?)",
        (receipt.receipt_id, encode(receipt), max(count, 0), receipt.time_ms),
    )


def write_deletion(connection: sqlite3.Connection, exchange_id: str, attestation: SignedDocument, now_ms: int) -> None:
    """Put a signed deletion attestation into the outbox; a second one for the same exchange is left out."""
    connection.execute(
        "INSERT OR IGNORE INTO outbox_deletions (exchange_id, attestation, created_ms) VALUES (?, ?, ?)",
        (exchange_id, attestation.encode(), now_ms),
    )


class Outbox:
    """Signs and sends what lies in the outbox, for as long as `run` runs."""

    def __init__(
        self,
        *,
        store: Store,
        sink: UsageSink,
        node_id: str,
        key: PrivateKey,
        clock: Callable[[], int],
        backoff: Backoff,
    ) -> None:
        self._store = store
        self._sink = sink
        self._node_id = node_id
        self._key = key
        self._clock = clock
        self._backoff = backoff
        self._woken = asyncio.Event()
        self.last_error = ""

    def wake(self) -> None:
        """Say that something was written. From the event loop's thread."""
        self._woken.set()

    async def status(self) -> OutboxStatus:
        """Count what waits and what is proved."""
        waiting, included = await self._store.read(_count)
        return OutboxStatus(waiting=waiting, included=included, last_error=self.last_error)

    async def run(self) -> None:
        """Work until cancelled. Failures of the hub are waited out; failures of the disk are waited out too."""
        while True:
            try:
                worked = await self.work_once()
            except NodeError as error:
                self.last_error = f"{error.code}: {error.message}"
                _log.warning("outbox_waits", extra={"code": error.code, "retryable": error.retryable})
                await asyncio.sleep(max(self._backoff.next_s(), error.retry_after_ms / 1000))
                continue
            self._backoff.reset()
            self.last_error = ""
            if not worked:
                await self._woken.wait()
                self._woken.clear()
                # Receipts that arrive together share one signature; the delay bounds how long the first
                # waits.
                await asyncio.sleep(BATCH_DELAY_S)

    async def work_once(self) -> bool:
        """Sign one batch and send one of each kind; returns whether there was anything. Raises NodeError."""
        signed = await self._sign_batch()
        sent = await self._send_batch()
        subjects = await self._send_subjects()
        deletion = await self._send_deletion()
        return signed or sent or subjects or deletion

    async def _sign_batch(self) -> bool:
        waiting = await self._store.read(_select_waiting)
        if not waiting:
            return False
        # Some 20 ms of hashing for a full batch: not in the thread that answers queries.
        rows = await asyncio.to_thread(self._sign, waiting)

        def keep(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE outbox SET state = 'signed', signed = ?, leaf_hash = ? WHERE seq = ? AND state = 'waiting'",
                rows,
            )

        await self._store.write(keep)
        return True

    def _sign(self, waiting: Sequence[tuple[int, bytes]]) -> list[tuple[bytes, bytes, int]]:
        """Return (signed leaf, its hash, sequence number) of each receipt."""
        receipts = [parse_receipt(payload) for _, payload in waiting]
        batch = make_batch(receipts, self._key, node_id=self._node_id, time_ms=self._clock())
        leaves = [signed.encode() for signed in batch]
        return [(leaf, leaf_hash(leaf), seq) for leaf, (seq, _) in zip(leaves, waiting, strict=True)]

    async def _send_batch(self) -> bool:
        signed = await self._store.read(_select_signed)
        if not signed:
            return False
        indexes = await self._sink.submit_receipts([leaf for _, leaf in signed])
        if len(indexes) != len(signed) or not all(0 <= index <= MAX_SIZE for index in indexes):
            raise NodeError(
                f"the hub's acknowledgement of {len(signed)} receipts makes no sense; they stay in the outbox, report it",
                code="INTERNAL",
            )
        now_ms = self._clock()
        rows = [(index, now_ms, seq) for index, (seq, _) in zip(indexes, signed, strict=True)]

        def keep(connection: sqlite3.Connection) -> None:
            connection.executemany("UPDATE outbox SET state = 'sent', log_index = ?, sent_ms = ? WHERE seq = ?", rows)

        await self._store.write(keep)
        return True

    async def _send_subjects(self) -> bool:
        due = await self._store.read(_select_subjects)
        if due is None:
            return False
        receipt_id, first, uses = due
        await self._sink.submit_batch_subjects(receipt_id, first, uses)

        def keep(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE outbox SET subjects_sent = ? WHERE receipt_id = ?", (first + len(uses), receipt_id)
            )

        await self._store.write(keep)
        return True

    async def _send_deletion(self) -> bool:
        due = await self._store.read(_select_deletion)
        if due is None:
            return False
        exchange_id, attestation = due
        index = min(await self._sink.submit_deletion(attestation), MAX_SIZE)

        def keep(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE outbox_deletions SET state = 'sent', log_index = ? WHERE exchange_id = ?", (index, exchange_id)
            )

        await self._store.write(keep)
        return True


def _select_waiting(connection: sqlite3.Connection) -> list[tuple[int, bytes]]:
    return connection.execute(
        "SELECT seq, payload FROM outbox WHERE state = 'waiting' ORDER BY seq LIMIT ?", (BATCH_SIZE,)
    ).fetchall()


def _select_signed(connection: sqlite3.Connection) -> list[tuple[int, bytes]]:
    return connection.execute(
        "SELECT seq, signed FROM outbox WHERE state = 'signed' ORDER BY seq LIMIT ?", (BATCH_SIZE,)
    ).fetchall()


def _select_subjects(connection: sqlite3.Connection) -> tuple[str, int, list[bytes]] | None:
    row = connection.execute(
        "SELECT receipt_id, subjects_sent FROM outbox INDEXED BY outbox_subjects "
        "WHERE subjects_sent < subject_count AND state IN ('sent', 'included') ORDER BY seq LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    receipt_id, first = row
    uses = connection.execute(
        "SELECT subject_use FROM batch_subjects WHERE receipt_id = ? AND position >= ? ORDER BY position LIMIT ?",
        (receipt_id, first, SUBJECTS_PER_CALL),
    ).fetchall()
    return receipt_id, first, [use for (use,) in uses]


def _select_deletion(connection: sqlite3.Connection) -> tuple[str, bytes] | None:
    row: tuple[str, bytes] | None = connection.execute(
        "SELECT exchange_id, attestation FROM outbox_deletions WHERE state = 'waiting' ORDER BY created_ms LIMIT 1"
    ).fetchone()
    return row


def _count(connection: sqlite3.Connection) -> tuple[int, int]:
    (waiting,) = connection.execute(
        "SELECT (SELECT count(*) FROM outbox WHERE state IN ('waiting', 'signed'))"
        " + (SELECT count(*) FROM outbox INDEXED BY outbox_subjects"
        " WHERE state IN ('sent', 'included') AND subjects_sent < subject_count)"
        " + (SELECT count(*) FROM outbox_deletions WHERE state = 'waiting')"
    ).fetchone()
    # Every receipt ever written has taken a number of the sequence, also those that were pruned since.
    (included,) = connection.execute(
        "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'outbox'), 0)"
        " - (SELECT count(*) FROM outbox WHERE state IN ('waiting', 'signed', 'sent'))"
    ).fetchone()
    return waiting, included
