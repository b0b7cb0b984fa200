"""Raw data, the requester's side: frames to Parquet parts, a journal, and a manifest.

The directory of a transfer:

    journal.jsonl                        one line for each complete part, synced before the next is begun
    <item>/part-00001.parquet            the rows, about 64 MiB as sent
    consents/part-00001.parquet          subject, consent, records, salt, delete-by
    manifest.json                        last: exchange, terms, tables, digests (SM3), delete-by date

A part counts once its file and its journal line are on disk. After any interruption (either node, the hub, a full disk) the transfer
goes on after the last part that counts; what was half written is removed. The manifest exists only for a complete transfer.
"""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from consent.documents import encode as encode_document
from consent.usage import BatchCommitment, SubjectTree, SubjectUse
from nodes.errors import DiskFull, ExchangeFailed
from nodes.exchanges.charging import batch_receipt
from nodes.exchanges.frames import (
    FrameType,
    RawEnd,
    RawPartEnd,
    RawPlan,
    RawResume,
    decode,
    decode_batch,
    encode,
)
from nodes.exchanges.permitted import CONSENTS_TABLE
from nodes.exchanges.session import PeerRestarted, Session
from nodes.exchanges.terms import ExchangeTerms
from nodes.exchanges.transfer_files import (
    JournalLine,
    Manifest,
    append_journal,
    recover,
    rewrite_journal,
    sync_and_digest,
    write_manifest,
)
from nodes.outbox import write_receipt
from nodes.store import Store
from trust.suite import sm3


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a transfer is."""

    phase: str
    rows: int
    total_rows: int
    bytes: int
    subjects: int
    refused: dict[str, int]


class RawRequester:
    """Receives one transfer into a directory."""

    def __init__(
        self,
        session: Session,
        terms: ExchangeTerms,
        directory: Path,
        *,
        store: Store,
        node_id: str,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        written: Callable[[], None],
        progress: Callable[[Progress], None],
    ) -> None:
        self._session = session
        self._terms = terms
        self._directory = directory
        self._store = store
        self._node_id = node_id
        self._clock = clock
        self._new_id = new_id
        self._written = written
        self._progress = progress

    async def run(self) -> Manifest:
        """Receive until complete. Raises DiskFull (fetch again after freeing space), UseRefused, or what ended the exchange."""
        while True:
            try:
                return await self._receive()
            except PeerRestarted:
                continue
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise DiskFull(
                        f"No space left in {self._directory}. Free space and run the same fetch again: it goes on where it stopped."
                    ) from error
                raise

    async def _receive(self) -> Manifest:
        frame_type, payload = await self._session.receive()
        if frame_type != FrameType.RAW_PLAN:
            raise ExchangeFailed(f"The provider sent a frame of type {frame_type} where its plan was due.")
        plan = decode(payload, RawPlan)
        if not plan.items or plan.items[0].item_id != CONSENTS_TABLE:
            raise ExchangeFailed("The provider's plan does not begin with the consents; the transfer was refused.")
        parts = await asyncio.to_thread(recover, self._directory)
        del parts[plan.parts_done :]
        await asyncio.to_thread(rewrite_journal, self._directory, parts)
        await self._session.send(FrameType.RAW_RESUME, encode(RawResume(parts_held=len(parts))))
        state = _State(plan, parts, resumed=bool(parts))
        self._tell(state)
        while True:
            frame_type, payload = await self._session.receive()
            if frame_type == FrameType.RAW_BATCH:
                await asyncio.to_thread(self._write, state, payload)
                self._tell(state)
            elif frame_type == FrameType.RAW_PART_END:
                await self._end_part(state, decode(payload, RawPartEnd))
            elif frame_type == FrameType.RAW_END:
                return await self._complete(state, decode(payload, RawEnd))
            else:
                raise ExchangeFailed(f"The provider sent a frame of type {frame_type} in a transfer.")

    def _write(self, state: _State, payload: bytes) -> None:
        ordinal, _, _, arrow = decode_batch(payload)
        if ordinal != state.ordinal:
            raise ExchangeFailed("The provider sent a batch of a table that was not due; the transfer was stopped.")
        try:
            with pa.ipc.open_stream(arrow) as reader:
                batches = list(reader)
        except pa.ArrowInvalid as error:
            raise ExchangeFailed(
                "The provider sent a batch that is no Arrow data; the transfer was stopped."
            ) from error
        item = state.plan.items[ordinal]
        for batch in batches:
            expected = list(item.fields) if ordinal == 0 else ["uscc", *item.fields]
            if batch.schema.names != expected:
                raise ExchangeFailed(
                    f"The provider sent other columns of {item.item_id} than its plan names; the transfer was stopped."
                )
            if state.writer is None:
                state.open(self._directory, item.item_id, batch.schema)
            state.write(batch)
        state.frames.append(sm3(payload))
        state.bytes += len(payload)

    async def _end_part(self, state: _State, end: RawPartEnd) -> None:
        digest = sm3(b"".join(state.frames)).hex()
        if (end.part_no, end.ordinal, end.rows, end.digest) != (
            len(state.parts) + 1,
            state.ordinal,
            state.part_rows,
            digest,
        ):
            raise ExchangeFailed(
                "A part is not what the provider says it sent; the transfer was stopped. Fetch into a new directory."
            )
        item_id = state.plan.items[state.ordinal].item_id
        line = await asyncio.to_thread(state.close_part, self._directory, item_id, end, digest)
        await asyncio.to_thread(append_journal, self._directory, line)
        state.parts.append(line)
        if state.ordinal == 0 and end.table_done:
            await self._record_use(state)
        state.ordinal += int(end.table_done)
        self._tell(state)

    async def _record_use(self, state: _State) -> None:
        """Write the receipt of this side, before any data is kept: over the same subjects, or the transfer ends here."""
        uses = await asyncio.to_thread(_read_uses, self._directory, state.parts)
        commitment = await asyncio.to_thread(lambda: SubjectTree([encode_document(use) for use in uses]).commitment)
        if commitment != BatchCommitment(root=state.plan.batch_root, size=state.plan.subjects):
            raise ExchangeFailed("The consents sent are not those of the provider's receipt; the transfer was stopped.")
        receipt = batch_receipt(
            self._terms.request,
            side="requester",
            receipt_id=self._new_id(),
            node_id=self._node_id,
            time_ms=self._clock(),
            record_count=sum(item.rows for item in state.plan.items[1:]),
            commitment=commitment,
            decision="permit",
        )
        exchange_id = self._terms.exchange_id

        def keep(connection: sqlite3.Connection) -> None:
            row = connection.execute(
                "SELECT receipt_id FROM transfers_in WHERE exchange_id = ?", (exchange_id,)
            ).fetchone()
            if row is not None and row[0] is None:
                write_receipt(connection, receipt)
                connection.execute(
                    "UPDATE transfers_in SET receipt_id = ?, delete_by_ms = ? WHERE exchange_id = ?",
                    (receipt.receipt_id, state.plan.delete_by_ms, exchange_id),
                )

        await self._store.write(keep)
        self._written()

    async def _complete(self, state: _State, end: RawEnd) -> Manifest:
        digest = sm3(b"".join(bytes.fromhex(part.frames_sm3) for part in state.parts)).hex()
        if state.ordinal != len(state.plan.items) or end.parts != len(state.parts) or end.digest != digest:
            raise ExchangeFailed("The transfer is not what the provider says it sent; fetch into a new directory.")
        if state.ordinal and not any(part.item_id == CONSENTS_TABLE for part in state.parts):
            raise ExchangeFailed("The transfer holds no consents; it is not to be used.")
        manifest = await self._manifest(state, digest)
        await asyncio.to_thread(write_manifest, self._directory, manifest)
        exchange_id, now_ms = self._terms.exchange_id, self._clock()
        await self._store.write(
            lambda connection: (
                connection.execute(
                    "UPDATE transfers_in SET state = 'complete', parts = ?, rows = ?, digest = ?, ended_ms = ? WHERE exchange_id = ?",
                    (len(state.parts), manifest.rows, digest, now_ms, exchange_id),
                )
                and None
            )
        )
        return manifest

    async def _manifest(self, state: _State, digest: str) -> Manifest:
        asked, plan = self._terms.request, state.plan
        row = await self._store.read(
            lambda connection: connection.execute(
                "SELECT receipt_id FROM transfers_in WHERE exchange_id = ?", (asked.exchange_id,)
            ).fetchone()
        )
        return Manifest(
            exchange_id=asked.exchange_id,
            provider=asked.provider,
            requester=asked.requester,
            product_id=asked.product_id,
            purpose=asked.purpose.value,
            reason=asked.reason,
            user=asked.user,
            items=plan.items,
            subjects=plan.subjects,
            refused=plan.refused,
            rows=sum(part.rows for part in state.parts if part.item_id != CONSENTS_TABLE),
            consents_file=next(part.file for part in state.parts if part.item_id == CONSENTS_TABLE),
            receipt_id=row[0] if row else "",
            provider_receipt_id=plan.receipt_id,
            batch_root=plan.batch_root,
            digest=digest,
            parts=tuple(state.parts),
            received=_iso(self._clock()),
            delete_by=_iso(plan.delete_by_ms),
            delete_by_ms=plan.delete_by_ms,
        )

    def _tell(self, state: _State) -> None:
        self._progress(
            Progress(
                phase="resumed" if state.resumed else "transferring",
                rows=state.rows,
                total_rows=sum(item.rows for item in state.plan.items),
                bytes=state.bytes,
                subjects=state.plan.subjects,
                refused=state.plan.refused,
            )
        )


class _State:
    """Where a running transfer stands."""

    def __init__(self, plan: RawPlan, parts: list[JournalLine], *, resumed: bool) -> None:
        self.plan = plan
        self.parts = parts
        self.resumed = resumed
        self.ordinal = sum(part.table_done for part in parts)
        self.rows = sum(part.rows for part in parts)
        self.bytes = sum(part.bytes for part in parts)
        self.frames: list[bytes] = []
        self.part_rows = 0
        self.writer: pq.ParquetWriter | None = None
        self._temporary = Path()

    def open(self, directory: Path, item_id: str, schema: pa.Schema) -> None:
        """Begin the file of the next part."""
        folder = directory / item_id
        folder.mkdir(parents=True, exist_ok=True)
        self._temporary = folder / f".part-{len(self.parts) + 1:05d}.tmp"
        # Numbers gain little from a dictionary, and trying one takes time.
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        self.writer = pq.ParquetWriter(self._temporary, schema, compression="lz4", use_dictionary=texts)

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows to the file."""
        if self.writer is not None:
            self.writer.write_batch(batch)
        self.part_rows += batch.num_rows
        self.rows += batch.num_rows

    def close_part(self, directory: Path, item_id: str, end: RawPartEnd, frames_sm3: str) -> JournalLine:
        """Sync the file and give it its name."""
        name, size, digest = "", 0, ""
        if self.writer is not None:
            self.writer.close()
            final = directory / item_id / f"part-{len(self.parts) + 1:05d}.parquet"
            digest, size = sync_and_digest(self._temporary)
            self._temporary.replace(final)
            name = final.relative_to(directory).as_posix()
        line = JournalLine(
            part_no=len(self.parts) + 1,
            item_id=item_id,
            file=name,
            rows=self.part_rows,
            bytes=size,
            table_done=end.table_done,
            frames_sm3=frames_sm3,
            file_sm3=digest,
        )
        self.writer, self.frames, self.part_rows = None, [], 0
        return line


def _read_uses(directory: Path, parts: list[JournalLine]) -> list[SubjectUse]:
    uses: list[SubjectUse] = []
    for part in parts:
        if part.item_id != CONSENTS_TABLE or not part.file:
            continue
        table = pq.ParquetFile(directory / part.file).read()  # `read_table` would load pandas where it is installed
        columns = [table.column(name).to_pylist() for name in ("uscc", "consent_id", "record_count", "salt")]
        uses.extend(
            SubjectUse(uscc=code, consent_id=consent, record_count=count, salt=salt)
            for code, consent, count, salt in zip(*columns, strict=True)
        )
    return uses


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).isoformat(timespec="milliseconds")
