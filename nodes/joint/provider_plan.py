"""What a provider decides about another member's job: once, before any data is read; stored, and never changed.

In this order: who may enter by this node's own book; the rows that are recognised; the table of their data, written; then in one
transaction the uses are charged, the receipt is written and the plan is stored. A node that is killed before that has decided nothing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from consent.catalogue import Catalogue
from consent.columns import ConsentColumns
from consent.decision import Counts, Freshness, ItemUse, Reason, Terms, no_counts, refuse_by_freshness
from consent.documents import encode
from consent.rules import UsageRules
from consent.selection import Selection, select_subjects
from consent.usage import Receipt
from nodes.errors import ExchangeFailed, NodeError, UseRefused
from nodes.exchanges.charging import all_counts, batch_receipt, charge, limited_terms
from nodes.exchanges.periods import bounds_of, within_periods
from nodes.exchanges.permitted import write_table
from nodes.exchanges.raw_plan import Tables
from nodes.exchanges.terms import ExchangeTerms
from nodes.joint.cohort import ProviderRows, commitment_of, provider_rows, to_table, told, withdrawn_rows
from nodes.joint.messages import Proposal
from nodes.joint.model_files import fresh_salt
from nodes.joint.own_table import in_order, one_row_each, write_own_table
from nodes.outbox import write_receipt
from nodes.replica import Replica
from nodes.store import Store
from trust.sm2 import PrivateKey
from trust.suite import sm3

_SCAN_ROWS: Final = 65_536


@dataclass(frozen=True, kw_only=True)
class JointNode:
    """The node, as far as its part in jobs needs it."""

    home: Path
    store: Store
    replica: Replica
    tables: Tables
    catalogue: Catalogue
    rules: UsageRules
    identity: PrivateKey
    member_id: str
    node_id: str
    max_staleness_ms: int
    minimum_rows: int
    minimum_sum: int
    selection: bool
    executor: str
    clock: Callable[[], int]
    new_id: Callable[[], str]
    written: Callable[[], None]


class DecidedPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided: the proposal and the digest of its tokens, the receipt, who was refused. Stored, never changed."""

    proposal: Proposal
    tokens_sm3: str
    batch_root: str
    receipt_id: str
    final_receipt_id: str
    refused: dict[str, int]
    salt: str


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What this node knows of the consents at one moment.

    Taken in the event loop's thread, which changes the replica, and stays as it is: a million consents are looked at in another one.
    """

    book: ConsentColumns
    freshness: Freshness
    at_ms: int


def _known(node: JointNode) -> _Known:
    now_ms = node.clock()
    freshness = node.replica.freshness(now_ms, node.max_staleness_ms)
    return _Known(book=node.replica.own_book.snapshot(), freshness=freshness, at_ms=now_ms)


@dataclass(frozen=True, kw_only=True)
class _Decision:
    """A plan and what is stored with it. `charged`: consents; `limited`: those of them whose uses are limited."""

    plan: DecidedPlan
    receipt: Receipt
    charged: list[str]
    limited: dict[str, Terms]
    uses: list[bytes]


async def decide(node: JointNode, terms: ExchangeTerms, proposal: Proposal, tokens: bytes, folder: Path) -> DecidedPlan:
    """Decide each row on this node's own book, charge, record, write what the process will read. Raises NodeError, ModelingError."""
    counts = await node.store.read(all_counts)
    known = _known(node)
    made = await asyncio.to_thread(_decide, node, terms, proposal, tokens, folder, known, counts)

    def commit(connection: sqlite3.Connection) -> None:
        charge(connection, made.charged, made.limited, known.at_ms)
        write_receipt(connection, made.receipt, made.uses)
        told_of = (terms.exchange_id, proposal.job, terms.request.requester, proposal.name)
        connection.execute(
            "INSERT INTO joint_out (exchange_id, job_id, requester, name, state, plan, subjects, created_ms)"
            " VALUES (?, ?, ?, ?, 'running', ?, ?, ?)",
            (*told_of, msgspec.json.encode(made.plan), len(made.uses), known.at_ms),
        )

    await node.store.write(commit)
    node.written()
    return made.plan


def _decide(
    node: JointNode,
    terms: ExchangeTerms,
    proposal: Proposal,
    tokens: bytes,
    folder: Path,
    known: _Known,
    counts: Counts,
) -> _Decision:
    asked = terms.request
    selection = _selection(node, terms, known, counts)
    if not selection.subjects:
        reason = selection.refused.most_common(1)[0][0] if selection.refused else Reason.NO_CONSENT
        raise UseRefused("No subject may enter this job by its consents.", reason=reason.value)
    consents = {each.uscc: each.record_ids[0] for each in selection.subjects}
    rows = provider_rows(tokens, consents, asked.exchange_id, node.minimum_rows)
    spends = {each.uscc: each.record_ids for each in selection.subjects}
    charged = [record_id for use in rows.uses for record_id in spends[use.uscc]]
    commitment = commitment_of(rows.uses)
    plan = DecidedPlan(
        proposal=proposal,
        tokens_sm3=sm3(tokens).hex(),
        batch_root=commitment.root,
        receipt_id=node.new_id(),
        final_receipt_id=node.new_id(),
        refused=told(selection.refused),
        salt=fresh_salt(),
    )
    _write_table(node, terms, proposal, rows, known.book, folder)
    write_table(folder / "rows.arrow", to_table(rows))
    receipt = batch_receipt(
        asked,
        side="provider",
        receipt_id=plan.receipt_id,
        node_id=node.node_id,
        time_ms=known.at_ms,
        record_count=len(rows.uses),
        commitment=commitment,
        decision="permit",
    )
    return _Decision(
        plan=plan,
        receipt=receipt,
        charged=charged,
        limited=limited_terms(known.book, charged),
        uses=[encode(use) for use in rows.uses],
    )


async def left_rows(node: JointNode, terms: ExchangeTerms, rows: ProviderRows) -> list[int]:
    """Rows that have left by now. What the job itself has spent does not count. Raises NodeError while this node does not know."""
    known = _known(node)
    unknown = refuse_by_freshness(known.freshness, known.at_ms)
    if unknown is not None:
        raise NodeError("This node's copy of the consents is too old, or contradicts itself.", code=unknown.value)
    return await asyncio.to_thread(_left, node, terms, rows, known)


def _left(node: JointNode, terms: ExchangeTerms, rows: ProviderRows, known: _Known) -> list[int]:
    covered = set(_selection(node, terms, known, no_counts).subjects.usccs)
    consents = {use.uscc: use.consent_id for use in rows.uses}
    return withdrawn_rows(known.book, rows.subjects, consents, covered, known.at_ms)


def _selection(node: JointNode, terms: ExchangeTerms, known: _Known, counts: Counts) -> Selection:
    asked = terms.request
    return select_subjects(
        known.book,
        requester=asked.requester,
        provider=node.member_id,
        purpose=asked.purpose,
        items=asked.items,
        at_ms=known.at_ms,
        freshness=known.freshness,
        catalogue=node.catalogue,
        rules=node.rules,
        counts=counts,
    )


def _write_table(
    node: JointNode, terms: ExchangeTerms, proposal: Proposal, rows: ProviderRows, book: ConsentColumns, folder: Path
) -> None:
    codes = pa.array(sorted(use.uscc for use in rows.uses), pa.string())
    opened: Mapping[str, ItemUse] = {use.item_id: use for use in terms.request.items}
    columns: dict[str, pa.Array] = {}
    present = None
    for item in proposal.items:
        digest = node.tables.pin(item.item_id, terms.exchange_id)
        period = node.catalogue.item(item.item_id).period_field
        fields = tuple(item.fields)
        scanned = fields if period is None or period in fields else (*fields, period)
        bounds = bounds_of(book, opened[item.item_id])
        batches = (
            within_periods(batch, period, bounds)
            for batch in node.tables.scan(item.item_id, digest, codes, scanned, _SCAN_ROWS)
        )
        single = one_row_each(batches, fields, period, item.aggregate)
        found, there = in_order(single, rows.subjects, f"{item.item_id}.")
        columns |= found
        present = there if present is None else present | there
    if present is None:
        raise ExchangeFailed("The job asks for no columns of this node.", code="JOB_INVALID")
    write_own_table(folder / "table.arrow", columns, present)
    node.tables.unpin(terms.exchange_id)


def find_plan(connection: sqlite3.Connection, exchange_id: str) -> DecidedPlan | None:
    """What was decided before, if it was."""
    row = connection.execute("SELECT plan FROM joint_out WHERE exchange_id = ?", (exchange_id,)).fetchone()
    return msgspec.json.decode(row[0], type=DecidedPlan) if row else None
