"""Between the messages of agent.proto and what the agent works with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from xinqiao.v1 import agent_pb2

from consent.decision import ItemUse
from consent.directory import ProductPublished
from consent.documents import Purpose
from nodes.errors import NodeError
from nodes.exchanges.requester import TransferJob, Wanted
from nodes.joint.job_store import JobRecord
from nodes.joint.jobs import Job
from nodes.psi.messages import MOST_MINIMUM, Keep
from nodes.psi.runs import Comparison, Run
from nodes.psi.store import PsiRecord, Target


def wanted_of(request: agent_pb2.OpenQueryRequest | agent_pb2.FetchRequest) -> Wanted:
    """Parse what an exchange is opened for. Raises NodeError."""
    return Wanted(
        provider=request.provider,
        product_id=request.product_id,
        items=items_of(request.items_json),
        purpose=purpose_of(request.purpose),
        reason=request.reason,
        user=request.user,
        application_no=request.application_no or None,
    )


def items_of(encoded: bytes) -> tuple[ItemUse, ...]:
    """Parse the items of a request. Raises NodeError."""
    try:
        return msgspec.json.decode(encoded, type=tuple[ItemUse, ...])
    except msgspec.MsgspecError as error:
        raise NodeError(
            f"The items cannot be read: {error}. Give them as item:mode:field,field.", code="INVALID_ARGUMENT"
        ) from error


def purpose_of(text: str) -> Purpose:
    """Parse a purpose. Raises NodeError."""
    try:
        return Purpose(text)
    except ValueError:
        raise NodeError(
            f"{text!r} is no purpose; choose one of {', '.join(Purpose)}.", code="INVALID_ARGUMENT"
        ) from None


def product_of(product: ProductPublished, state: str) -> agent_pb2.ProductState:
    """Show a product."""
    return agent_pb2.ProductState(
        product_id=product.product_id,
        provider=product.provider,
        title=product.title,
        state=state,
        items_json=msgspec.json.encode(product.items),
    )


def progress_of(exchange_id: str, phase: str, job: TransferJob) -> agent_pb2.FetchProgress:
    """Show how far a transfer is."""
    progress = job.progress
    return agent_pb2.FetchProgress(
        exchange_id=exchange_id,
        phase=phase,
        rows=progress.rows,
        total_rows=progress.total_rows,
        bytes=progress.bytes,
        subjects=progress.subjects,
        refused_json=msgspec.json.encode(progress.refused),
    )


def job_progress_of(job: Job) -> agent_pb2.JobProgress:
    """Show how far a job is."""
    return agent_pb2.JobProgress(job_id=job.job_id, phase=job.phase, done=job.done, total=job.total)


def comparison_of(request: agent_pb2.CompareSetsRequest) -> Comparison:
    """Parse what sets are compared. Raises NodeError."""
    try:
        targets = msgspec.json.decode(request.targets_json, type=tuple[Target, ...])
        keep = msgspec.convert(request.keep or "all", Keep)
    except msgspec.MsgspecError as error:
        raise NodeError(
            f"The comparison cannot be read: {error}. Name provider, product and item; keep all or any.",
            code="INVALID_ARGUMENT",
        ) from error
    if not 1 <= request.minimum <= MOST_MINIMUM:
        raise NodeError(f"The minimum is 1 to {MOST_MINIMUM:,} enterprises.", code="INVALID_ARGUMENT")
    return Comparison(
        rows=request.rows,
        targets=targets,
        file=Path(request.file),
        column=request.column,
        keep=keep,
        minimum=request.minimum,
        purpose=purpose_of(request.purpose),
        reason=request.reason,
        user=request.user,
        directory=Path(request.directory) if request.directory else None,
    )


def comparison_progress_of(run: Run) -> agent_pb2.CompareSetsProgress:
    """Show how far a comparison is."""
    return agent_pb2.CompareSetsProgress(run_id=run.run_id, phase=run.phase, done=run.done, total=run.total)


def comparison_record_of(record: PsiRecord) -> agent_pb2.ComparisonReply:
    """Show a comparison in a list."""
    return agent_pb2.ComparisonReply(
        run_id=record.run_id,
        role=record.role,
        mode=record.mode,
        state=record.state,
        members=record.members,
        items=record.items,
        legal_basis=record.legal_basis,
        size=-1 if record.size is None else record.size,
        failure=record.failure,
        created_ms=record.created_ms,
        directory=record.directory,
    )


def job_of(record: JobRecord) -> agent_pb2.JobReply:
    """Show a job in a list."""
    return agent_pb2.JobReply(
        job_id=record.job_id,
        name=record.name,
        role=record.role,
        state=record.state,
        members=record.members,
        created_ms=record.created_ms,
        failure=record.failure,
        commitment=record.commitment,
        directory=record.directory,
    )


async def first_of(changed: asyncio.Event, task: asyncio.Task[Any]) -> None:
    """Until there is news, the work is done, or a second has passed; not more often than ten times a second."""
    waiting = asyncio.ensure_future(changed.wait())
    await asyncio.wait({waiting, task}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await asyncio.sleep(0.1)
