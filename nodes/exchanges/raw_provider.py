"""Raw data (原始数据), the provider's side: all consented subjects of a product, in encrypted frames, from any part onward.

Parties: requester R, provider P. P's inputs: its snapshots and its consent book; R's: the request. R learns the permitted rows and
how many subjects were refused for which reason; P learns that R took them; the hub learns times and sizes of frames.

    P → R   plan                tables, rows, subjects, the root that P's receipt commits to
    R → P   resume              how many complete parts R holds
    P → R   batch …, part end   about 64 MiB; P stores where a part ends and its digest before it tells R
    P → R   end                 the digest over all parts

The digest of a part chains the SM3 of its frames; both sides compute it, and it stands in R's manifest. Just before each batch is
sealed P looks whether consents were withdrawn meanwhile: their rows are left out from there on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from consent.catalogue import Catalogue
from consent.decision import ItemUse
from consent.masking import mask
from consent.rules import UsageRules
from nodes.errors import ExchangeFailed
from nodes.exchanges.frames import (
    PART_TARGET_BYTES,
    FrameType,
    RawEnd,
    RawPartEnd,
    RawPlan,
    RawResume,
    decode,
    encode,
    encode_batch,
)
from nodes.exchanges.periods import bounds_of, within_periods
from nodes.exchanges.raw_plan import Planner, Tables, TransferPlan
from nodes.exchanges.session import PeerRestarted, Session, SessionClosed
from nodes.exchanges.terms import ExchangeTerms
from nodes.exchanges.withdrawn import Withdrawn
from nodes.replica import Replica
from nodes.store import Store
from trust.suite import sm3

log = logging.getLogger(__name__)

_IPC_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")
_MAX_FRAME_BYTES = (4 << 20) - 1024


@dataclass(frozen=True)
class _Part:
    """Where a part ended: the rows of a table up to `end_row` were looked at, `rows` of them were sent in this part."""

    part_no: int
    ordinal: int
    end_row: int
    table_done: bool
    rows: int
    digest: bytes


class RawProvider:
    """Serves raw transfers."""

    def __init__(
        self,
        *,
        store: Store,
        replica: Replica,
        tables: Tables,
        planner: Planner,
        catalogue: Catalogue,
        rules: UsageRules,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._replica = replica
        self._tables = tables
        self._planner = planner
        self._catalogue = catalogue
        self._rules = rules
        self._clock = clock

    async def serve(self, session: Session, terms: ExchangeTerms) -> int:
        """Give until the requester has everything and closes. Returns the rows sent here. Raises what ended the exchange."""
        plan = await self._planner.plan(terms)
        while True:
            try:
                sent = await self._transfer(session, terms, plan)
                with suppress(SessionClosed):
                    while True:
                        await session.receive()
                await self._finish(terms.exchange_id)
                return sent
            except PeerRestarted:
                continue

    async def _transfer(self, session: Session, terms: ExchangeTerms, plan: TransferPlan) -> int:
        stored = plan.stored
        parts = await self._parts(terms.exchange_id)
        opening = RawPlan(
            items=stored.items,
            subjects=stored.subjects,
            refused=stored.refused,
            delete_by_ms=stored.delete_by_ms,
            batch_root=stored.batch_root,
            receipt_id=stored.receipt_id,
            parts_done=len(parts),
        )
        await session.send(FrameType.RAW_PLAN, encode(opening))
        frame_type, payload = await session.receive()
        if frame_type != FrameType.RAW_RESUME:
            raise ExchangeFailed(f"The requester sent a frame of type {frame_type} where it should say what it holds.")
        held = decode(payload, RawResume).parts_held
        if not 0 <= held <= len(parts):
            raise ExchangeFailed(
                f"The requester says that it holds {held} parts, but only {len(parts)} were sent. Fetch into a new directory."
            )
        kept = parts[:held]
        await self._forget_parts(terms.exchange_id, held)
        sender = _Sender(session, self._store, terms.exchange_id, kept)
        withdrawn = await Withdrawn.of(self._replica, plan.permitted)
        ordinal, row = (kept[-1].ordinal, kept[-1].end_row) if kept else (0, 0)
        if kept and kept[-1].table_done:
            ordinal, row = ordinal + 1, 0
        while ordinal < len(stored.items):
            await self._send_table(sender, plan, ordinal, row, withdrawn)
            ordinal, row = ordinal + 1, 0
        await session.send(FrameType.RAW_END, encode(sender.ending()))
        return sender.rows

    async def _send_table(
        self, sender: _Sender, plan: TransferPlan, ordinal: int, first_row: int, withdrawn: Withdrawn
    ) -> None:
        batches = self._batches(plan, ordinal)
        row = 0
        # The next frames are made in a thread while the present ones are sealed and sent.
        making = self._making(plan, ordinal, batches, row, first_row, withdrawn)
        try:
            while (made := await making) is not None:
                row = made.end_row
                making = self._making(plan, ordinal, batches, row, first_row, withdrawn)
                await sender.writable()
                if ordinal and made.without is not withdrawn.now():  # a consent ended while it was made, or waited
                    made = await asyncio.to_thread(self._made, plan, ordinal, made.batch, row, withdrawn.now())
                await sender.send(ordinal, row, made.frames)
        finally:
            making.cancel()
        await sender.end_part(ordinal, row, table_done=True)

    def _making(
        self,
        plan: TransferPlan,
        ordinal: int,
        batches: Iterator[pa.RecordBatch],
        row: int,
        first_row: int,
        withdrawn: Withdrawn,
    ) -> asyncio.Task[_Made | None]:
        gone = withdrawn.now() if ordinal else None

        def make() -> _Made | None:
            """The next batch; None at the end of the table."""
            begin = row
            while (batch := next(batches, None)) is not None:
                end = begin + batch.num_rows
                if end > first_row:
                    return self._made(plan, ordinal, batch.slice(max(begin, first_row) - begin), end, gone)
                begin = end
            return None

        return asyncio.get_running_loop().create_task(asyncio.to_thread(make))

    def _made(
        self, plan: TransferPlan, ordinal: int, batch: pa.RecordBatch, end_row: int, gone: pa.Array | None
    ) -> _Made:
        shown = self._obliged(plan, ordinal, batch, gone)
        frames = _frames(ordinal, end_row - batch.num_rows, end_row, shown)
        return _Made(end_row=end_row, batch=batch, without=gone, frames=frames)

    def _batches(self, plan: TransferPlan, ordinal: int) -> Iterator[pa.RecordBatch]:
        size = plan.stored.batch_rows[ordinal]
        if ordinal == 0:
            return iter(plan.permitted.to_batches(max_chunksize=size))
        use = plan.stored.uses[ordinal - 1]
        item = plan.stored.items[ordinal]
        codes = plan.permitted.column("uscc").combine_chunks()
        fields = use.fields if self._period(use) in (None, *use.fields) else (*use.fields, str(self._period(use)))
        return self._tables.scan(use.item_id, item.snapshot, codes, fields, size)

    def _period(self, use: ItemUse) -> str | None:
        return self._catalogue.item(use.item_id).period_field

    def _obliged(
        self, plan: TransferPlan, ordinal: int, batch: pa.RecordBatch, withdrawn: pa.Array | None
    ) -> pa.RecordBatch:
        """The batch under its obligations: withdrawn subjects and periods outside the consent left out, fields selected, masked."""
        if ordinal == 0 or withdrawn is None:
            return batch
        use = plan.stored.uses[ordinal - 1]
        if len(withdrawn):
            batch = batch.filter(pc.invert(pc.is_in(batch.column(0), value_set=withdrawn)))
        batch = within_periods(batch, self._period(use), bounds_of(self._replica.own_book, use))
        item = self._catalogue.item(use.item_id)
        masking = dict(item.masking(use.fields, self._rules))
        columns: list[Any] = [batch.column(0)]
        for name in use.fields:
            column = batch.column(name)
            columns.append(
                pa.array([mask(masking[name], value) for value in column.to_pylist()], pa.string())
                if name in masking
                else column
            )
        return pa.RecordBatch.from_arrays(columns, names=["uscc", *use.fields])

    async def _parts(self, exchange_id: str) -> list[_Part]:
        rows = await self._store.read(
            lambda connection: connection.execute(
                "SELECT part_no, ordinal, end_row, table_done, rows, digest FROM transfer_parts WHERE exchange_id = ? ORDER BY part_no",
                (exchange_id,),
            ).fetchall()
        )
        return [_Part(no, ordinal, end, bool(done), count, digest) for no, ordinal, end, done, count, digest in rows]

    async def _forget_parts(self, exchange_id: str, held: int) -> None:
        """The requester does not hold these: they are made again."""
        await self._store.write(
            lambda connection: (
                connection.execute(
                    "DELETE FROM transfer_parts WHERE exchange_id = ? AND part_no > ?", (exchange_id, held)
                )
                and None
            )
        )

    async def _finish(self, exchange_id: str) -> None:
        now_ms = self._clock()
        await self._store.write(
            lambda connection: (
                connection.execute(
                    "UPDATE transfers_out SET state = 'finished', ended_ms = ? WHERE exchange_id = ?",
                    (now_ms, exchange_id),
                )
                and None
            )
        )
        self._planner.forget(exchange_id)


class _Sender:
    """Sends frames and closes parts."""

    def __init__(self, session: Session, store: Store, exchange_id: str, kept: list[_Part]) -> None:
        self._session = session
        self._store = store
        self._exchange_id = exchange_id
        self._digests = [part.digest for part in kept]
        self.rows = sum(part.rows for part in kept)
        self._frames: list[bytes] = []
        self._part_bytes = 0
        self._part_rows = 0

    async def writable(self) -> None:
        """Until the session takes more: what is sent then leaves at once."""
        await self._session.writable()

    async def send(self, ordinal: int, end_row: int, frames: list[_Frame]) -> None:
        """The frames of one batch."""
        for frame in frames:
            await self._session.send(FrameType.RAW_BATCH, frame.payload)
            self._frames.append(frame.digest)
            self._part_bytes += len(frame.payload)
            self._part_rows += frame.rows
        if self._part_bytes >= PART_TARGET_BYTES:
            await self.end_part(ordinal, end_row, table_done=False)

    async def end_part(self, ordinal: int, end_row: int, *, table_done: bool) -> None:
        """Store where the part ends, then tell. An empty table still has one part, so that its end is known."""
        digest = sm3(b"".join(self._frames))
        self._digests.append(digest)
        part = _Part(len(self._digests), ordinal, end_row, table_done, self._part_rows, digest)
        await self._store.write(
            lambda connection: (
                connection.execute(
                    "INSERT OR REPLACE INTO transfer_parts (exchange_id, part_no, ordinal, end_row, table_done, rows, digest)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (self._exchange_id, part.part_no, ordinal, end_row, int(table_done), part.rows, digest),
                )
                and None
            )
        )
        message = RawPartEnd(
            part_no=part.part_no, ordinal=ordinal, rows=part.rows, table_done=table_done, digest=digest.hex()
        )
        await self._session.send(FrameType.RAW_PART_END, encode(message))
        self.rows += self._part_rows
        self._frames, self._part_bytes, self._part_rows = [], 0, 0

    def ending(self) -> RawEnd:
        """The last message."""
        return RawEnd(parts=len(self._digests), rows=self.rows, digest=sm3(b"".join(self._digests)).hex())


@dataclass(frozen=True)
class _Frame:
    """A frame's payload, its SM3 and how many rows it has."""

    payload: bytes
    digest: bytes
    rows: int


@dataclass(frozen=True)
class _Made:
    """A batch of source rows, up to `end_row`, and its frames, made `without` the rows of these subjects."""

    end_row: int
    batch: pa.RecordBatch
    without: pa.Array | None
    frames: list[_Frame]


def _frames(ordinal: int, first_row: int, end_row: int, batch: pa.RecordBatch) -> list[_Frame]:
    """One batch as frames: none if it is empty, halves if it is too large for one."""
    if batch.num_rows == 0:
        return []
    payload = _frame(ordinal, first_row, end_row, batch)
    if len(payload) <= _MAX_FRAME_BYTES:
        return [_Frame(payload, sm3(payload), batch.num_rows)]
    if batch.num_rows == 1:
        raise ExchangeFailed("One record is larger than a frame of 4 MiB; it cannot be transferred.", code="TOO_LARGE")
    half = batch.num_rows // 2
    return [
        *_frames(ordinal, first_row, first_row, batch.slice(0, half)),
        *_frames(ordinal, first_row, end_row, batch.slice(half)),
    ]


def _frame(ordinal: int, first_row: int, end_row: int, batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_IPC_OPTIONS) as writer:
        writer.write_batch(batch)
    return encode_batch(ordinal, first_row, end_row, sink.getvalue())
