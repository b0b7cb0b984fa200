"""One run of a bank's job: agree on the rows with every provider, train, and record the model. The pure parts are elsewhere.

An attempt is one process of this party and one at each provider. It is over when any of them is lost, or a node restarts; the next
begins at the last checkpoints. A provider that refuses or stops ends the job; one that is away does not: the job waits for it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from consent.usage import BatchCommitment, SubjectUse
from modeling.jobs.active import ActiveResult
from modeling.jobs.plan import passives_talk
from nodes.errors import ExchangeFailed
from nodes.exchanges.charging import batch_receipt
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.session import PeerRestarted, Session
from nodes.exchanges.terms import ExchangeTerms
from nodes.joint.bank_cohort import left_rows, training_rows
from nodes.joint.bank_table import LABEL, write_bank_table
from nodes.joint.cohort import SALT_BYTES, BankRows, Flags, commitment_of, stayed
from nodes.joint.job_file import JobFile, own_path, rules_of
from nodes.joint.messages import Begin, Broken, Cohort, Done, ModelMade, PartMade, Proposal, Said, plan_of
from nodes.joint.model_files import (
    MODEL_FILE,
    PART_FILE,
    ModelRecord,
    OwnPart,
    fresh_salt,
    write_document,
)
from nodes.joint.provider import ACTIVE
from nodes.joint.task import WORKER, Task
from nodes.outbox import write_receipt
from nodes.party.link import PartyLink, end_party
from nodes.party.process import STALE, Ended, PartyProcess, Told, start_party

log = logging.getLogger(__name__)

MAX_IDLE_ATTEMPTS: Final = 5
"""Attempts in a row that may end without a new checkpoint."""
_BETWEEN_S: Final = 1.0


@dataclass
class Partner:
    """A provider of the job, and where the conversation with it stands."""

    member: str
    place: int
    terms: ExchangeTerms
    session: Session
    link: PartyLink[Said]
    permitted: Flags | None = None
    uses: list[SubjectUse] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    part: str = ""
    batch_root: str = ""
    """Over the enterprises of the model, once both have it on record."""

    @property
    def party(self) -> str:
        """What its party is called in the protocols."""
        return f"p{self.place}"

    @property
    def done(self) -> bool:
        """Whether it has left the exchange: nothing is asked of it any more."""
        return bool(self.batch_root)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What came of a job."""

    model: ModelRecord
    result: ActiveResult
    rows: BankRows
    partners: tuple[Partner, ...]
    attempts: int


class JobRun:
    """Runs a job whose exchanges are open. `folder`: the node's own, for what is under way."""

    def __init__(
        self,
        context: ExchangeContext,
        job_id: str,
        job: JobFile,
        base: Path,
        folder: Path,
        tell: Callable[[str, int, int], None],
    ) -> None:
        self._context, self._job_id, self._job, self._base, self._folder = context, job_id, job, base, folder
        self._tell = tell
        self._process: PartyProcess | None = None

    # -- agreeing

    async def agree(self, rows: BankRows, partner: Partner) -> None:
        """Propose, and take what the provider decided. Raises NodeError, PeerRestarted."""
        count = len(rows.order)
        await partner.link.say(self._proposal(partner, count))
        await partner.link.say_rows(await asyncio.to_thread(rows.tokens, partner.member, partner.terms.exchange_id))
        said = await partner.link.hear()
        while isinstance(said, Broken | PartMade):  # of the attempt before
            if isinstance(said, Broken) and not said.again:
                raise _AttemptBroken(said.code, f"{partner.member} reports {said.code}", again=False)
            said = await partner.link.hear()
        if not isinstance(said, Cohort):
            raise _out_of_turn(said)
        bitmap = -(-count // 8)
        data = await partner.link.hear_rows(bitmap + SALT_BYTES * said.permitted)
        flags = np.unpackbits(np.frombuffer(data[:bitmap], np.uint8), bitorder="little")[:count].astype(np.bool_)
        uses = await asyncio.to_thread(rows.uses, partner.member, flags, data[bitmap:])
        commitment = await asyncio.to_thread(commitment_of, uses)
        if commitment.root != said.batch_root:
            raise ExchangeFailed(f"{partner.member} recorded other enterprises than take part; the job was stopped.")
        partner.permitted, partner.uses, partner.refused = flags, uses, said.refused
        await self._record(partner, 0, commitment, "")

    def _proposal(self, partner: Partner, count: int) -> Proposal:
        return Proposal(
            job=self._job_id,
            name=self._job.name,
            algorithm=self._job.algorithm,
            settings=msgspec.to_builtins(self._job.settings()),
            items=tuple(each.columns() for each in self._job.providers[partner.place - 1].items),
            rows=count,
            training=training_rows(self._job, count),
            parties=1 + len(self._job.providers),
            selection=self._job.selection,
        )

    async def _record(self, partner: Partner, number: int, commitment: BatchCommitment, digest: str) -> None:
        """Write the receipt of this side, once."""
        context = self._context
        receipt = batch_receipt(
            partner.terms.request,
            side="requester",
            receipt_id=context.new_id(),
            node_id=context.settings.node_id,
            time_ms=context.clock(),
            record_count=commitment.size,
            commitment=commitment,
            decision="permit",
            request_no=number,
            digest=digest,
        )
        key = f"joint/{partner.terms.exchange_id}/{number}"

        def keep(connection: sqlite3.Connection) -> None:
            known = connection.execute("SELECT 1 FROM joint_receipts WHERE place = ?", (key,)).fetchone()
            if known is None:
                connection.execute(
                    "INSERT INTO joint_receipts (place, receipt_id) VALUES (?, ?)", (key, receipt.receipt_id)
                )
                write_receipt(connection, receipt)

        await context.store.write(keep)
        context.outbox.wake()

    # -- training

    async def train(self, rows: BankRows, partners: tuple[Partner, ...]) -> Made:
        """Attempts until there is a model. Raises NodeError with why there is none."""
        made = await asyncio.to_thread(self._stored_made)
        idle = 0
        first = self._context.clock() // 1000
        for attempt in itertools.count(first):
            before = self._checkpoint_mark()
            try:
                for partner in partners:
                    if partner.permitted is None:
                        self._tell("cohort", 0, len(rows.order))
                        await self.agree(rows, partner)
                if made is None:
                    made = await self._attempt(attempt, rows, partners)
                return await self._record_all(made, 1 + attempt - first, rows, partners)
            except (PeerRestarted, _AttemptBroken) as broken:
                idle = 0 if self._checkpoint_mark() != before else idle + 1
                if idle >= MAX_IDLE_ATTEMPTS or (isinstance(broken, _AttemptBroken) and not broken.again):
                    raise _ending(broken) from broken
                log.warning("attempt_broken", extra={"job": self._job_id, "detail": str(broken)})
                for partner in (each for each in partners if not each.done):
                    partner.permitted = None  # agreed again: a node that restarted has forgotten
                self._tell("resumed", 0, 0)
                await asyncio.sleep(_BETWEEN_S * (1 << idle))
            finally:
                await self._end_process(partners)
        raise AssertionError

    def _checkpoint_mark(self) -> float:
        path = self._folder / "checkpoint.json"
        return path.stat().st_mtime if path.exists() else 0.0

    async def _attempt(self, attempt: int, rows: BankRows, partners: tuple[Partner, ...]) -> _Made:
        await self._start(attempt, rows, partners)
        process = self._process
        if process is None:
            raise AssertionError
        for partner in partners:
            partner.part = ""
        hearings = {asyncio.ensure_future(partner.link.hear()): partner for partner in partners}
        ended: Ended | None = None
        try:
            while ended is None or not all(partner.part for partner in partners):
                waiting: set[asyncio.Future[Said] | asyncio.Task[Ended]] = {*hearings}
                if ended is None:
                    waiting.add(process.ended)
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if ended is None and process.ended in done:
                    ended = process.ended.result()
                    if ended.failed:
                        await self._tell_broken(attempt, ended, partners)
                        raise _AttemptBroken(ended.failed, ended.message, again=ended.again)
                for future in [each for each in hearings if each in done]:
                    partner = hearings.pop(future)
                    self._heard(attempt, partner, future.result())
                    hearings[asyncio.ensure_future(partner.link.hear())] = partner
        finally:
            for future in hearings:
                future.cancel()
            await asyncio.gather(*hearings, return_exceptions=True)
        return await asyncio.to_thread(self._made, rows, partners)

    def _heard(self, attempt: int, partner: Partner, said: Said) -> None:
        if isinstance(said, PartMade) and said.attempt == attempt:
            partner.part = said.commitment
        elif isinstance(said, Broken) and said.attempt == attempt:
            raise _AttemptBroken(said.code, f"{partner.member} reports {said.code}", again=said.again)
        elif not isinstance(said, Broken | PartMade):
            raise _out_of_turn(said)

    async def _start(self, attempt: int, rows: BankRows, partners: tuple[Partner, ...]) -> None:
        folder, count = self._folder, len(rows.order)
        let_in = np.array([partner.permitted for partner in partners])
        wanted = len(partners) if self._job.cohort.rows == "all" else 1
        usable: Flags = np.asarray(let_in.sum(axis=0) >= wanted)
        source = own_path(self._job, self._base)
        await asyncio.to_thread(write_bank_table, folder / "table.arrow", source, self._job.own, rows.order, usable)
        plans = {partner.party: plan_of(self._proposal(partner, count)) for partner in partners}
        own = msgspec.structs.replace(plans[partners[0].party], columns=rules_of(self._job.own.features))

        def task(peers: Mapping[str, int], control: int) -> Task:
            return Task(
                party=ACTIVE,
                active=ACTIVE,
                table=str(folder / "table.arrow"),
                checkpoint=str(folder / "checkpoint.json"),
                result=str(folder / "result.json"),
                peers=dict(peers),
                control=control,
                plans=plans,
                own=own,
                label=LABEL,
                validation=self._job.split.validation,
                executor=self._context.settings.joint_executor,
            )

        async def withdrawn(_question: str) -> list[int]:
            return await left_rows(self._context, self._job, rows)

        self._process = await start_party(
            WORKER,
            task,
            tuple(partner.party for partner in partners),
            progress=self._progress,
            answers=withdrawn,
        )
        for partner in partners:
            await partner.link.say(Begin(attempt=attempt, place=partner.place, others=self._others(partner, partners)))
            await partner.link.join(attempt, {0: self._process.sockets[partner.party]})

    def _others(self, partner: Partner, partners: tuple[Partner, ...]) -> dict[int, str]:
        """The nodes of the providers that this one talks to."""
        if not passives_talk(self._job.algorithm, self._job.selection, len(partners)):
            return {}
        return {each.place: each.terms.provider_node for each in partners if each is not partner}

    def _progress(self, told: Told) -> None:
        self._tell(told.phase, told.done, told.total)

    async def _tell_broken(self, attempt: int, ended: Ended, partners: tuple[Partner, ...]) -> None:
        for partner in partners:
            await partner.link.say(Broken(attempt=attempt, code=ended.failed, message="", again=ended.again))

    async def _end_process(self, partners: tuple[Partner, ...]) -> None:
        process, self._process = self._process, None
        if process is not None:
            await end_party(process, *(partner.link for partner in partners))

    # -- the end

    def _stored_made(self) -> _Made | None:
        path = self._folder / "made.json"
        return msgspec.json.decode(path.read_bytes(), type=_Made) if path.exists() else None

    def _made(self, rows: BankRows, partners: tuple[Partner, ...]) -> _Made:
        """What the model is: on disk before anybody is told, so that it is never made twice."""
        result = msgspec.json.decode((self._folder / "result.json").read_bytes(), type=ActiveResult)
        own = OwnPart(
            job=self._job_id,
            name=self._job.name,
            algorithm=self._job.algorithm,
            party=self._context.settings.member_id,
            salt=fresh_salt(),
            part=msgspec.json.encode(result.part),
        )
        model = ModelRecord(
            job=self._job_id,
            name=self._job.name,
            algorithm=self._job.algorithm,
            parties=(self._context.settings.member_id, *(partner.member for partner in partners)),
            commitments=(own.commitment, *(partner.part for partner in partners)),
            subjects=len(rows.order) - len(result.withdrawn),
            withdrawn=len(result.withdrawn),
            made_ms=self._context.clock(),
        )
        made = _Made(own=own, model=model, result=result)
        write_document(self._folder / "made.json", made)
        return made

    async def _record_all(self, made: _Made, attempts: int, rows: BankRows, partners: tuple[Partner, ...]) -> Made:
        for partner in (each for each in partners if not each.done):
            partner.batch_root = await self._record_model(partner, made.result, made.model.commitment)
        model = msgspec.structs.replace(made.model, batch_roots=tuple(partner.batch_root for partner in partners))
        kept = self._context.settings.home / "models" / self._job_id
        write_document(kept / PART_FILE, made.own)
        write_document(kept / MODEL_FILE, model)
        return Made(model=model, result=made.result, rows=rows, partners=partners, attempts=attempts)

    async def _record_model(self, partner: Partner, result: ActiveResult, commitment: str) -> str:
        """Tell the provider, and record; the root over the enterprises that stayed."""
        if partner.permitted is None:
            raise AssertionError
        uses = await asyncio.to_thread(stayed, partner.uses, partner.permitted, result.withdrawn)
        batch = await asyncio.to_thread(commitment_of, uses)
        await partner.link.say(
            ModelMade(commitment=commitment, withdrawn=tuple(result.withdrawn), batch_root=batch.root)
        )
        said = await partner.link.hear()
        if not isinstance(said, Done):
            raise _out_of_turn(said)
        await self._record(partner, 1, batch, commitment)
        return batch.root


class _Made(msgspec.Struct, frozen=True, kw_only=True):
    """A model that was made, and perhaps not yet told to every provider."""

    own: OwnPart
    model: ModelRecord
    result: ActiveResult


class _AttemptBroken(Exception):
    """An attempt is over. `again`: the next may go better."""

    def __init__(self, code: str, message: str, *, again: bool) -> None:
        super().__init__(message)
        self.code = code
        self.again = again


def _ending(broken: Exception) -> ExchangeFailed:
    code = broken.code if isinstance(broken, _AttemptBroken) else "PEER_FAILED"
    told = f"The training ended: {broken}"
    if code == STALE:
        return ExchangeFailed(told, code="USE_REFUSED", reason=STALE)
    return ExchangeFailed(told, code="PEER_FAILED" if code == "PARTY_LOST" else code)


def _out_of_turn(said: object) -> ExchangeFailed:
    return ExchangeFailed(f"The provider said {type(said).__name__} where something else was due.")
