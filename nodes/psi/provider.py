"""Taking part in another member's comparison.

In this order, and what fails first is the answer:
1. A rule of node.toml names the member, the product and what may be learned; without one nothing is compared (PSI_NOT_PERMITTED,
   recorded as a refusal).
2. In one transaction: the rule's count for today is not spent (PSI_LIMIT_REACHED), the run is kept and receipt 0 is written.
3. The party's process compares the subjects of the item, as it is loaded now, with the other side's list. Below the rule's minimum both
   stop, and neither user learns anything.
4. Where both learn which are common: receipt 1 over them is written, and only then does the process tell the other side.
A node that was restarted goes on with none: the other side begins a new one, which counts again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from modeling.errors import CohortTooSmall, ModelingError
from nodes.errors import ExchangeFailed, NodeError
from nodes.exchanges.session import PeerRestarted, Session
from nodes.exchanges.terms import ExchangeTerms
from nodes.outbox import write_receipt
from nodes.party.link import PartyLink, end_party
from nodes.party.process import PartyProcess, start_party
from nodes.psi.codes import CodeFile, Codes, write_codes
from nodes.psi.folders import forget, part_folder
from nodes.psi.messages import (
    ACTIVE,
    SALT_BYTES,
    Agreed,
    Begin,
    Broken,
    Done,
    Proposal,
    Said,
    Settled,
    decode,
    ended_by,
    out_of_turn,
    party_at,
)
from nodes.psi.outcome import write_common
from nodes.psi.record import common_of, receipt
from nodes.psi.store import PsiStore, begin_part
from nodes.psi.task import WORKER, Result, Task, common_file, order_file
from nodes.settings import PsiRule
from nodes.store import Store

log = logging.getLogger(__name__)

_ATTEMPT = 1


class Subjects(Protocol):
    """The node's own data, as far as a comparison needs it."""

    def codes(self, item_id: str) -> Codes:
        """The codes of all subjects of an item. Raises NodeError if the node has no such item."""
        ...


@dataclass(frozen=True, kw_only=True)
class PsiNode:
    """The node, as far as its part in comparisons needs it."""

    home: Path
    store: Store
    subjects: Subjects
    rules: tuple[PsiRule, ...]
    node_id: str
    executor: str
    clock: Callable[[], int]
    new_id: Callable[[], str]
    written: Callable[[], None]


@dataclass
class _Running:
    """A comparison under way in this node."""

    terms: ExchangeTerms
    link: PartyLink[Said]
    rule: PsiRule
    folder: Path
    rows: bool
    codes: Codes
    process: PartyProcess | None = None


class PsiProvider:
    """Serves comparisons."""

    def __init__(self, node: PsiNode) -> None:
        self._node = node
        self._kept = PsiStore(node.store)

    async def serve(self, session: Session, terms: ExchangeTerms) -> int:
        """Take part; how many are common. Raises what ended the exchange."""
        link = PartyLink(session, decode)
        reading = asyncio.get_running_loop().create_task(link.run())
        try:
            return await self._take_part(link, terms)
        except PeerRestarted as error:
            await self._fail(terms, "PEER_FAILED")
            raise ExchangeFailed("The other node was restarted; begin a new comparison.", code="PEER_FAILED") from error
        except ModelingError as error:
            await self._fail(terms, error.code)
            raise ExchangeFailed(str(error), code=error.code) from error
        except BaseException as error:
            await self._fail(terms, getattr(error, "code", "PEER_FAILED"))
            raise
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _fail(self, terms: ExchangeTerms, code: str) -> None:
        await self._kept.end_part(terms.exchange_id, self._node.clock(), failure=code)

    async def _take_part(self, link: PartyLink[Said], terms: ExchangeTerms) -> int:
        proposal = await link.hear()
        if not isinstance(proposal, Proposal):
            raise out_of_turn(proposal)
        asked = terms.request
        rule = await self._permitted(terms)
        codes = await asyncio.to_thread(self._node.subjects.codes, asked.items[0].item_id)
        if len(codes) < rule.minimum:
            raise CohortTooSmall(f"fewer than {rule.minimum} enterprises are in {asked.items[0].item_id}")
        await self._begin(terms, proposal, rule)
        folder = part_folder(self._node.home, asked.exchange_id)
        running = _Running(terms, link, rule, folder, asked.mode == "psi_rows", codes)
        await link.say(Agreed(minimum=rule.minimum, legal_basis=rule.legal_basis))
        begin = await link.hear()
        if not isinstance(begin, Begin):
            raise out_of_turn(begin)
        if begin.minimum < rule.minimum:
            raise ExchangeFailed(f"The other node would go below {rule.minimum}.", code="PROTOCOL_VIOLATION")
        try:
            return await self._compare(running, proposal, begin.minimum)
        finally:
            try:
                await _end_process(running)
            finally:
                await asyncio.to_thread(forget, folder)

    async def _permitted(self, terms: ExchangeTerms) -> PsiRule:
        """Rule 1. A refusal is recorded."""
        asked = terms.request
        kind = asked.mode.removeprefix("psi_")
        found = [
            rule
            for rule in self._node.rules
            if (rule.member, rule.product, rule.mode) == (asked.requester, asked.product_id, kind)
        ]
        if len(asked.items) == 1 and found:
            return found[0]
        await self._record_refusal(terms, "PSI_NOT_PERMITTED")
        raise NodeError(
            f"{asked.provider} has no rule that lets {asked.requester} compare one item of {asked.product_id} by {kind}.",
            code="PSI_NOT_PERMITTED",
        )

    async def _begin(self, terms: ExchangeTerms, proposal: Proposal, rule: PsiRule) -> None:
        """Rule 2."""
        node, asked, now_ms = self._node, terms.request, self._node.clock()
        first = receipt(
            asked,
            side="provider",
            receipt_id=node.new_id(),
            node_id=node.node_id,
            time_ms=now_ms,
            legal_basis=rule.legal_basis,
        )

        def commit(connection: sqlite3.Connection) -> None:
            begin_part(connection, asked, proposal.run, rule, first.receipt_id, now_ms)
            write_receipt(connection, first)

        try:
            await node.store.write(commit)
        except NodeError as error:
            if error.code == "PSI_LIMIT_REACHED":
                await self._record_refusal(terms, error.code)
            raise
        node.written()

    async def _record_refusal(self, terms: ExchangeTerms, code: str) -> None:
        node = self._node
        refusal = receipt(
            terms.request,
            side="provider",
            receipt_id=node.new_id(),
            node_id=node.node_id,
            time_ms=node.clock(),
            legal_basis=None,
            decision=code,
        )
        await node.store.write(lambda connection: write_receipt(connection, refusal))
        node.written()

    # -- comparing

    async def _compare(self, running: _Running, proposal: Proposal, minimum: int) -> int:
        folder, codes = running.folder, running.folder / "own.codes"
        await asyncio.to_thread(write_codes, codes, running.codes)

        def task(peers: Mapping[str, int], control: int) -> Task:
            return Task(
                party=party_at(proposal.place),
                active=ACTIVE,
                result=str(folder / "result.json"),
                peers=dict(peers),
                control=control,
                executor=self._node.executor,
                run=proposal.run,
                codes=str(codes),
                folder=str(folder),
                rows=running.rows,
                minimum=minimum,
                keep=proposal.keep,
            )

        async def settled(_question: str) -> Sequence[int]:
            await self._settle(running)
            return ()

        process = await start_party(WORKER, task, (ACTIVE,), progress=lambda _: None, answers=settled)
        running.process = process
        await running.link.join(_ATTEMPT, {0: process.sockets[ACTIVE]})
        hearing = asyncio.ensure_future(running.link.hear())
        try:
            await self._until_ended(running.link, process, hearing)
            size = msgspec.json.decode((folder / "result.json").read_bytes(), type=Result).size
            if running.rows:
                await asyncio.to_thread(_keep_common, folder)
            await running.link.drain()
            await self._kept.end_part(running.terms.exchange_id, self._node.clock(), size=size)
            await running.link.say(Done())
            said = await hearing
            if not isinstance(said, Done):
                raise ended_by(said)
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
        return size

    async def _until_ended(self, link: PartyLink[Said], process: PartyProcess, hearing: asyncio.Future[Said]) -> None:
        """Until the process has done its part. Raises what ended it, or what the other node says where that is not its own failure."""
        waiting: set[asyncio.Future[Any]] = {hearing, process.ended}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not process.ended.done():
            raise ended_by(hearing.result())
        how = await asyncio.shield(process.ended)
        if how.failed:
            log.warning("party_ended", extra={"code": how.failed, "detail": how.message})
            # The sentence may be about this node's list: only the code leaves, and before the process says that it breaks off.
            broken = Broken(code="PEER_FAILED" if how.failed == "PARTY_LOST" else how.failed)
            await link.say(broken)
            raise ended_by(broken)

    async def _settle(self, running: _Running) -> None:
        """Rule 4: on record, then told to the other agent, whose record names the same."""
        node, now_ms = self._node, self._node.clock()
        codes = CodeFile(common_file(running.folder, ACTIVE))
        salts = secrets.token_bytes(SALT_BYTES * len(codes))
        common = await asyncio.to_thread(common_of, codes, salts)
        second = receipt(
            running.terms.request,
            side="provider",
            receipt_id=node.new_id(),
            node_id=node.node_id,
            time_ms=now_ms,
            legal_basis=running.rule.legal_basis,
            common=common.commitment,
        )
        await node.store.write(lambda connection: write_receipt(connection, second, common.uses))
        node.written()
        await running.link.say(Settled(size=common.commitment.size, batch_root=common.commitment.root))
        await running.link.say_rows(salts)


async def _end_process(running: _Running) -> None:
    process, running.process = running.process, None
    if process is not None:
        await end_party(process, running.link)


def _keep_common(folder: Path) -> None:
    order = CodeFile(order_file(folder))
    write_common(folder, order.all(), {})
