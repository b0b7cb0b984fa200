"""Taking part in another member's job: decide and record once, then a party's process for each attempt, then the part of the model.

What is on disk for a job that is under way (`joint/<exchange>/`): the rows as they were decided, the table that the
process reads, its checkpoint and its result. A node that was killed goes on from there: it is invited again, decides nothing twice and
charges nothing twice. When the model is made the part moves to `models/<job>/`, and what it was computed with is deleted; who was in it
stays until the exchange has ended, for a bank that was killed asks again how it ended.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from consent.documents import encode
from modeling.alignment import TOKEN_BYTES
from modeling.errors import ModelingError
from modeling.gbdt.wire import pack_flags
from modeling.jobs.passive import PassiveResult
from nodes.durable import write_bytes
from nodes.errors import ExchangeFailed, NodeError
from nodes.exchanges.charging import batch_receipt
from nodes.exchanges.permitted import read_table
from nodes.exchanges.session import PeerRestarted, Session
from nodes.exchanges.terms import ExchangeTerms
from nodes.joint.cohort import (
    ProviderRows,
    commitment_of,
    from_table,
    stayed,
)
from nodes.joint.job_store import JobStore
from nodes.joint.messages import Begin, Broken, Cohort, Done, ModelMade, PartMade, Proposal, Said, decode, plan_of
from nodes.joint.model_files import PART_FILE, OwnPart, read_part, write_document
from nodes.joint.provider_plan import DecidedPlan, JointNode, decide, find_plan, left_rows
from nodes.joint.task import WORKER, Task
from nodes.outbox import write_receipt
from nodes.party.link import PartyLink, end_party
from nodes.party.process import PartyProcess, Told, start_party
from nodes.party.tunnel import Tunnel
from trust.suite import sm3

log = logging.getLogger(__name__)

ACTIVE: Final = "active"
JOINT_LIFE_MS: Final = 7 * 24 * 3_600_000
"""How long the exchange of a job lives."""
_AWAY: Final = frozenset({"PEER_OFFLINE", "UNAVAILABLE"})
"""The bank may come back after these."""


@dataclass
class _Running:
    """A job under way in this node."""

    terms: ExchangeTerms
    link: PartyLink[Said]
    plan: DecidedPlan
    rows: ProviderRows
    folder: Path
    process: PartyProcess | None = None
    attempt: int = -1
    told: Told = field(default_factory=Told)


class JointProvider:
    """Serves joint exchanges."""

    def __init__(self, node: JointNode) -> None:
        self._node = node
        self._jobs = JobStore(node.store)

    async def serve(self, session: Session, terms: ExchangeTerms) -> int:
        """Take part until the model is made; the rows that this node brought. Raises what ended the exchange."""
        link = PartyLink(session, decode)
        reading = asyncio.get_running_loop().create_task(link.run())
        try:
            proposal: Said | None = None
            while True:
                try:
                    return await self._take_part(link, terms, proposal or await link.hear())
                except PeerRestarted:
                    proposal = None
                except _ProposedAgain as again:
                    proposal = again.proposal
        except ModelingError as error:
            await self.leave(terms.exchange_id, error.code)
            raise ExchangeFailed(str(error), code=error.code) from error
        except NodeError as error:
            if error.code not in _AWAY:
                await self.leave(terms.exchange_id, error.code)
            raise
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _take_part(self, link: PartyLink[Said], terms: ExchangeTerms, proposal: Said) -> int:
        if not isinstance(proposal, Proposal):
            raise _out_of_turn(proposal)
        self._check(proposal, terms)
        tokens = await link.hear_rows(TOKEN_BYTES * proposal.rows)
        running = await self._planned(link, terms, proposal, tokens)
        await link.say(
            Cohort(
                permitted=len(running.rows.uses),
                batch_root=running.plan.batch_root,
                receipt_id=running.plan.receipt_id,
                refused=running.plan.refused,
            )
        )
        await link.say_rows(await asyncio.to_thread(_told_rows, running.rows))
        try:
            await self._converse(running)
        finally:
            await _end_process(running)
        return len(running.rows.uses)

    def _check(self, proposal: Proposal, terms: ExchangeTerms) -> None:
        """The proposal stays within the request that was signed, and within what this node allows."""
        opened = {use.item_id: set(use.fields) for use in terms.request.items}
        for item in proposal.items:
            if item.item_id not in opened or not set(item.fields) <= opened[item.item_id]:
                raise ExchangeFailed(
                    f"The job asks for columns of {item.item_id} that its exchange was not opened for.",
                    code="JOB_INVALID",
                )
        settings = plan_of(proposal).boosting
        if settings is not None and settings.min_rows < self._node.minimum_sum:
            raise ExchangeFailed(
                f"The job wants sums of {settings.min_rows} rows; this node tells none of fewer than {self._node.minimum_sum}. "
                f"Set min_rows to {self._node.minimum_sum} or more.",
                code="JOB_INVALID",
            )
        if proposal.selection is not None and not self._node.selection:
            raise ExchangeFailed(
                "The job chooses columns by their labels; this node does not take part in that. Leave `selection` out.",
                code="JOB_INVALID",
            )
        if proposal.rows < self._node.minimum_rows:
            raise ExchangeFailed(
                f"The job has {proposal.rows} enterprises; this node takes part from {self._node.minimum_rows} on.",
                code="COHORT_TOO_SMALL",
            )

    async def leave(self, exchange_id: str, code: str) -> None:
        """Take no further part, whatever the bank or the hub says later; what the job held is deleted."""
        await self._jobs.leave(exchange_id, code, self._node.clock())
        self._node.tables.unpin(exchange_id)
        await asyncio.to_thread(shutil.rmtree, self._folder(exchange_id), ignore_errors=True)

    async def ended(self, exchange_id: str, _failure: NodeError) -> None:
        """The hub says that an exchange is over: nobody asks again about a job that has ended."""
        if exchange_id in await self._jobs.over(self._node.clock() + 1):
            await asyncio.to_thread(shutil.rmtree, self._folder(exchange_id), ignore_errors=True)

    async def sweep(self) -> None:
        """Delete what jobs left behind: those that have ended, and those that were never decided. For now and then."""
        before_ms = self._node.clock() - JOINT_LIFE_MS  # the exchanges are over by then
        known = await self._node.store.read(
            lambda connection: {each for (each,) in connection.execute("SELECT exchange_id FROM joint_out")}
        )
        over = set(await self._jobs.over(before_ms))
        await asyncio.to_thread(self._sweep, known, over, before_ms)

    def _sweep(self, known: Container[str], over: Container[str], before_ms: int) -> None:
        for folder in (self._node.home / "joint").glob("*-*-*-*-*"):  # a bank's own jobs have names without hyphens
            undecided = folder.name not in known and folder.stat().st_mtime * 1000 < before_ms
            if undecided or folder.name in over:
                shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, exchange_id: str) -> Path:
        return self._node.home / "joint" / exchange_id

    # -- deciding, once

    async def _planned(
        self, link: PartyLink[Said], terms: ExchangeTerms, proposal: Proposal, tokens: bytes
    ) -> _Running:
        folder = self._folder(terms.exchange_id)
        stored = await self._node.store.read(lambda connection: find_plan(connection, terms.exchange_id))
        if stored is None:
            stored = await decide(self._node, terms, proposal, tokens, folder)
        if await self._jobs.has_left(terms.exchange_id):
            raise _left()
        if stored.proposal != proposal or stored.tokens_sm3 != (await asyncio.to_thread(sm3, tokens)).hex():
            raise ExchangeFailed("The job came back with other rows or columns; begin a new one.", code="JOB_INVALID")
        rows = await asyncio.to_thread(lambda: from_table(read_table(folder / "rows.arrow")))
        return _Running(terms=terms, link=link, plan=stored, rows=rows, folder=folder)

    # -- the attempts

    async def _converse(self, running: _Running) -> None:
        hearing = asyncio.ensure_future(running.link.hear())
        try:
            while True:
                waiting: set[asyncio.Future[Any]] = {hearing}
                if running.process is not None:
                    waiting.add(running.process.ended)
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if running.process is not None and running.process.ended in done:
                    await self._process_ended(running)
                if hearing in done:
                    said = hearing.result()
                    hearing = asyncio.ensure_future(running.link.hear())
                    if await self._heard(running, said):
                        return
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)

    async def _heard(self, running: _Running, said: Said) -> bool:
        """Whether that was the end."""
        if isinstance(said, Begin):
            await _end_process(running)
            await self._begin(running, said)
        elif isinstance(said, Broken):
            await _end_process(running)
        elif isinstance(said, ModelMade):
            await self._finish(running, said)
            return True
        elif isinstance(said, Proposal):
            raise _ProposedAgain(said)
        else:
            raise _out_of_turn(said)
        return False

    async def _begin(self, running: _Running, said: Begin) -> None:
        party, folder = f"p{said.place}", running.folder

        def task(peers: Mapping[str, int], control: int) -> Task:
            return Task(
                party=party,
                active=ACTIVE,
                table=str(folder / "table.arrow"),
                checkpoint=str(folder / "checkpoint.json"),
                result=str(folder / "result.json"),
                peers=dict(peers),
                control=control,
                own=plan_of(running.plan.proposal),
                executor=self._node.executor,
            )

        def progress(line: Told) -> None:
            running.told = line

        async def withdrawn(_question: str) -> list[int]:
            return await left_rows(self._node, running.terms, running.rows)

        names = {0: ACTIVE, **{place: f"p{place}" for place in said.others}}
        tunnels = {place: self._tunnel(running, said, place) for place in said.others}
        running.process = await start_party(
            WORKER,
            task,
            tuple(names.values()),
            progress=progress,
            answers=withdrawn,
        )
        running.attempt = said.attempt
        sockets = running.process.sockets
        await running.link.join(said.attempt, {place: sockets[name] for place, name in names.items()}, tunnels)

    def _tunnel(self, running: _Running, said: Begin, place: int) -> Tunnel:
        node, attempt = self._node, said.attempt

        async def send(data: bytes) -> None:
            await running.link.send_data(attempt, place, data)

        return Tunnel(
            job=running.plan.proposal.job,
            attempt=attempt,
            own_node=node.node_id,
            peer_node=said.others[place],
            leads=said.place < place,
            identity=node.identity,
            directory=node.replica.directory,
            apart_from=frozenset({node.member_id, running.terms.request.requester}),
            send=send,
        )

    async def _process_ended(self, running: _Running) -> None:
        process = running.process
        if process is None:
            return
        ended = process.ended.result()
        if ended.failed:
            told = {"exchange": running.terms.exchange_id, "code": ended.failed, "detail": ended.message}
            log.warning("party_ended", extra=told)
            # The sentence may name this node's columns: only the code leaves, and before the process says that it breaks off.
            await running.link.say(Broken(attempt=running.attempt, code=ended.failed, message="", again=ended.again))
            await _end_process(running)
            return
        await running.link.drain()
        await _end_process(running)
        part = OwnPart(
            job=running.plan.proposal.job,
            name=running.plan.proposal.name,
            algorithm=running.plan.proposal.algorithm,
            party=self._node.member_id,
            salt=running.plan.salt,
            part=(running.folder / "result.json").read_bytes(),
        )
        write_document(running.folder / PART_FILE, part)
        await running.link.say(PartMade(attempt=running.attempt, commitment=part.commitment))

    # -- the end

    async def _finish(self, running: _Running, said: ModelMade) -> None:
        """Record that a model was made of those who stayed; keep the part."""
        node, plan, asked = self._node, running.plan, running.terms.request
        if await self._jobs.has_left(asked.exchange_id):
            raise _left()
        part = read_part(running.folder / PART_FILE)
        own = msgspec.json.decode(part.part, type=PassiveResult)
        if not set(own.withdrawn) <= set(said.withdrawn):
            raise ExchangeFailed("The bank keeps rows that were withdrawn; this node takes no part in that model.")
        rows = running.rows
        uses = await asyncio.to_thread(lambda: stayed(rows.uses, rows.permitted, said.withdrawn))
        commitment = await asyncio.to_thread(commitment_of, uses)
        if commitment.root != said.batch_root:
            raise ExchangeFailed("The bank's record names other enterprises than took part; the job was stopped.")
        now_ms = node.clock()
        receipt = batch_receipt(
            asked,
            side="provider",
            receipt_id=plan.final_receipt_id,
            node_id=node.node_id,
            time_ms=now_ms,
            record_count=len(uses),
            commitment=commitment,
            decision="permit",
            request_no=1,
            digest=said.commitment,
        )
        kept = node.home / "models" / f"{plan.proposal.job}" / PART_FILE
        write_bytes(kept, (running.folder / PART_FILE).read_bytes())

        def commit(connection: sqlite3.Connection) -> None:
            changed = connection.execute(
                "UPDATE joint_out SET state = 'finished', ended_ms = ?, commitment = ? WHERE exchange_id = ? AND state = 'running'",
                (now_ms, said.commitment, asked.exchange_id),
            ).rowcount
            if changed:
                write_receipt(connection, receipt, [encode(use) for use in uses])

        await node.store.write(commit)
        node.written()
        await running.link.say(Done(receipt_id=plan.final_receipt_id))
        _forget(running.folder)


class _ProposedAgain(Exception):
    """Another party was lost, and the bank begins again with everybody."""

    def __init__(self, proposal: Proposal) -> None:
        super().__init__("proposed again")
        self.proposal = proposal


async def _end_process(running: _Running) -> None:
    if running.process is not None:
        process, running.process = running.process, None
        await end_party(process, running.link)


def _told_rows(rows: ProviderRows) -> bytes:
    """A bit for each row, and the salts of those that are let in."""
    return pack_flags(rows.permitted).tobytes() + rows.salts


def _forget(folder: Path) -> None:
    """Delete what a job computed with. Who was in it stays, to answer a bank that asks again how it ended."""
    for name in ("table.arrow", "checkpoint.json", "result.json"):
        (folder / name).unlink(missing_ok=True)


def _left() -> ExchangeFailed:
    return ExchangeFailed("This node takes no further part in this job.", code="JOB_STOPPED")


def _out_of_turn(said: object) -> ExchangeFailed:
    return ExchangeFailed(f"The other node said {type(said).__name__} where something else was due.")
