"""The bank's rows of a job: selected once from its own verified copy of the consents, and kept for as long as the job runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from consent.columns import ConsentColumns
from consent.decision import Freshness
from consent.selection import Selection, select_subjects
from nodes.errors import NodeError, UseRefused
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.permitted import read_table, write_table
from nodes.joint.cohort import BankRows, bank_rows, withdrawn_rows
from nodes.joint.job_file import JobFile

_SECRET: Final = b"secret"


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What this node knows of the consents at one moment, by provider.

    Taken in the event loop's thread, which changes the replica, and stays as it is: a million consents are looked at in another one.
    """

    books: Mapping[str, ConsentColumns | None]
    at_ms: int
    freshness: Freshness


def _known(context: ExchangeContext, job: JobFile) -> _Known:
    found = {each.member: context.replica.granted_book(each.member) for each in job.providers}
    now_ms = context.clock()
    return _Known(
        books={member: book.snapshot() if book is not None else None for member, book in found.items()},
        at_ms=now_ms,
        freshness=Freshness(checkpoint_ms=now_ms, consistent=context.replica.alarm is None),
    )


async def selected_rows(context: ExchangeContext, job: JobFile, job_id: str) -> BankRows:
    """The rows as they are now. Raises UseRefused, CohortTooSmall."""
    return await asyncio.to_thread(_select, context, job, job_id, _known(context, job))


async def kept_rows(context: ExchangeContext, job: JobFile, job_id: str, folder: Path) -> BankRows:
    """The rows as they were selected first: a job that goes on has the same. Raises as `selected_rows`."""
    return await asyncio.to_thread(_keep, context, job, job_id, _known(context, job), folder / "rows.arrow")


def _select(context: ExchangeContext, job: JobFile, job_id: str, known: _Known) -> BankRows:
    consents = {each.member: _selected(context, job, each.member, known) for each in job.providers}
    return bank_rows(consents, job_id, job.cohort.rows, job.cohort.minimum)


def _keep(context: ExchangeContext, job: JobFile, job_id: str, known: _Known, path: Path) -> BankRows:
    members = [each.member for each in job.providers]
    if not path.exists():
        rows = _select(context, job, job_id, known)
        held = {name: [rows.consents[name].get(uscc) for uscc in rows.order] for name in members}
        columns = {
            "uscc": pa.array(rows.order),
            **{_of(name): pa.array(ids, pa.string()) for name, ids in held.items()},
        }
        write_table(path, pa.table(columns).replace_schema_metadata({_SECRET: rows.secret.hex().encode()}))
        return rows
    table = read_table(path)
    order = tuple(table.column("uscc").to_pylist())
    return BankRows(
        order=order,
        secret=bytes.fromhex((table.schema.metadata or {})[_SECRET].decode()),
        consents={
            name: {
                uscc: record
                for uscc, record in zip(order, table.column(_of(name)).to_pylist(), strict=True)
                if record is not None
            }
            for name in members
        },
    )


def _of(member: str) -> str:
    """The column of the consents at a member; never "uscc", whatever the member is called."""
    return f"consent at {member}"


def training_rows(job: JobFile, count: int) -> int:
    """So many of the rows train: the first, for their order is a hash's."""
    return max(1, round(count * (1 - job.split.test)))


async def left_rows(context: ExchangeContext, job: JobFile, rows: BankRows) -> list[int]:
    """Rows that have left by now, whichever provider's consent ended. Raises NodeError while this node does not know."""
    known = _known(context, job)
    if not known.freshness.consistent:
        raise NodeError("The node has seen the hub contradict itself.", code="LOG_INCONSISTENT")
    return await asyncio.to_thread(_left, context, job, rows, known)


def _left(context: ExchangeContext, job: JobFile, rows: BankRows, known: _Known) -> list[int]:
    gone: set[int] = set()
    for member, held in rows.consents.items():
        book = known.books[member]
        covered = set(_selection(context, book, job, member, known).subjects.usccs) if book is not None else set()
        gone.update(withdrawn_rows(book, rows.order, held, covered, known.at_ms))
    return sorted(gone)


def _selected(context: ExchangeContext, job: JobFile, member: str, known: _Known) -> dict[str, str]:
    """Subject to consent id."""
    book = known.books[member]
    if book is None:
        raise UseRefused(f"No consent for data of {member} names this bank.", reason="NO_CONSENT")
    selection = _selection(context, book, job, member, known)
    if not selection.subjects:
        reason = selection.refused.most_common(1)[0][0].value if selection.refused else "NO_CONSENT"
        raise UseRefused(f"No enterprise's consent covers this job at {member}.", reason=reason)
    return {each.uscc: each.record_ids[0] for each in selection.subjects}


def _selection(context: ExchangeContext, book: ConsentColumns, job: JobFile, member: str, known: _Known) -> Selection:
    return select_subjects(
        book,
        requester=context.settings.member_id,
        provider=member,
        purpose=job.purpose,
        items=next(each for each in job.providers if each.member == member).uses(),
        at_ms=known.at_ms,
        freshness=known.freshness,
        catalogue=context.catalogue,
        rules=context.rules,
    )
