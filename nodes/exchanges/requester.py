"""The exchanges that this node asks for: open queries, kept open and shared, and transfers, which outlive a restart.

A permit of the provider is checked once more here, on this node's own verified copy of the consents that name it: data whose consent
this node knows to be withdrawn, expired or never given is not handed on.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consent.decision import Denial, Freshness, ItemUse, UseRequest, decide
from consent.documents import ExchangeMode, ItemMode, Purpose, encode
from consent.usage import EXCHANGE_REQUEST_TYPE, ExchangeRequest
from nodes.errors import ExchangeFailed, NodeError, UseRefused
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.query import QueryClient, QueryResult
from nodes.exchanges.raw_requester import Progress, RawRequester
from nodes.exchanges.session import Session
from nodes.exchanges.terms import ExchangeTerms, terms_for_requester
from nodes.exchanges.transfer_files import Manifest
from trust.document import sign_document

log = logging.getLogger(__name__)

QUERY_LIFE_MS: Final = 24 * 3_600_000
RAW_LIFE_MS: Final = 7 * 24 * 3_600_000
APPROVAL_PATIENCE_S: Final = 24 * 3600.0
COPY_PATIENCE_S: Final = 2.0
"""How long a consent that the provider used may take to arrive here."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a user of this node asks for."""

    provider: str
    product_id: str
    items: tuple[ItemUse, ...]
    purpose: Purpose
    reason: str
    user: str
    application_no: str | None = None


@dataclass
class _OpenQuery:
    wanted: Wanted
    terms: ExchangeTerms
    session: Session
    client: QueryClient
    tasks: list[asyncio.Task[None]]
    used_at: float


@dataclass
class TransferJob:
    """A transfer under way: its latest progress, and its end."""

    exchange_id: str
    directory: Path
    progress: Progress = field(
        default_factory=lambda: Progress(phase="waiting", rows=0, total_rows=0, bytes=0, subjects=0, refused={})
    )
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[Manifest] | None = None

    def tell(self, progress: Progress) -> None:
        """Set the latest progress."""
        self.progress = progress
        self.changed.set()

    def ended(self, task: asyncio.Task[Manifest]) -> None:
        """The transfer is over; whoever waits looks at the task. A failure that nobody waits for is logged."""
        self.changed.set()
        if not task.cancelled() and task.exception() is not None:
            log.warning("transfer_stopped", extra={"exchange": self.exchange_id, "detail": str(task.exception())})


class RequesterExchanges:
    """Open queries and transfers of this node."""

    def __init__(self, context: ExchangeContext) -> None:
        self._context = context
        self._queries: dict[str, _OpenQuery] = {}
        self._sessions: dict[str, Session] = {}
        self._jobs: dict[Path, TransferJob] = {}

    @property
    def open_count(self) -> int:
        """Exchanges under way."""
        return len(self._sessions)

    # -- queries

    async def open_query(self, wanted: Wanted) -> str:
        """The exchange for these terms, open already or opened now. Raises NodeError."""
        for exchange_id, query in list(self._queries.items()):
            if query.client.failure is not None:
                await self._drop_query(exchange_id, "failed")
            elif query.wanted == wanted:
                return exchange_id
        terms = await self.open(wanted, ExchangeMode.QUERY, QUERY_LIFE_MS)
        context = self._context
        session = context.session(terms)
        client = QueryClient(
            session,
            terms,
            store=context.store,
            node_id=context.settings.node_id,
            clock=context.clock,
            new_id=context.new_id,
            written=context.outbox.wake,
        )
        loop = asyncio.get_running_loop()
        self._sessions[terms.exchange_id] = session
        tasks = [loop.create_task(session.run()), loop.create_task(client.run())]
        self._queries[terms.exchange_id] = _OpenQuery(wanted, terms, session, client, tasks, loop.time())
        try:
            await session.wait_ready()
        except NodeError:
            await self._drop_query(terms.exchange_id, "failed")
            raise
        return terms.exchange_id

    async def query(
        self, exchange_id: str, uscc: str, items: tuple[ItemUse, ...], request_key: str | None = None
    ) -> QueryResult:
        """Ask for one subject. No items: all of the exchange. Raises UseRefused, NodeError."""
        open_query = self._queries.get(exchange_id)
        if open_query is None:
            raise ExchangeFailed(f"Exchange {exchange_id} is not open here. Open a new one.", code="EXCHANGE_ENDED")
        open_query.used_at = asyncio.get_running_loop().time()
        uses = items or open_query.terms.request.items
        result = await open_query.client.query(uscc, uses, request_key=request_key or self._context.new_id())
        await self._check_own_copy(open_query.terms, uscc, uses, result)
        return result

    async def close_query(self, exchange_id: str) -> int:
        """End an exchange; how many queries were answered in it."""
        open_query = self._queries.get(exchange_id)
        if open_query is None:
            return 0
        answered = open_query.client.answered
        await self._drop_query(exchange_id, "finished")
        return answered

    async def close_idle(self) -> None:
        """End exchanges that nobody used for long."""
        now = asyncio.get_running_loop().time()
        for exchange_id, query in list(self._queries.items()):
            if now - query.used_at > self._context.settings.exchange_idle_s:
                await self._drop_query(exchange_id, "finished")

    async def _drop_query(self, exchange_id: str, state: str) -> None:
        query = self._queries.pop(exchange_id)
        self._sessions.pop(exchange_id, None)
        await query.session.close()
        for task in query.tasks:
            task.cancel()
        await asyncio.gather(*query.tasks, return_exceptions=True)
        failure = query.client.failure
        reason = f"{failure.code}: {failure.message}" if state == "failed" and isinstance(failure, NodeError) else ""
        await self._context.calls.end(exchange_id, state, reason)

    async def _check_own_copy(
        self, terms: ExchangeTerms, uscc: str, uses: tuple[ItemUse, ...], result: QueryResult
    ) -> None:
        """The decision once more, on the consents that this node verified itself."""
        if all(use.mode is ItemMode.P for use in uses):
            return
        context = self._context
        deadline = asyncio.get_running_loop().time() + COPY_PATIENCE_S
        while True:
            book = context.replica.granted_book(terms.request.provider)
            views = [
                view
                for record_id in result.consent_ids
                if book is not None and (view := book.view(record_id)) is not None
            ]
            if len(views) == len(result.consent_ids) or asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.05)
        now_ms = context.clock()
        decision = decide(
            UseRequest(
                subject=uscc,
                requester=context.settings.member_id,
                provider=terms.request.provider,
                purpose=terms.request.purpose,
                items=uses,
                at_ms=now_ms,
            ),
            views,
            Freshness(checkpoint_ms=now_ms, consistent=context.replica.alarm is None),
            context.catalogue,
            context.rules,
        )
        if isinstance(decision, Denial):
            raise UseRefused(
                f"The provider permitted the use, but this node's own copy of the consents does not: {decision.sentence} "
                "The data was not handed on.",
                reason=decision.reason.value,
            )

    # -- transfers

    async def fetch(self, wanted: Wanted, directory: Path) -> TransferJob:
        """Begin a transfer into a new directory, or go on with the one that it holds. Raises NodeError."""
        job = self._jobs.get(directory)
        if job is not None and job.task is not None and not job.task.done():
            return job
        row = await self._unfinished(directory)
        if row is not None:
            return await self._continue(row[0], row[1], directory)
        if directory.exists() and any(directory.iterdir()):
            raise ExchangeFailed(
                f"{directory} is not empty and holds no unfinished transfer. Choose a new directory.",
                code="ALREADY_EXISTS",
            )
        terms = await self.open(wanted, ExchangeMode.RAW, RAW_LIFE_MS)
        values = (terms.exchange_id, wanted.provider, str(directory), terms.request_document, self._context.clock())
        await self._context.store.write(
            lambda connection: (
                connection.execute(
                    "INSERT INTO transfers_in (exchange_id, provider, directory, state, request, created_ms)"
                    " VALUES (?, ?, ?, 'running', ?, ?)",
                    values,
                )
                and None
            )
        )
        return self._start(terms, directory)

    async def resume_all(self) -> None:
        """After a start: go on with every transfer that was broken off."""
        rows = await self._context.store.read(
            lambda connection: connection.execute(
                "SELECT exchange_id, request, directory FROM transfers_in WHERE state = 'running'"
            ).fetchall()
        )
        for exchange_id, request, directory in rows:
            try:
                await self._continue(exchange_id, request, Path(directory))
            except NodeError as error:
                log.warning("transfer_not_resumed", extra={"exchange": exchange_id, "code": error.code})

    def updated(self, exchange_id: str, state: str) -> None:
        """The provider's operator has to approve: wait for that."""
        session = self._sessions.get(exchange_id)
        if session is not None and state == "waiting_approval":
            session.wait_longer(APPROVAL_PATIENCE_S)
            for job in self._jobs.values():
                if job.exchange_id == exchange_id:
                    job.tell(Progress(phase="waiting_approval", rows=0, total_rows=0, bytes=0, subjects=0, refused={}))

    async def ended(self, exchange_id: str, failure: NodeError) -> None:
        """The hub says that an exchange is over."""
        session = self._sessions.get(exchange_id)
        if session is not None:
            await session.abort(failure)

    async def close(self) -> None:
        """Stop; open queries end, transfers go on after the next start."""
        for exchange_id in list(self._queries):
            await self._drop_query(exchange_id, "finished")
        jobs = [job.task for job in self._jobs.values() if job.task is not None]
        for task in jobs:
            task.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)

    async def _unfinished(self, directory: Path) -> tuple[str, bytes] | None:
        row: tuple[str, bytes] | None = await self._context.store.read(
            lambda connection: connection.execute(
                "SELECT exchange_id, request FROM transfers_in WHERE directory = ? AND state = 'running'",
                (str(directory),),
            ).fetchone()
        )
        return row

    async def _continue(self, exchange_id: str, request: bytes, directory: Path) -> TransferJob:
        try:
            ticket = await self._context.calls.resume(exchange_id)
        except NodeError as error:
            if error.code in {"EXCHANGE_ENDED", "NOT_FOUND"}:
                await self._give_up(exchange_id)
                raise ExchangeFailed(
                    f"The transfer into {directory} cannot go on: its exchange has ended. Fetch into a new directory.",
                    code="EXCHANGE_ENDED",
                ) from error
            raise
        return self._start(self._terms(ticket, request), directory)

    def _start(self, terms: ExchangeTerms, directory: Path) -> TransferJob:
        job = TransferJob(exchange_id=terms.exchange_id, directory=directory)
        self._jobs[directory] = job
        job.task = asyncio.get_running_loop().create_task(self._transfer(terms, job))
        job.task.add_done_callback(job.ended)
        return job

    async def _transfer(self, terms: ExchangeTerms, job: TransferJob) -> Manifest:
        context = self._context
        session = context.session(terms)
        self._sessions[terms.exchange_id] = session
        running = asyncio.get_running_loop().create_task(session.run())
        try:
            manifest = await RawRequester(
                session,
                terms,
                job.directory,
                store=context.store,
                node_id=context.settings.node_id,
                clock=context.clock,
                new_id=context.new_id,
                written=context.outbox.wake,
                progress=job.tell,
            ).run()
            await session.close()
            await context.calls.end(terms.exchange_id, "finished")
            return manifest
        except UseRefused:
            await self._give_up(terms.exchange_id)
            raise
        except ExchangeFailed as error:
            if error.code == "USE_REFUSED":
                await self._give_up(terms.exchange_id)
                raise UseRefused(error.message, reason=error.reason) from error
            raise
        finally:
            self._sessions.pop(terms.exchange_id, None)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await session.close()

    async def _give_up(self, exchange_id: str) -> None:
        await self._context.store.write(
            lambda connection: (
                connection.execute("DELETE FROM transfers_in WHERE exchange_id = ?", (exchange_id,)) and None
            )
        )

    # -- opening

    async def open(self, wanted: Wanted, mode: ExchangeMode, life_ms: int) -> ExchangeTerms:
        """Open an exchange at the hub. Raises NodeError."""
        context = self._context
        now_ms = context.clock()
        request = ExchangeRequest(
            exchange_id=context.new_id(),
            mode=mode,
            requester=context.settings.member_id,
            requester_node=context.settings.node_id,
            provider=wanted.provider,
            product_id=wanted.product_id,
            items=wanted.items,
            purpose=wanted.purpose,
            application_no=wanted.application_no,
            reason=wanted.reason,
            user=wanted.user,
            time_ms=now_ms,
            expires_ms=now_ms + life_ms,
        )
        document = sign_document(EXCHANGE_REQUEST_TYPE, encode(request), context.identity).encode()
        return self._terms(await context.calls.open(document), document)

    async def resume(self, exchange_id: str, request: bytes) -> ExchangeTerms:
        """Go on with an exchange that this node opened. Raises NodeError, EXCHANGE_ENDED among them."""
        return self._terms(await self._context.calls.resume(exchange_id), request)

    def _terms(self, ticket: bytes, request: bytes) -> ExchangeTerms:
        return terms_for_requester(
            ticket,
            request,
            node_id=self._context.settings.node_id,
            directory=self._context.replica.directory,
            hub_key=self._context.replica.hub_key,
            now_ms=self._context.clock(),
        )
