"""The comparisons that this node asks for: begun from a list, followed to their end.

One that is broken off, by a restart of any node or a lost party, is over: it is begun anew, and the provider counts it again. A run
takes seconds to minutes, and its secrets are never written down.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consent.decision import ItemUse
from consent.documents import ExchangeMode, ItemMode, Purpose
from consent.errors import ConsentError
from modeling.errors import ModelingError
from nodes.errors import ExchangeFailed, NodeError
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.requester import APPROVAL_PATIENCE_S, RequesterExchanges, Wanted
from nodes.exchanges.session import Session
from nodes.party.link import PartyLink
from nodes.psi.codes import Codes, read_list
from nodes.psi.folders import forget_all, own_folder
from nodes.psi.messages import Keep, decode
from nodes.psi.outcome import Outcome
from nodes.psi.run import Partner, PsiRun
from nodes.psi.store import PsiRecord, PsiStore, Target
from trust.errors import TrustError

log = logging.getLogger(__name__)

PSI_LIFE_MS: Final = 24 * 3_600_000
MOST_PROVIDERS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a user asks for. `rows`: which enterprises are common, into `directory`; else how many, of one provider."""

    rows: bool
    targets: tuple[Target, ...]
    file: Path
    column: str
    keep: Keep
    minimum: int
    purpose: Purpose
    reason: str
    user: str
    directory: Path | None

    @property
    def mode(self) -> ExchangeMode:
        """Of its exchanges."""
        return ExchangeMode.PSI_ROWS if self.rows else ExchangeMode.PSI_SIZE


@dataclass
class Run:
    """A comparison under way, for whoever follows it."""

    run_id: str
    phase: str = "waiting"
    done: int = 0
    total: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[Outcome] | None = None

    def tell(self, phase: str, done: int, total: int) -> None:
        """Set how far it is."""
        self.phase, self.done, self.total = phase, done, total
        self.changed.set()


class PsiRuns:
    """All comparisons of this node as the one that asks."""

    def __init__(self, context: ExchangeContext, requester: RequesterExchanges) -> None:
        self._context = context
        self._requester = requester
        self._kept = PsiStore(context.store)
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._sessions: dict[str, tuple[Session, Run]] = {}
        self._broken: tuple[str, ...] = ()

    @property
    def open_count(self) -> int:
        """Exchanges under way."""
        return len(self._sessions)

    async def begin(self, asked: Comparison) -> Run:
        """Begin one. Raises NodeError for what can be known before anything is opened."""
        _check(asked)
        codes = await asyncio.to_thread(read_list, asked.file, asked.column)
        if len(codes) < asked.minimum:
            raise ExchangeFailed(
                f"The list names {len(codes)} enterprises; a result is about {asked.minimum} or more.",
                code="COHORT_TOO_SMALL",
            )
        run = Run(self._context.new_id())
        await self._kept.add(run.run_id, asked.mode, asked.targets, str(asked.directory or ""), self._context.clock())
        run.task = asyncio.get_running_loop().create_task(self._run(asked, codes, run))
        self._tasks.add(run.task)
        run.task.add_done_callback(lambda task: self._over(run, task))
        return run

    def updated(self, exchange_id: str, state: str) -> None:
        """A provider's operator has to approve: wait for that."""
        found = self._sessions.get(exchange_id)
        if found is not None and state == "waiting_approval":
            found[0].wait_longer(APPROVAL_PATIENCE_S)
            found[1].tell("waiting_approval", 0, 0)

    async def ended(self, exchange_id: str, failure: NodeError) -> None:
        """The hub says that an exchange is over."""
        found = self._sessions.get(exchange_id)
        if found is not None:
            await found[0].abort(failure)

    async def break_off(self) -> None:
        """Before anything is begun: what was under way when this node ended is over, for both roles."""
        forget_all(self._context.settings.home)
        self._broken = await self._kept.break_off(self._context.clock())

    async def end_broken(self) -> None:
        """Tell the hub, once it can be reached, and so the providers."""
        broken, self._broken = self._broken, ()
        for exchange_id in broken:
            await self._context.calls.end(exchange_id, "failed", "PEER_FAILED: the node that asked was restarted")

    async def close(self) -> None:
        """Stop; what is under way is over."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def records(self) -> list[PsiRecord]:
        """Own comparisons and those of others that this node took part in, newest first, at most 500 of each."""
        return await self._kept.records()

    # -- running one

    def _folder(self, run_id: str) -> Path:
        return own_folder(self._context.settings.home, run_id)

    def _over(self, run: Run, task: asyncio.Task[Outcome]) -> None:
        self._tasks.discard(task)
        run.changed.set()
        if not task.cancelled() and task.exception() is not None:
            log.warning("comparison_stopped", extra={"run": run.run_id, "detail": str(task.exception())})

    async def _run(self, asked: Comparison, codes: Codes, run: Run) -> Outcome:
        opened: list[str] = []
        try:
            outcome = await self._compare(asked, codes, run, opened)
        except (NodeError, ModelingError, TrustError, ConsentError) as error:
            failure = error if isinstance(error, NodeError) else ExchangeFailed(str(error), code=error.code)
            await self._kept.fail(run.run_id, f"{failure.code}: {failure}", self._context.clock())
            for exchange_id in opened:
                await self._context.calls.end(exchange_id, "failed", f"{failure.code}: the comparison was ended")
            raise failure from error
        finally:
            shutil.rmtree(self._folder(run.run_id), ignore_errors=True)
        await self._kept.finish(run.run_id, outcome, self._context.clock())
        for exchange_id in opened:
            await self._context.calls.end(exchange_id, "finished")
        return outcome

    async def _compare(self, asked: Comparison, codes: Codes, run: Run, opened: list[str]) -> Outcome:
        psi = PsiRun(
            self._context,
            run.run_id,
            codes,
            rows=asked.rows,
            keep=asked.keep,
            minimum=asked.minimum,
            folder=self._folder(run.run_id),
            tell=run.tell,
        )
        async with AsyncExitStack() as stack:
            partners = []
            for place, target in enumerate(asked.targets, 1):
                partners.append(await self._partner(asked, target, place, run, opened, stack))
            return await psi.compare(partners, asked.directory)

    async def _partner(
        self, asked: Comparison, target: Target, place: int, run: Run, opened: list[str], stack: AsyncExitStack
    ) -> Partner:
        """Open the exchange with one provider, and begin to talk."""
        wanted = Wanted(
            provider=target.provider,
            product_id=target.product_id,
            items=(ItemUse(item_id=target.item_id, mode=ItemMode.X),),
            purpose=asked.purpose,
            reason=asked.reason,
            user=asked.user,
        )
        terms = await self._requester.open(wanted, asked.mode, PSI_LIFE_MS)
        opened.append(terms.exchange_id)
        await self._kept.opened(run.run_id, tuple(opened))
        session = self._context.session(terms)
        link = PartyLink(session, decode)
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(session.run()), loop.create_task(link.run())]
        self._sessions[terms.exchange_id] = (session, run)

        async def leave() -> None:
            self._sessions.pop(terms.exchange_id, None)
            await session.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        stack.push_async_callback(leave)
        await session.wait_ready()
        return Partner(target, place, terms, session, link)


def _check(asked: Comparison) -> None:
    """Raises NodeError."""
    members = [each.provider for each in asked.targets]
    if not 1 <= len(members) <= (MOST_PROVIDERS if asked.rows else 1) or len(set(members)) != len(members):
        raise NodeError(
            f"A comparison by number has one provider; one of rows has 1 to {MOST_PROVIDERS}, each once.",
            code="INVALID_ARGUMENT",
        )
    if asked.rows and asked.directory is None:
        raise NodeError("Name a new folder for the common enterprises.", code="INVALID_ARGUMENT")
    if asked.directory is not None and asked.directory.exists() and any(asked.directory.iterdir()):
        raise NodeError(f"{asked.directory} is not empty. Choose a new folder.", code="ALREADY_EXISTS")
