"""Scores of many enterprises into a folder, block by block: told how far, gone on with after a fault of any party.

A block is 8,192 enterprises. Who may be asked about is decided when its turn comes, so a consent that was withdrawn between two blocks
leaves its enterprise out, and the result says so. A finished block is on disk before the next progress is told; its request key makes a
block that was under way count once.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pyarrow as pa

from consent.models import Model
from modeling.errors import ModelingError
from nodes.errors import NodeError
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.requester import RequesterExchanges
from nodes.exchanges.session import Session
from nodes.models.registry import Registry
from nodes.scoring.batch_files import BatchFacts, BatchReport, BatchRequest, read_batch, write_result
from nodes.scoring.batch_store import Asked, BatchStore, Exchanges, StoredBatch, block_file, write_block
from nodes.scoring.computer import Computer
from nodes.scoring.own import rows_of_file
from nodes.scoring.panel import Asking, Panel
from nodes.scoring.recipe import Recipe, recipe_of
from nodes.scoring.rows import Chosen, choose
from nodes.scoring.scores import require_own, scored, told_refusal
from trust.suite import Sm3

log = logging.getLogger(__name__)

BLOCK: Final = 8192
IN_FLIGHT: Final = 3
"""Blocks under way at once: one at the providers, one on the way, one being opened."""
_SLICE: Final = 256
_AGAIN: Final = frozenset({"PEER_OFFLINE", "PEER_FAILED", "UNAVAILABLE", "EXCHANGE_ENDED", "CONSENT_STALE"})
_ATTEMPTS: Final = 8
_LONGEST_WAIT_S: Final = 15.0


@dataclass
class BatchRun:
    """A batch under way, for whoever follows it."""

    batch_id: str
    directory: Path
    phase: str = "waiting"
    done: int = 0
    total: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[BatchReport] | None = None

    def tell(self, phase: str, done: int, total: int) -> None:
        """Set how far it is."""
        self.phase, self.done, self.total = phase, done, total
        self.changed.set()


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A batch with all that it reads."""

    batch_id: str
    request: BatchRequest
    model: Model
    recipe: Recipe
    subjects: Sequence[str]
    own: pa.Table
    folder: Path

    @property
    def blocks(self) -> int:
        return -(-len(self.subjects) // BLOCK)


class ScoreBatches:
    """All batches of this node."""

    def __init__(
        self, context: ExchangeContext, requester: RequesterExchanges, registry: Registry, computer: Computer
    ) -> None:
        self._context, self._requester, self._registry, self._computer = context, requester, registry, computer
        self._kept = BatchStore(context.store)
        self._runs: dict[Path, BatchRun] = {}
        self._panels: dict[str, Panel] = {}

    @property
    def open_count(self) -> int:
        """Exchanges under way."""
        return sum(len(each.exchanges) for each in self._panels.values())

    async def begin(self, request: BatchRequest) -> BatchRun:
        """Begin one, or go on with the one that its directory holds. Raises NodeError for what can be known before."""
        running = self._runs.get(request.directory)
        if running is not None and running.task is not None and not running.task.done():
            return running
        model = await self._registry.looked_up(request.model_id)
        require_own(self._context, model)
        recipe = recipe_of(model, self._registry, self._computer)
        subjects, own, digest = await asyncio.to_thread(read_batch, request, recipe)
        asked = Asked(
            model_id=request.model_id,
            source_sm3=digest,
            subjects=len(subjects),
            reason=request.reason,
            user=request.user,
            application_no=request.application_no,
        )
        stored = await self._stored(request, asked)
        job = _Job(
            batch_id=stored.batch_id,
            request=request,
            model=model,
            recipe=recipe,
            subjects=subjects,
            own=own,
            folder=self._context.settings.home / "scores" / stored.batch_id,
        )
        run = self._runs[request.directory] = BatchRun(job.batch_id, request.directory, total=len(subjects))
        run.task = asyncio.get_running_loop().create_task(self._run(job, run, stored))
        run.task.add_done_callback(lambda task: _over(run, task))
        return run

    def updated(self, exchange_id: str, state: str) -> None:
        """A provider's operator has to approve: wait for that."""
        session = self._session_of(exchange_id)
        if session is not None and state == "waiting_approval":
            session.wait_longer(24 * 3600.0)

    async def ended(self, exchange_id: str, failure: NodeError) -> None:
        """The hub says that an exchange is over."""
        session = self._session_of(exchange_id)
        if session is not None:
            await session.abort(failure)

    async def close(self) -> None:
        """Stop; batches are gone on with when they are asked for again."""
        tasks = [run.task for run in self._runs.values() if run.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _session_of(self, exchange_id: str) -> Session | None:
        found = (panel.session_of(exchange_id) for panel in self._panels.values())
        return next((session for session in found if session is not None), None)

    async def _stored(self, request: BatchRequest, asked: Asked) -> StoredBatch:
        stored = await self._kept.running(str(request.directory))
        if stored is not None:
            if (stored.asked.model_id, stored.asked.source_sm3) != (asked.model_id, asked.source_sm3):
                raise NodeError(
                    f"{request.directory} holds an unfinished batch of another model or list. Choose a new folder.",
                    code="ALREADY_EXISTS",
                )
            return stored
        if request.directory.exists() and any(request.directory.iterdir()):
            raise NodeError(f"{request.directory} is not empty. Choose a new folder.", code="ALREADY_EXISTS")
        batch_id = self._context.new_id()
        await self._kept.add(batch_id, str(request.directory), asked, self._context.clock())
        return StoredBatch(batch_id=batch_id, asked=asked, exchanges={})

    # -- running one

    async def _run(self, job: _Job, run: BatchRun, stored: StoredBatch) -> BatchReport:
        began = time.monotonic()
        todo = [block for block in range(job.blocks) if not block_file(job.folder, block).exists()]
        kept = job.blocks - len(todo)
        run.tell("resumed" if kept else "score", _rows(job, kept), len(job.subjects))
        scoring = _Scoring(self._context, self._requester, self._computer, job, self._kept, self._panels)
        try:
            await scoring.open(stored.exchanges)
            slots = asyncio.Semaphore(IN_FLIGHT)

            async def work(block: int) -> None:
                async with slots:
                    await scoring.block(block)
                    run.tell("score", min(run.done + BLOCK, len(job.subjects)), len(job.subjects))

            async with asyncio.TaskGroup() as tasks:
                for block in todo:
                    tasks.create_task(work(block))
            await scoring.suspend()
            facts = BatchFacts(
                batch_id=job.batch_id,
                error=scoring.error,
                kept=kept,
                seconds=time.monotonic() - began,
                traffic=scoring.bytes,
            )
            report = await asyncio.to_thread(
                write_result, job.folder, job.blocks, job.request.directory, job.model.version, facts
            )
        except BaseExceptionGroup as group:
            first = group.exceptions[0]
            await self._failed(job, first)
            raise first from None
        except (NodeError, ModelingError) as error:
            await self._failed(job, error)
            raise
        finally:
            await scoring.suspend()
        await scoring.close()
        await self._kept.finish(job.batch_id, self._context.clock())
        shutil.rmtree(job.folder, ignore_errors=True)
        return report

    async def _failed(self, job: _Job, error: BaseException) -> None:
        """What may pass stays, to be gone on with; a refusal is the end."""
        code = getattr(error, "code", "INTERNAL")
        if code in {"MODEL_RETIRED", "MODEL_INVALID", "MODEL_PRECISION"}:
            await self._kept.fail(job.batch_id, f"{code}: {error}", self._context.clock())
            shutil.rmtree(job.folder, ignore_errors=True)


class _Scoring:
    """The panel of one batch, opened again when it broke."""

    def __init__(
        self,
        context: ExchangeContext,
        requester: RequesterExchanges,
        computer: Computer,
        job: _Job,
        kept: BatchStore,
        panels: dict[str, Panel],
    ) -> None:
        self._context, self._requester, self._computer = context, requester, computer
        self._job, self._kept, self._panels = job, kept, panels
        self._panel: Panel | None = None
        self._opening = asyncio.Lock()
        self._stopped = False
        self.error = 0.0
        self.bytes = 0
        """Sent and received, ciphertexts and rows."""

    async def open(self, exchanges: Exchanges) -> None:
        """Go on with these exchanges, or open new ones if there are none or they have ended. Raises NodeError."""
        try:
            await self._new(exchanges)
        except NodeError as error:
            if not exchanges or error.code not in {"EXCHANGE_ENDED", "NOT_FOUND"}:
                raise
            await self._new({})

    async def block(self, block: int) -> None:
        """Score a block and keep it. Raises NodeError, ModelingError when it will not go on."""
        job = self._job
        subjects = job.subjects[block * BLOCK : (block + 1) * BLOCK]
        chosen = await choose_slowly(self._context, job.model, subjects)
        key = f"{job.batch_id}/{block}/{_mark(chosen)}"
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                panel = await self._current()
                told = {uscc: told_refusal(job.model, uscc, why, ()) for uscc, why in chosen.refused.items()}
                if chosen.subjects:
                    own = rows_of_file(job.own, chosen.subjects)
                    told |= await scored(self._context, panel, chosen, own, key, single=False)
                    self.error = max(self.error, (await panel.ready()).error)
                await asyncio.to_thread(write_block, job.folder, block, [told[uscc] for uscc in subjects])
                return
            except NodeError as error:
                if error.code not in _AGAIN or attempt == _ATTEMPTS:
                    raise
                log.warning("score_block_again", extra={"batch": job.batch_id, "block": block, "code": error.code})
                await asyncio.sleep(min(0.5 * (1 << attempt), _LONGEST_WAIT_S))

    async def suspend(self) -> None:
        """Stop; the exchanges stay."""
        if self._panel is not None and not self._stopped:
            self._stopped = True
            self.bytes += self._panel.traffic
            await self._panel.suspend()
            self._panels.pop(self._job.batch_id, None)

    async def close(self) -> None:
        """End the exchanges."""
        if self._panel is not None:
            await self._panel.close()

    async def _current(self) -> Panel:
        async with self._opening:
            panel = self._panel
            if panel is None or panel.failure is not None:
                known: Exchanges = panel.exchanges if panel is not None else {}
                await self.suspend()
                await self.open(known)
            if self._panel is None:
                raise AssertionError
            return self._panel

    async def _new(self, exchanges: Exchanges) -> None:
        job = self._job
        asking = Asking(reason=job.request.reason, user=job.request.user, application_no=job.request.application_no)
        panel = Panel(self._context, self._requester, self._computer, job.model, job.recipe, asking)
        self._panels[job.batch_id] = panel
        try:
            await panel.open(exchanges)
        except BaseException:
            await panel.suspend()
            raise
        self._panel, self._stopped = panel, False
        await self._kept.opened(job.batch_id, panel.exchanges)


async def choose_slowly(context: ExchangeContext, model: Model, subjects: Sequence[str]) -> Chosen:
    """As `choose`, in slices between which the agent does other things."""
    found = [Chosen(subjects=(), consents={part.provider: b"" for part in model.version.parts}, refused={})]
    for at in range(0, len(subjects), _SLICE):
        found.append(choose(context, model, subjects[at : at + _SLICE]))
        await asyncio.sleep(0)
    return Chosen(
        subjects=tuple(uscc for each in found for uscc in each.subjects),
        consents={name: b"".join(each.consents[name] for each in found) for name in found[0].consents},
        refused={uscc: why for each in found for uscc, why in each.refused.items()},
    )


def _mark(chosen: Chosen) -> str:
    """Of who is asked about: a block whose enterprises have changed since is another question."""
    digest = Sm3()
    for name, consents in chosen.consents.items():
        digest.update(name.encode() + b"\0" + consents)
    return digest.digest().hex()[:16]


def _rows(job: _Job, blocks: int) -> int:
    return min(blocks * BLOCK, len(job.subjects))


def _over(run: BatchRun, task: asyncio.Task[BatchReport]) -> None:
    run.changed.set()
    if not task.cancelled() and task.exception() is not None:
        log.warning("score_batch_stopped", extra={"batch": run.batch_id, "detail": str(task.exception())})
