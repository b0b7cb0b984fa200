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

from consent.model_state import Model
from modeling.errors import ModelingError
from nodes.errors import NodeError
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.requester import APPROVAL_PATIENCE_S, RequesterExchanges
from nodes.exchanges.session import Session
from nodes.models.registry import Registry
from nodes.scoring.batch_files import BatchFacts, BatchReport, BatchRequest, read_batch, write_result
from nodes.scoring.batch_store import Asked, BatchStore, Exchanges, StoredBatch, block_file, write_block
from nodes.scoring.computer import Computer
from nodes.scoring.own import rows_of_file
from nodes.scoring.panel import Panel
from nodes.scoring.question import Asking
from nodes.scoring.recipe import Recipe, recipe_of
from nodes.scoring.rows import Chosen, choose
from nodes.scoring.scores import require_asker, scored, told_refusal
from trust.suite import Sm3

log = logging.getLogger(__name__)

BLOCK: Final = 8192
IN_FLIGHT: Final = 3
"""Blocks under way at once: one at the providers, one on the way, one being opened."""
_SLICE: Final = 256
_AGAIN: Final = frozenset(
    {"PEER_OFFLINE", "DEADLINE_EXCEEDED", "PEER_FAILED", "UNAVAILABLE", "EXCHANGE_ENDED", "CONSENT_STALE"}
)
_ENDED: Final = frozenset({"EXCHANGE_ENDED", "NOT_FOUND"})
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
    listed: Sequence[str]
    subjects: Sequence[str]
    """The same in order of their codes: neighbours in a provider's data are in one block."""
    own: pa.Table
    folder: Path

    @property
    def blocks(self) -> int:
        return -(-len(self.subjects) // BLOCK)


class ScoreBatches:
    """All batches of this node; `panels`: of those that run, by batch."""

    def __init__(
        self, context: ExchangeContext, requester: RequesterExchanges, registry: Registry, computer: Computer
    ) -> None:
        self.context, self.requester, self.computer = context, requester, computer
        self._registry = registry
        self.kept = BatchStore(context.store)
        self.panels: dict[str, Panel] = {}
        self._runs: dict[Path, BatchRun] = {}

    @property
    def open_count(self) -> int:
        """Exchanges under way."""
        return sum(len(each.exchanges) for each in self.panels.values())

    async def begin(self, request: BatchRequest) -> BatchRun:
        """Begin one, or go on with the one that its directory holds. Raises NodeError for what can be known before."""
        running = self._runs.get(request.directory)
        if running is not None and running.task is not None and not running.task.done():
            return running
        model = await self._registry.looked_up(request.model_id)
        require_asker(self.context, model)
        recipe = recipe_of(model, self._registry, self.computer)
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
            listed=subjects,
            subjects=sorted(subjects),
            own=own,
            folder=self.context.settings.home / "scores" / stored.batch_id,
        )
        run = self._runs[request.directory] = BatchRun(job.batch_id, request.directory, total=len(subjects))
        run.task = asyncio.get_running_loop().create_task(self._run(job, run, stored))
        run.task.add_done_callback(lambda task: _over(run, task))
        return run

    def updated(self, exchange_id: str, state: str) -> None:
        """A provider's operator has to approve: wait for that."""
        session = self._session_of(exchange_id)
        if session is None or state != "waiting_approval":
            return
        session.wait_longer(APPROVAL_PATIENCE_S)
        for run in self._runs.values():
            panel = self.panels.get(run.batch_id)
            if panel is not None and panel.session_of(exchange_id) is session:
                run.tell("waiting_approval", run.done, run.total)

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
        found = (panel.session_of(exchange_id) for panel in self.panels.values())
        return next((session for session in found if session is not None), None)

    async def _stored(self, request: BatchRequest, asked: Asked) -> StoredBatch:
        stored = await self.kept.running(str(request.directory))
        if stored is not None:
            if (stored.asked.model_id, stored.asked.source_sm3) != (asked.model_id, asked.source_sm3):
                raise NodeError(
                    f"{request.directory} holds an unfinished batch of another model or list. Choose a new folder.",
                    code="ALREADY_EXISTS",
                )
            return stored
        if request.directory.exists() and any(request.directory.iterdir()):
            raise NodeError(f"{request.directory} is not empty. Choose a new folder.", code="ALREADY_EXISTS")
        batch_id = self.context.new_id()
        await self.kept.add(batch_id, str(request.directory), asked, self.context.clock())
        return StoredBatch(batch_id=batch_id, asked=asked, exchanges={})

    # -- running one

    async def _run(self, job: _Job, run: BatchRun, stored: StoredBatch) -> BatchReport:
        began = time.monotonic()
        todo = [block for block in range(job.blocks) if not block_file(job.folder, block).exists()]
        kept = job.blocks - len(todo)
        run.tell("resumed" if kept else "score", _rows(job, kept), len(job.subjects))
        scoring = _Scoring(self, job, stored.exchanges)
        try:
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
                write_result, job.folder, job.listed, job.blocks, job.request.directory, job.model.version, facts
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
        await self.kept.finish(job.batch_id, self.context.clock())
        shutil.rmtree(job.folder, ignore_errors=True)
        return report

    async def _failed(self, job: _Job, error: BaseException) -> None:
        """What may pass stays, to be gone on with; a refusal is the end."""
        code = getattr(error, "code", "INTERNAL")
        if code in {"MODEL_RETIRED", "MODEL_INVALID", "MODEL_PRECISION"}:
            await self.kept.fail(job.batch_id, f"{code}: {error}", self.context.clock())
            shutil.rmtree(job.folder, ignore_errors=True)


class _Scoring:
    """The panel of one batch, opened again when it broke."""

    def __init__(self, batches: ScoreBatches, job: _Job, exchanges: Exchanges) -> None:
        """`exchanges`: of before, to be gone on with."""
        self._batches, self._job, self._exchanges = batches, job, exchanges
        self._panel: Panel | None = None
        self._stopped = False
        self._opening = asyncio.Lock()
        self.error = 0.0
        self.bytes = 0
        """Sent and received, ciphertexts and rows."""

    async def block(self, block: int) -> None:
        """Score a block and keep it. Raises NodeError, ModelingError when it will not go on."""
        job = self._job
        subjects = job.subjects[block * BLOCK : (block + 1) * BLOCK]
        chosen = await choose_slowly(self._batches.context, job.model, subjects)
        key = f"{job.batch_id}/{block}/{_mark(chosen)}"
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                panel = await self._current()
                told = {uscc: told_refusal(job.model, uscc, why, ()) for uscc, why in chosen.refused.items()}
                if chosen.subjects:
                    own = rows_of_file(job.own, chosen.subjects)
                    told |= await scored(self._batches.context, panel, chosen, own, key, single=False)
                    self.error = max(self.error, (await panel.ready()).bound)
                await asyncio.to_thread(write_block, job.folder, block, [told[uscc] for uscc in subjects])
                return
            except NodeError as error:
                if not {error.code, error.reason} & _AGAIN or attempt == _ATTEMPTS:
                    raise
                log.warning("score_block_again", extra={"batch": job.batch_id, "block": block, "code": error.code})
                await asyncio.sleep(min(0.5 * (1 << attempt), _LONGEST_WAIT_S))

    async def suspend(self) -> None:
        """Stop; the exchanges stay."""
        if self._panel is not None and not self._stopped:
            self._stopped = True
            self.bytes += self._panel.traffic
            await self._panel.suspend()
            self._batches.panels.pop(self._job.batch_id, None)

    async def close(self) -> None:
        """End the exchanges."""
        if self._panel is not None:
            await self._panel.close()

    async def _current(self) -> Panel:
        async with self._opening:
            if self._panel is None or self._panel.failure is not None:
                await self.suspend()
                try:
                    self._panel = await self._new(self._exchanges)
                except NodeError as error:
                    if not self._exchanges or error.code not in _ENDED:
                        raise
                    self._panel = await self._new({})
                self._exchanges, self._stopped = self._panel.exchanges, False
            return self._panel

    async def _new(self, exchanges: Exchanges) -> Panel:
        job, batches = self._job, self._batches
        asking = Asking(reason=job.request.reason, user=job.request.user, application_no=job.request.application_no)
        panel = Panel(batches.context, batches.requester, batches.computer, job.model, job.recipe, asking)
        batches.panels[job.batch_id] = panel
        try:
            await panel.open(exchanges)
        except BaseException:
            await panel.suspend()
            raise
        await batches.kept.opened(job.batch_id, panel.exchanges)
        return panel


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
