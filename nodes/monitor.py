"""The monitor: proves that this node's receipts are in the usage log, and that this log only grows.

The rules of this module, in the order in which they are checked:
1. Every checkpoint of the usage log that this node sees extends the last one it saw (`LOG_FORKED`,
   `CHECKPOINT_OLD`), is signed by the pinned key (`CHECKPOINT_FORGED`), and is stored before anything is
   concluded from it or it is cosigned.
2. A receipt that the hub acknowledged is under a checkpoint soon after (`RECEIPT_MISSING`).
3. It stands at the index that was acknowledged, byte for byte as it was sent (`INCLUSION_UNPROVED`).

A proof that is missing because the hub is away is no alarm: it is asked for again. The number of proofs per
round is bounded, so that a busy node's monitor lags rather than competes with its uses; every receipt is
proved in the end.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from nodes.errors import Alarm, AlarmKind, NodeError
from nodes.replica import USAGE_ORIGIN
from nodes.replica_store import ReplicaKeeper, load_head, save_head
from nodes.store import Store
from nodes.trusted_log import LogHead
from trust.checkpoint import Checkpoint, extends, open_checkpoint
from trust.document import SignedDocument
from trust.errors import TrustError
from trust.merkle import verify_inclusion

GRACE_MS: Final = 60_000
"""How long an acknowledged receipt may be without a checkpoint over it."""

_AT_ONCE: Final = 500
_DAY_MS: Final = 86_400_000
_PRUNE_INTERVAL_MS: Final = 3_600_000

_log = logging.getLogger(__name__)


class UsageLog(Protocol):
    """What the monitor asks of the hub. Every method raises NodeError."""

    async def checkpoint(self) -> bytes:
        """Return the newest signed checkpoint of the usage log."""
        ...

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """Return the consistency path between two sizes."""
        ...

    async def inclusion(self, indexes: Sequence[int], size: int) -> Sequence[tuple[bytes, Sequence[bytes]]]:
        """Return the leaf hash at each index and its inclusion path, in the order asked for."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Sent:
    seq: int
    leaf_hash: bytes
    index: int
    sent_ms: int


class Monitor:
    """Proves the inclusion of this node's receipts, for as long as `run` runs."""

    def __init__(
        self,
        *,
        store: Store,
        keeper: ReplicaKeeper,
        log: UsageLog,
        cosign: Callable[[bytes], Awaitable[None]],
        clock: Callable[[], int],
        interval_s: float,
        proofs_per_round: int,
        retention_days: int,
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._usage = log
        self._cosign = cosign
        self._clock = clock
        self._interval_s = interval_s
        self._proofs_per_round = proofs_per_round
        self._retention_ms = retention_days * _DAY_MS
        self._prune_due_ms = 0
        self.last_error = ""

    async def run(self) -> None:
        """Check every `interval_s` until cancelled. An alarm is recorded; the hub being away is waited out."""
        while True:
            try:
                if self._keeper.replica.alarm is None:
                    await self.check_once()
                self.last_error = ""
            except Alarm as alarm:
                self.last_error = f"{alarm.kind}: {alarm.message}"
                await self._keeper.record_alarm(alarm)
            except NodeError as error:
                self.last_error = f"{error.code}: {error.message}"
                _log.warning("monitor_waits", extra={"code": error.code})
            await asyncio.sleep(self._interval_s)

    async def check_once(self) -> int:
        """Prove what can be proved now; returns how many receipts were. Raises Alarm, NodeError."""
        if self._clock() >= self._prune_due_ms:
            await self._store.write(self._prune)
            self._prune_due_ms = self._clock() + _PRUNE_INTERVAL_MS
        sent = await self._store.read(self._select_sent)
        if not sent:
            return 0
        checkpoint = await self._advance()
        now_ms = self._clock()
        provable: list[_Sent] = []
        for receipt in sent:
            if receipt.index < checkpoint.size:
                provable.append(receipt)
            elif min(now_ms, checkpoint.time_ms) - receipt.sent_ms > GRACE_MS:
                detail = f"index {receipt.index} was acknowledged, the log has {checkpoint.size} entries a minute later"
                raise Alarm(AlarmKind.RECEIPT_MISSING, USAGE_ORIGIN, detail)
        for start in range(0, len(provable), _AT_ONCE):
            part = provable[start : start + _AT_ONCE]
            await self._prove(part, checkpoint)
            await self._keep(part)
        return len(provable)

    async def _advance(self) -> Checkpoint:
        """Rule 1: fetch the newest checkpoint and go there from the last one."""
        encoded = await self._usage.checkpoint()
        try:
            document = SignedDocument.decode(encoded)
            new = open_checkpoint(document, self._keeper.replica.hub_key)
        except TrustError as error:
            raise Alarm(AlarmKind.CHECKPOINT_FORGED, USAGE_ORIGIN, str(error)) from error
        if new.origin != USAGE_ORIGIN:
            raise Alarm(AlarmKind.ORIGIN_FOREIGN, USAGE_ORIGIN, f"a checkpoint of log {new.origin} was sent for it")
        head = await self._store.read(lambda connection: load_head(connection, USAGE_ORIGIN))
        old = head.checkpoint if head is not None else None
        if old is not None:
            await self._verify_extends(old, new)
        if new != old:
            await self._remember(new, encoded)
            await self._acknowledge(encoded)
        return new

    async def _verify_extends(self, old: Checkpoint, new: Checkpoint) -> None:
        if new.size < old.size or new.time_ms < old.time_ms:
            detail = f"it covers {new.size} entries after {old.size}, or its time went back"
            raise Alarm(AlarmKind.CHECKPOINT_OLD, USAGE_ORIGIN, detail)
        # From nothing, and to the same size, there is nothing to ask for.
        asked = 0 < old.size < new.size
        path = await self._usage.consistency(old.size, new.size) if asked else ()
        try:
            extends(old, new, path)
        except TrustError as error:
            raise Alarm(AlarmKind.LOG_FORKED, USAGE_ORIGIN, str(error)) from error

    async def _remember(self, checkpoint: Checkpoint, document: bytes) -> None:
        head = LogHead(
            origin=USAGE_ORIGIN,
            size=checkpoint.size,
            frontier=b"",
            recent_roots=b"",
            checkpoint=checkpoint,
            checkpoint_document=document,
            verified_ms=self._clock(),
        )
        await self._store.write(lambda connection: save_head(connection, head))

    async def _acknowledge(self, document: bytes) -> None:
        try:
            await self._cosign(document)
        except NodeError as error:  # a witness that could not speak is no reason to stop looking
            _log.warning("cosign_failed", extra={"origin": USAGE_ORIGIN, "code": error.code})

    async def _prove(self, receipts: Sequence[_Sent], checkpoint: Checkpoint) -> None:
        """Rule 3 for some receipts."""
        proofs = await self._usage.inclusion([receipt.index for receipt in receipts], checkpoint.size)
        if len(proofs) != len(receipts):
            raise NodeError(
                f"the hub sent {len(proofs)} proofs for {len(receipts)} receipts; report it", code="INTERNAL"
            )
        for receipt, (leaf, path) in zip(receipts, proofs, strict=True):
            self._verify(receipt, checkpoint, leaf, path)

    def _verify(self, receipt: _Sent, checkpoint: Checkpoint, leaf: bytes, path: Sequence[bytes]) -> None:
        if not hmac.compare_digest(leaf, receipt.leaf_hash):
            detail = f"entry {receipt.index} is another one than the receipt that was acknowledged there"
            raise Alarm(AlarmKind.INCLUSION_UNPROVED, USAGE_ORIGIN, detail)
        try:
            verify_inclusion(receipt.leaf_hash, receipt.index, checkpoint.size, path, checkpoint.root)
        except TrustError as error:
            raise Alarm(AlarmKind.INCLUSION_UNPROVED, USAGE_ORIGIN, str(error)) from error

    async def _keep(self, proved: Sequence[_Sent]) -> None:
        now_ms = self._clock()
        rows = [(now_ms, receipt.seq) for receipt in proved]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE outbox SET state = 'included', included_ms = ?, signed = NULL WHERE seq = ?", rows
            )

        await self._store.write(work)

    def _select_sent(self, connection: sqlite3.Connection) -> list[_Sent]:
        rows = connection.execute(
            "SELECT seq, leaf_hash, log_index, sent_ms FROM outbox WHERE state = 'sent' ORDER BY seq LIMIT ?",
            (self._proofs_per_round,),
        )
        return [_Sent(seq=seq, leaf_hash=leaf, index=index, sent_ms=sent) for seq, leaf, index, sent in rows]

    def _prune(self, connection: sqlite3.Connection) -> None:
        """Forget receipts that are proved and past their retention; the usage log has them."""
        limit_ms = self._clock() - self._retention_ms
        for table in (
            "DELETE FROM batch_subjects WHERE receipt_id IN (SELECT receipt_id FROM outbox WHERE {})",
            "DELETE FROM outbox WHERE {}",
        ):
            condition = "state = 'included' AND subjects_sent = subject_count AND included_ms < ?"
            connection.execute(table.format(condition), (limit_ms,))
