"""One comparison that this node asked for, with one provider or several, from their agreement to the outcome."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from consent.usage import BatchCommitment
from nodes.errors import ExchangeFailed, NodeError
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.session import PeerRestarted, Session
from nodes.exchanges.terms import ExchangeTerms
from nodes.outbox import write_receipt
from nodes.party.link import PartyLink, end_party
from nodes.party.process import Ended, PartyProcess, Told, start_party
from nodes.psi.codes import CodeFile, Codes, write_codes
from nodes.psi.messages import (
    ACTIVE,
    SALT_BYTES,
    Agreed,
    Begin,
    Broken,
    Done,
    Keep,
    Proposal,
    Said,
    Settled,
    ended_by,
    party_at,
)
from nodes.psi.outcome import Compared, Outcome, write_common, write_outcome
from nodes.psi.record import common_of, receipt
from nodes.psi.store import Target
from nodes.psi.task import WORKER, Result, Task, common_file, order_file

_ATTEMPT = 1


@dataclass
class Partner:
    """A provider of the comparison, and where the conversation with it stands."""

    target: Target
    place: int
    terms: ExchangeTerms
    session: Session
    link: PartyLink[Said]
    agreed: Agreed | None = None
    settled: Settled | None = None
    salts: bytes = b""

    @property
    def party(self) -> str:
        """What its party is called in the protocols."""
        return party_at(self.place)

    @property
    def legal_basis(self) -> str:
        """In the provider's words."""
        return self.agreed.legal_basis if self.agreed is not None else ""


class PsiRun:
    """Runs a comparison whose exchanges are open. `folder`: the node's own, for what is under way."""

    def __init__(
        self,
        context: ExchangeContext,
        run_id: str,
        codes: Codes,
        *,
        rows: bool,
        keep: Keep,
        minimum: int,
        folder: Path,
        tell: Callable[[str, int, int], None],
    ) -> None:
        self._context, self._run_id, self._codes = context, run_id, codes
        self._rows, self._keep, self._minimum, self._folder, self._tell = rows, keep, minimum, folder, tell

    async def compare(self, partners: Sequence[Partner], directory: Path | None) -> Outcome:
        """Agree with every provider, compare, record, write the files. Raises NodeError."""
        try:
            for partner in partners:
                await self._agree(partner, len(partners))
            minimum = max(self._minimum, *(each.agreed.minimum for each in partners if each.agreed is not None))
            size = await self._compute(partners, minimum)
            held = await asyncio.to_thread(self._held, partners)
            for partner in partners:
                if self._rows:
                    await self._record_common(partner, held[partner.target.provider])
                await partner.link.say(Done())
        except PeerRestarted as error:
            raise ExchangeFailed(
                "A provider's node was restarted; begin the comparison anew.", code="PEER_FAILED"
            ) from error
        outcome = Outcome(
            run_id=self._run_id,
            mode="rows" if self._rows else "size",
            keep=self._keep,
            own=len(self._codes),
            size=size,
            minimum=minimum,
            providers=tuple(
                Compared(
                    member=each.target.provider,
                    product_id=each.target.product_id,
                    item_id=each.target.item_id,
                    exchange_id=each.terms.exchange_id,
                    legal_basis=each.legal_basis,
                    common=len(held[each.target.provider]) if self._rows else size,
                )
                for each in partners
            ),
            directory=str(directory or ""),
        )
        if directory is not None:
            await asyncio.to_thread(self._write, directory, outcome, held)
        return outcome

    async def _agree(self, partner: Partner, providers: int) -> None:
        self._tell("agree", partner.place, providers)
        await partner.link.say(Proposal(run=self._run_id, place=partner.place, keep=self._keep))
        said = await partner.link.hear()
        if not isinstance(said, Agreed):
            raise ended_by(said)
        partner.agreed = said
        await self._record(partner, None)

    async def _compute(self, partners: Sequence[Partner], minimum: int) -> int:
        process = await self._start(partners, minimum)
        hearing = [asyncio.ensure_future(self._listen(each)) for each in partners]
        pending: set[asyncio.Task[Any]] = {process.ended, *hearing}
        try:
            for partner in partners:
                await partner.link.say(Begin(minimum=minimum))
                await partner.link.join(_ATTEMPT, {0: process.sockets[partner.party]})
            while process.ended in pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for each in done - {process.ended}:
                    each.result()
            how = process.ended.result()
            if how.failed:
                await self._tell_broken(partners, how)
                raise ExchangeFailed(how.message, code=_code_of(how))
            await asyncio.gather(*hearing)
            return msgspec.json.decode((self._folder / "result.json").read_bytes(), type=Result).size
        finally:
            for each in hearing:
                each.cancel()
            await end_party(process, *(partner.link for partner in partners))
            await asyncio.gather(*hearing, return_exceptions=True)

    async def _tell_broken(self, partners: Sequence[Partner], how: Ended) -> None:
        for partner in partners:
            await partner.link.drain()
            await partner.link.say(Broken(code=_code_of(how)))

    async def _start(self, partners: Sequence[Partner], minimum: int) -> PartyProcess:
        folder = self._folder
        await asyncio.to_thread(write_codes, folder / "own.codes", self._codes)

        def task(peers: Mapping[str, int], control: int) -> Task:
            return Task(
                party=ACTIVE,
                active=ACTIVE,
                result=str(folder / "result.json"),
                peers=dict(peers),
                control=control,
                executor=self._context.settings.joint_executor,
                run=self._run_id,
                codes=str(folder / "own.codes"),
                folder=str(folder),
                rows=self._rows,
                minimum=minimum,
                keep=self._keep,
            )

        async def nothing(question: str) -> Sequence[int]:
            raise NodeError(f"a comparison's own process asks nothing, and it asked {question}", code="INTERNAL")

        def progress(told: Told) -> None:
            self._tell(told.phase, told.done, told.total)

        return await start_party(
            WORKER, task, tuple(each.party for each in partners), progress=progress, answers=nothing
        )

    async def _listen(self, partner: Partner) -> None:
        """The provider says which are common before its process lets this one know; at last that it has its result."""
        said = await partner.link.hear()
        if self._rows:
            if not isinstance(said, Settled):
                raise ended_by(said)
            partner.salts = await partner.link.hear_rows(SALT_BYTES * said.size)
            partner.settled = said
            said = await partner.link.hear()
        if not isinstance(said, Done):
            raise ended_by(said)

    # -- the record

    def _held(self, partners: Sequence[Partner]) -> dict[str, Codes]:
        """What is common with each provider, in the order that both know."""
        if not self._rows:
            return {}
        return {each.target.provider: CodeFile(common_file(self._folder, each.party)).all() for each in partners}

    async def _record_common(self, partner: Partner, codes: Codes) -> None:
        """The same subjects as the provider recorded. Raises ExchangeFailed if they are others."""
        if partner.settled is None:
            raise AssertionError
        if len(partner.salts) == SALT_BYTES * len(codes):
            salts = partner.salts
            common = await asyncio.to_thread(lambda: common_of(codes.astype(str).tolist(), salts))
            if common.commitment.root == partner.settled.batch_root:
                await self._record(partner, common.commitment)
                return
        raise ExchangeFailed(
            f"{partner.target.provider} recorded other enterprises than are common; the comparison was not used.",
            code="PROTOCOL_VIOLATION",
        )

    async def _record(self, partner: Partner, common: BatchCommitment | None) -> None:
        context = self._context
        made = receipt(
            partner.terms.request,
            side="requester",
            receipt_id=context.new_id(),
            node_id=context.settings.node_id,
            time_ms=context.clock(),
            legal_basis=partner.legal_basis,
            common=common,
        )

        def keep(connection: sqlite3.Connection) -> None:
            write_receipt(connection, made)

        await context.store.write(keep)
        context.outbox.wake()

    def _write(self, directory: Path, outcome: Outcome, held: Mapping[str, Codes]) -> None:
        if self._rows:
            write_common(directory, CodeFile(order_file(self._folder)).all(), held)
        write_outcome(directory, outcome)


def _code_of(how: Ended) -> str:
    return "PEER_FAILED" if how.failed == "PARTY_LOST" else how.failed
