"""The bank's jobs: begun from a job file, followed, stopped, and gone on with after a restart.

A job belongs to a folder of the user's, where its report will be; the same folder again goes on with the same job. What is under way
lies in the node's home (`joint/<job>/`) and in `joint_jobs`; both are on disk before the first exchange is opened.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from consent.documents import ExchangeMode
from consent.errors import ConsentError
from modeling.errors import ModelingError
from modeling.jobs.estimate import estimate
from modeling.jobs.leaks import statement
from nodes.errors import ExchangeFailed, NodeError
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.requester import APPROVAL_PATIENCE_S, RequesterExchanges, Wanted
from nodes.exchanges.session import Session, SessionClosed
from nodes.joint.bank_cohort import kept_rows, selected_rows, training_rows
from nodes.joint.job_file import JobFile, JobFileInvalid, own_path, parse_job, rules_of
from nodes.joint.job_report import write_report
from nodes.joint.job_run import JobRun, Partner
from nodes.joint.job_store import JobRecord, JobStore, OpenedExchange, StoredJob
from nodes.joint.job_told import JobPlanned
from nodes.joint.messages import Said, decode
from nodes.joint.provider import JOINT_LIFE_MS
from nodes.party.link import Forward, PartyLink
from trust.errors import TrustError

log = logging.getLogger(__name__)

_WAITING_CODES: Final = frozenset({"PEER_OFFLINE", "UNAVAILABLE", "WORKERS_FAILED"})
"""A job that ends with these is not over: it goes on when it is asked to, or after the next start."""


@dataclass
class Job:
    """A job under way, for whoever follows it."""

    job_id: str
    name: str
    directory: Path
    phase: str = "waiting"
    done: int = 0
    total: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[bytes] | None = None

    def tell(self, phase: str, done: int, total: int) -> None:
        """Set how far it is."""
        self.phase, self.done, self.total = phase, done, total
        self.changed.set()


class JointJobs:
    """All jobs of this node as a bank."""

    def __init__(self, context: ExchangeContext, requester: RequesterExchanges) -> None:
        self._context = context
        self._requester = requester
        self._jobs_kept = JobStore(context.store)
        self._jobs: dict[str, Job] = {}
        self._sessions: dict[str, tuple[Session, Job]] = {}

    @property
    def open_count(self) -> int:
        """Exchanges under way."""
        return len(self._sessions)

    def plan(self, text: str, base: Path) -> JobPlanned:
        """What a job costs and tells. Raises NodeError for what the job itself would refuse."""
        job = parse_job(text)
        own_path(job, base)
        try:
            rows = selected_rows(self._context, job, "0" * 32)
            columns = (len(rules_of(job.own.features)), *(sum(len(i.fields) for i in p.uses()) for p in job.providers))
            training = training_rows(job, len(rows.order))
            cost = estimate(job.settings(), len(rows.order), training, columns, job.selection)
        except ModelingError as error:
            raise ExchangeFailed(str(error), code=error.code) from error
        members = tuple(each.member for each in job.providers)
        leaks = statement(
            job.algorithm,
            self._context.settings.member_id,
            members,
            rows_scored=len(rows.order) - training,
            selection=job.selection,
        )
        return JobPlanned(name=job.name, algorithm=job.algorithm, estimate=cost, leaks=leaks)

    async def train(self, text: str, base: Path, user: str, directory: Path) -> Job:
        """Begin a job, or go on with the one of this directory. Raises NodeError."""
        job = parse_job(text)
        own_path(job, base)
        known = await self._jobs_kept.running_in(str(directory))
        if known is not None:
            if known.job_text != text:
                raise JobFileInvalid(
                    f"{directory} belongs to a job that was begun with another job file. Choose a new folder for a changed job."
                )
            return self._begin(known)
        if directory.exists() and any(directory.iterdir()):
            raise NodeError(f"{directory} is not empty. Choose a new folder for the report.", code="ALREADY_EXISTS")
        stored = StoredJob(
            job_id=secrets.token_hex(16), job_text=text, base=str(base), user=user, directory=str(directory)
        )
        await self._jobs_kept.add(stored, job.name, self._context.clock())
        return self._begin(stored)

    async def resume_all(self) -> None:
        """After a start: go on with every job that was broken off."""
        for stored in await self._jobs_kept.running():
            self._begin(stored)

    async def stop(self, job_id: str, reason: str) -> bool:
        """End a job for good; whether it was this node's own and running."""
        if all(each.job_id != job_id for each in await self._jobs_kept.running()):
            return False
        await self._end(job_id, "stopped", f"JOB_STOPPED: {reason}")
        job = self._jobs.pop(job_id, None)
        if job is not None and job.task is not None:
            job.task.cancel()
            await asyncio.gather(job.task, return_exceptions=True)
        for exchange_id in (await self._jobs_kept.exchanges(job_id)).values():
            await self._context.calls.end(exchange_id.exchange_id, "cancelled", f"JOB_STOPPED: {reason}")
        return True

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

    async def close(self) -> None:
        """Stop; jobs go on after the next start."""
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def records(self) -> list[JobRecord]:
        """Own jobs and those of others that this node takes part in, newest first, at most 500 of each."""
        return await self._jobs_kept.records()

    # -- running one

    def _begin(self, stored: StoredJob) -> Job:
        known = self._jobs.get(stored.job_id)
        if known is not None and known.task is not None and not known.task.done():
            return known
        job = Job(stored.job_id, parse_job(stored.job_text).name, Path(stored.directory))
        self._jobs[stored.job_id] = job
        job.task = asyncio.get_running_loop().create_task(self._run(stored, job))
        job.task.add_done_callback(lambda task: self._over(job, task))
        return job

    def _over(self, job: Job, task: asyncio.Task[bytes]) -> None:
        job.changed.set()
        if not task.cancelled() and task.exception() is not None:
            log.warning("job_stopped", extra={"job": job.job_id, "detail": str(task.exception())})

    async def _run(self, stored: StoredJob, job: Job) -> bytes:
        """The report. Whatever ends it for good is kept with the job."""
        try:
            return await self._train(stored, job)
        except (NodeError, ModelingError, TrustError, ConsentError) as error:
            failure = error if isinstance(error, NodeError) else ExchangeFailed(str(error), code=error.code)
            if failure.code in _WAITING_CODES:
                raise
            await self._end(stored.job_id, "failed", f"{failure.code}: {failure}")
            for opened in (await self._jobs_kept.exchanges(stored.job_id)).values():
                await self._context.calls.end(opened.exchange_id, "failed", f"{failure.code}: the bank ended the job")
            raise failure from error

    async def _train(self, stored: StoredJob, job: Job) -> bytes:
        parsed = parse_job(stored.job_text)
        folder = self._context.settings.home / "joint" / stored.job_id
        run = JobRun(self._context, stored.job_id, parsed, Path(stored.base), folder, job.tell)
        rows = await asyncio.to_thread(kept_rows, self._context, parsed, stored.job_id, folder)
        async with AsyncExitStack() as stack:
            links: dict[int, PartyLink[Said]] = {}
            partners = [
                await self._partner(stored, parsed, place, job, stack, links)
                for place in range(1, 1 + len(parsed.providers))
            ]
            made = await run.train(rows, tuple(partners))
            report = await asyncio.to_thread(
                write_report, parsed, made, folder, job.directory, self._context.settings.member_id
            )
            await self._jobs_kept.finish(stored.job_id, made.model.commitment, self._context.clock())
            for partner in partners:
                await partner.session.close()
                await self._context.calls.end(partner.terms.exchange_id, "finished")
        shutil.rmtree(folder, ignore_errors=True)
        return report

    async def _partner(
        self,
        stored: StoredJob,
        job: JobFile,
        place: int,
        follower: Job,
        stack: AsyncExitStack,
        links: dict[int, PartyLink[Said]],
    ) -> Partner:
        """Open or resume the exchange with one provider, and begin to talk."""
        part, context = job.providers[place - 1], self._context
        opened = (await self._jobs_kept.exchanges(stored.job_id)).get(part.member)
        if opened is None:
            wanted = Wanted(
                provider=part.member,
                product_id=part.product,
                items=part.uses(),
                purpose=job.purpose,
                reason=job.reason,
                user=stored.user,
            )
            terms = await self._requester.open(wanted, ExchangeMode.JOINT, JOINT_LIFE_MS)
            await self._jobs_kept.keep_exchange(
                stored.job_id,
                part.member,
                OpenedExchange(exchange_id=terms.exchange_id, request=terms.request_document),
            )
        else:
            terms = await self._requester.resume(opened.exchange_id, opened.request)
        session = context.session(terms)
        link = PartyLink(session, decode, self._forwarding(links, place) if len(job.providers) > 1 else None)
        links[place] = link
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(session.run()), loop.create_task(link.run())]
        self._sessions[terms.exchange_id] = (session, follower)

        async def leave() -> None:
            self._sessions.pop(terms.exchange_id, None)
            # Without a word: a provider that hears of an end takes no further part, and this job may go on after a restart.
            # Of one that is over the hub tells.
            await session.abort(SessionClosed())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        stack.push_async_callback(leave)
        await session.wait_ready()
        return Partner(part.member, place, terms, session, link)

    def _forwarding(self, links: Mapping[int, PartyLink[Said]], sender: int) -> Forward:
        """What one provider sends to another passes through here, sealed."""

        async def forward(attempt: int, place: int, data: bytes) -> None:
            if place in links and place != sender:
                await links[place].send_data(attempt, sender, data)

        return forward

    async def _end(self, job_id: str, state: str, failure: str) -> None:
        await self._jobs_kept.end(job_id, state, failure, self._context.clock())
        shutil.rmtree(self._context.settings.home / "joint" / job_id, ignore_errors=True)
