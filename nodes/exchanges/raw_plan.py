"""What a raw transfer will consist of: decided, spent and recorded once, before anything leaves, and kept for resumption.

Steps, in this order:
1. Items without fields are made explicit (all fields of the catalogue's item), so that every subject sends the same columns; a
   consent that covers fewer is refused for this transfer.
2. All subjects of the consent book are decided (`consent.selection`).
3. Their records are counted in the present snapshots, which are pinned for the transfer.
4. The permitted set goes to a file that is on disk before step 5 and is never changed.
5. In one transaction: limited uses are read again and those that are spent by now are dropped, the uses are charged, the batch
   receipt and its subjects are written, and the transfer is recorded.
A plan that exists is loaded and spends nothing again.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from consent.catalogue import Catalogue
from consent.columns import ConsentColumns
from consent.decision import ItemUse, Reason, Terms
from consent.documents import encode
from consent.rules import UsageRules
from consent.selection import Selection, select_subjects
from consent.usage import BatchCommitment, ExchangeRequest, Receipt, SubjectTree, SubjectUse
from nodes.errors import UseRefused
from nodes.exchanges.charging import all_counts, batch_receipt, charge, limited_terms
from nodes.exchanges.frames import PlannedItem
from nodes.exchanges.permitted import CONSENTS_SCHEMA, CONSENTS_TABLE, permitted_table, read_table, write_table
from nodes.exchanges.terms import ExchangeTerms
from nodes.outbox import write_receipt
from nodes.replica import Replica
from nodes.store import Store

FRAME_ROWS_LIMIT: Final = 1 << 17
_FRAME_BYTES: Final = 1 << 20


class Tables(Protocol):
    """The node's own data, as far as a transfer needs it. Snapshots are named by their digest and never change."""

    def pin(self, item_id: str, holder: str) -> str:
        """Keep the present snapshot for a holder; its digest. Raises NodeError if the node has no such item."""
        ...

    def unpin(self, holder: str) -> None:
        """Let go of every snapshot that a holder kept."""
        ...

    def scan(
        self, item_id: str, digest: str, subjects: pa.Array, fields: Sequence[str], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """The subjects' rows in a fixed order: column `uscc` and the fields, at most `batch_rows` a batch."""
        ...


class StoredPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What `transfers_out` keeps of a plan. Row counts are those of the snapshots, before later withdrawals."""

    items: tuple[PlannedItem, ...]
    uses: tuple[ItemUse, ...]
    batch_rows: tuple[int, ...]
    subjects: int
    refused: dict[str, int]
    delete_by_ms: int
    batch_root: str
    receipt_id: str


@dataclass(frozen=True, kw_only=True)
class TransferPlan:
    """A plan with its permitted set: one row a subject, in the order of the codes."""

    stored: StoredPlan
    permitted: pa.Table


class Planner:
    """Makes or loads the plan of a transfer."""

    def __init__(
        self,
        *,
        store: Store,
        replica: Replica,
        tables: Tables,
        catalogue: Catalogue,
        rules: UsageRules,
        directory: Path,
        member_id: str,
        node_id: str,
        max_staleness_ms: int,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        written: Callable[[], None],
    ) -> None:
        self._store = store
        self._replica = replica
        self._tables = tables
        self._catalogue = catalogue
        self._rules = rules
        self._directory = directory
        self._member_id = member_id
        self._node_id = node_id
        self._max_staleness_ms = max_staleness_ms
        self._clock = clock
        self._new_id = new_id
        self._written = written

    async def plan(self, terms: ExchangeTerms) -> TransferPlan:
        """The plan of this exchange. Raises UseRefused if no subject is left, with the most frequent reason; that is recorded too."""
        found = await self._store.read(lambda connection: _find(connection, terms.exchange_id))
        if found is not None:
            permitted = await asyncio.to_thread(read_table, self._file(terms.exchange_id))
            return TransferPlan(stored=found, permitted=permitted)
        request = terms.request
        uses = tuple(self._explicit(use) for use in request.items)
        counts = await self._store.read(all_counts)
        now_ms = self._clock()
        book = self._replica.own_book.snapshot()
        selection = await asyncio.to_thread(
            select_subjects,
            book,
            requester=request.requester,
            provider=self._member_id,
            purpose=request.purpose,
            items=uses,
            at_ms=now_ms,
            freshness=self._replica.freshness(now_ms, self._max_staleness_ms),
            catalogue=self._catalogue,
            rules=self._rules,
            counts=counts,
        )
        if not selection.subjects:
            await self._refuse(terms, selection.refused, now_ms)
        # Pinned and written in this thread: another one would go on after the transfer was forgotten.
        digests = {use.item_id: self._tables.pin(use.item_id, terms.exchange_id) for use in uses}
        made = await asyncio.to_thread(self._make, terms, uses, selection, book, digests, now_ms)
        write_table(self._file(terms.exchange_id), made.plan.permitted)
        await self._store.write(lambda connection: _commit(connection, terms, made, now_ms))
        self._written()
        return made.plan

    def forget(self, exchange_id: str) -> None:
        """Let go of what a transfer that is over held."""
        self._tables.unpin(exchange_id)
        self._file(exchange_id).unlink(missing_ok=True)

    def _explicit(self, use: ItemUse) -> ItemUse:
        if use.fields:
            return use
        item = self._catalogue.item(use.item_id)
        return ItemUse(item_id=use.item_id, mode=use.mode, fields=tuple(field.name for field in item.fields))

    def _make(
        self,
        terms: ExchangeTerms,
        uses: tuple[ItemUse, ...],
        selection: Selection,
        book: ConsentColumns,
        digests: dict[str, str],
        now_ms: int,
    ) -> _Made:
        ordered = sorted(selection.subjects, key=lambda subject: subject.uscc)
        spends = [record_id for subject in ordered for record_id in subject.record_ids]
        codes = pa.array([subject.uscc for subject in ordered], pa.string())
        rows, per_subject = self._count(uses, digests, codes)
        subject_uses = [
            SubjectUse(
                uscc=subject.uscc,
                consent_id=subject.record_ids[0],
                record_count=per_subject.get(subject.uscc, 0),
                salt=secrets.token_hex(16),
            )
            for subject in ordered
        ]
        permitted = permitted_table(subject_uses, [subject.delete_by_ms for subject in ordered])
        encoded = [encode(use) for use in subject_uses]
        commitment = SubjectTree(encoded).commitment
        stored = StoredPlan(
            items=(
                PlannedItem(
                    item_id=CONSENTS_TABLE,
                    fields=tuple(CONSENTS_SCHEMA.names),
                    rows=len(ordered),
                    snapshot=commitment.root,
                ),
                *(
                    PlannedItem(
                        item_id=use.item_id, fields=use.fields, rows=rows[use.item_id], snapshot=digests[use.item_id]
                    )
                    for use in uses
                ),
            ),
            uses=uses,
            batch_rows=(8192, *(self._batch_rows(use, digests[use.item_id], codes) for use in uses)),
            subjects=len(ordered),
            refused={reason.value: count for reason, count in selection.refused.items()},
            delete_by_ms=min(subject.delete_by_ms for subject in ordered),
            batch_root=commitment.root,
            receipt_id=self._new_id(),
        )
        return _Made(
            plan=TransferPlan(stored=stored, permitted=permitted),
            spends=spends,
            limited=limited_terms(book, spends),
            receipt=self._receipt(terms.request, stored, commitment, sum(rows.values()), now_ms),
            subject_uses=encoded,
        )

    def _count(
        self, uses: tuple[ItemUse, ...], digests: dict[str, str], codes: pa.Array
    ) -> tuple[dict[str, int], Counter[str]]:
        """Rows per item and records per subject, in the pinned snapshots."""
        rows: dict[str, int] = {}
        per_subject: Counter[str] = Counter()
        for use in uses:
            rows[use.item_id] = 0
            for batch in self._tables.scan(use.item_id, digests[use.item_id], codes, (), FRAME_ROWS_LIMIT):
                rows[use.item_id] += batch.num_rows
                counted = pc.value_counts(batch.column(0))
                for code, count in zip(
                    counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True
                ):
                    per_subject[code] += count
        return rows, per_subject

    def _batch_rows(self, use: ItemUse, digest: str, codes: pa.Array) -> int:
        """Rows of one frame of about a mebibyte, from the first rows of the table."""
        for batch in self._tables.scan(use.item_id, digest, codes, use.fields, 4096):
            per_row = max(1, int(batch.nbytes) // max(1, int(batch.num_rows)))
            return max(256, min(FRAME_ROWS_LIMIT, _FRAME_BYTES // per_row))
        return 4096

    def _receipt(
        self, request: ExchangeRequest, stored: StoredPlan, commitment: BatchCommitment, records: int, now_ms: int
    ) -> Receipt:
        return batch_receipt(
            request,
            side="provider",
            receipt_id=stored.receipt_id,
            node_id=self._node_id,
            time_ms=now_ms,
            record_count=records,
            commitment=commitment,
            decision="permit",
        )

    async def _refuse(self, terms: ExchangeTerms, refused: Counter[Reason], now_ms: int) -> None:
        """Nobody is left: record the refusal and raise it."""
        reason = refused.most_common(1)[0][0] if refused else Reason.NO_CONSENT
        receipt = batch_receipt(
            terms.request,
            side="provider",
            receipt_id=self._new_id(),
            node_id=self._node_id,
            time_ms=now_ms,
            record_count=0,
            commitment=BatchCommitment(root="0" * 64, size=0),
            decision=reason.value,
        )
        await self._store.write(lambda connection: write_receipt(connection, receipt))
        self._written()
        told = ", ".join(f"{each.value}: {count}" for each, count in refused.most_common())
        raise UseRefused(
            f"No subject of this product may be transferred for this request ({told or 'the provider has no consents at all'}).",
            reason=reason.value,
        )

    def _file(self, exchange_id: str) -> Path:
        return self._directory / f"{exchange_id}.arrow"


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A plan and what is recorded with it. `spends`: consents; `limited`: those of them whose uses are limited."""

    plan: TransferPlan
    spends: list[str]
    limited: dict[str, Terms]
    receipt: Receipt
    subject_uses: list[bytes]


def _commit(connection: sqlite3.Connection, terms: ExchangeTerms, made: _Made, now_ms: int) -> None:
    """Step 5. A use that was spent since the selection refuses the whole plan; it is made again then."""
    charge(connection, made.spends, made.limited, now_ms)
    write_receipt(connection, made.receipt, made.subject_uses)
    stored = made.plan.stored
    connection.execute(
        "INSERT INTO transfers_out (exchange_id, requester, state, request, plan, subjects, rows, receipt_id, delete_by_ms, created_ms)"
        " VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?, ?)",
        (
            terms.exchange_id,
            terms.request.requester,
            terms.request_document,
            msgspec.json.encode(stored),
            stored.subjects,
            made.receipt.record_count,
            stored.receipt_id,
            stored.delete_by_ms,
            now_ms,
        ),
    )


def _find(connection: sqlite3.Connection, exchange_id: str) -> StoredPlan | None:
    row = connection.execute("SELECT plan FROM transfers_out WHERE exchange_id = ?", (exchange_id,)).fetchone()
    return msgspec.json.decode(row[0], type=StoredPlan) if row else None
