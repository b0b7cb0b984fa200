"""Retention: transfers whose time is over are deleted, and the deletion is attested.

The attestation is a signed statement of this node, sent to the hub's usage log through the outbox. It is a claim, not a proof: nobody
can prove that a copy does not exist, and the documents say so. Order: delete, sync, then attest; a crash between the two deletes again
(nothing is left) and attests once.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from consent.documents import encode
from consent.usage import DELETION_TYPE, DeletionAttestation
from nodes.outbox import write_deletion
from nodes.store import Store
from trust.document import sign_document
from trust.sm2 import PrivateKey


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A transfer that this node received."""

    exchange_id: str
    provider: str
    directory: Path
    state: str
    rows: int
    digest: str
    delete_by_ms: int
    deleted_ms: int


class Purge:
    """Deletes what is due."""

    def __init__(
        self,
        *,
        store: Store,
        key: PrivateKey,
        member_id: str,
        node_id: str,
        clock: Callable[[], int],
        written: Callable[[], None],
    ) -> None:
        self._store = store
        self._key = key
        self._member_id = member_id
        self._node_id = node_id
        self._clock = clock
        self._written = written

    async def transfers(self) -> list[Transfer]:
        """All transfers received, newest first."""
        return await self._store.read(_transfers)

    async def run_once(self, at_ms: int | None = None) -> list[str]:
        """Delete every transfer that is due at a time (default: now); returns their exchanges. Raises OSError if files stay."""
        now_ms = self._clock() if at_ms is None else at_ms
        deleted: list[str] = []
        for transfer in await self.transfers():
            if transfer.deleted_ms or not transfer.delete_by_ms or transfer.delete_by_ms > now_ms:
                continue
            await asyncio.to_thread(_delete, transfer.directory)
            await self._attest(transfer, now_ms)
            deleted.append(transfer.exchange_id)
        return deleted

    async def _attest(self, transfer: Transfer, now_ms: int) -> None:
        attestation = DeletionAttestation(
            exchange_id=transfer.exchange_id,
            institution=self._member_id,
            node_id=self._node_id,
            digest=transfer.digest,
            record_count=transfer.rows,
            due_ms=transfer.delete_by_ms,
            deleted_ms=now_ms,
            method="files removed",
        )
        document = sign_document(DELETION_TYPE, encode(attestation), self._key)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE transfers_in SET state = 'deleted', deleted_ms = ? WHERE exchange_id = ?",
                (now_ms, transfer.exchange_id),
            )
            write_deletion(connection, transfer.exchange_id, document, now_ms)

        await self._store.write(work)
        self._written()


def _transfers(connection: sqlite3.Connection) -> list[Transfer]:
    rows = connection.execute(
        "SELECT exchange_id, provider, directory, state, rows, coalesce(digest, ''), coalesce(delete_by_ms, 0), coalesce(deleted_ms, 0)"
        " FROM transfers_in ORDER BY created_ms DESC"
    )
    return [
        Transfer(
            exchange_id=exchange_id,
            provider=provider,
            directory=Path(directory),
            state=state,
            rows=count,
            digest=digest,
            delete_by_ms=delete_by,
            deleted_ms=deleted,
        )
        for exchange_id, provider, directory, state, count, digest, delete_by, deleted in rows
    ]


def _delete(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
    if directory.parent.exists():
        descriptor = os.open(directory.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
