"""Interface query (接口查询): one subject at a time over an open exchange, in milliseconds.

| step | requester's node                                   | provider's node                                                        |
|------|----------------------------------------------------|------------------------------------------------------------------------|
| 1    | sends request number, request key, subject, items  |                                                                        |
| 2    |                                                    | decides, spends a use and writes its receipt, all in one transaction   |
| 3    |                                                    | looks once more for a revocation, then sends the records or the reason |
| 4    | checks the answer, writes its receipt, hands it on |                                                                        |

Many queries are under way at once; the answers find their questions by number. A question that was under way when the other node
restarted is asked again under its request key, and its use is not counted twice. A refusal is an answer too and has a receipt.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from consent.decision import ItemUse
from consent.usage import Receipt
from nodes.errors import ExchangeFailed, NodeError, UseRefused
from nodes.exchanges.frames import FrameType, QueryRefusal, QueryReply, QueryRequest, decode, encode
from nodes.exchanges.session import PeerRestarted, Session
from nodes.exchanges.terms import ExchangeTerms
from nodes.outbox import write_receipt
from nodes.policy import Answer, PolicyEnforcementPoint
from nodes.store import Store
from trust.suite import sm3

log = logging.getLogger(__name__)

MAX_CONCURRENT = 256
"""Queries that a provider works on at once in one exchange; more wait in the channel."""


@dataclass(frozen=True, kw_only=True)
class QueryResult:
    """What a query brought. `records` is JSON: {item id: [record, …]}."""

    records: bytes
    record_count: int
    consent_ids: tuple[str, ...]
    delete_by_ms: int
    remaining_uses: int | None
    receipt_id: str


@dataclass
class _Pending:
    request: QueryRequest
    future: asyncio.Future[QueryReply | QueryRefusal]
    sent: bool = field(default=False)


class QueryClient:
    """The requester's end of an open exchange for queries. `run` must be running."""

    def __init__(
        self,
        session: Session,
        terms: ExchangeTerms,
        *,
        store: Store,
        node_id: str,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        written: Callable[[], None],
    ) -> None:
        self._session = session
        self._terms = terms
        self._store = store
        self._node_id = node_id
        self._clock = clock
        self._new_id = new_id
        self._written = written
        self._numbers = itertools.count(1)
        self._pending: dict[int, _Pending] = {}
        self.answered = 0
        self.failure: Exception | None = None

    async def query(
        self, uscc: str, items: tuple[ItemUse, ...], *, request_key: str, deadline_s: float = 30.0
    ) -> QueryResult:
        """Ask for one subject. Raises UseRefused with the reason, or what ended the exchange."""
        if self.failure is not None:
            raise self.failure
        request = QueryRequest(request_no=next(self._numbers), request_key=request_key, uscc=uscc, items=items)
        pending = _Pending(request, asyncio.get_running_loop().create_future())
        self._pending[request.request_no] = pending
        try:
            async with asyncio.timeout(deadline_s):
                with suppress(PeerRestarted):  # `run` asks again
                    await self._session.send(FrameType.QUERY_REQUEST, encode(request))
                answer = await pending.future
        except TimeoutError as error:
            raise ExchangeFailed(
                f"The provider did not answer within {deadline_s:.0f} s. Repeat with the same request key: it counts once.",
                code="PEER_OFFLINE",
            ) from error
        finally:
            self._pending.pop(request.request_no, None)
        return await self._keep(request, answer)

    async def run(self) -> None:
        """Match answers to questions until the exchange ends; then every open question fails with what ended it."""
        try:
            while True:
                try:
                    frame_type, payload = await self._session.receive()
                except PeerRestarted:
                    for pending in list(self._pending.values()):
                        await self._session.send(FrameType.QUERY_REQUEST, encode(pending.request))
                    continue
                self._match(frame_type, payload)
        except Exception as error:
            self.failure = error
            for pending in self._pending.values():
                if not pending.future.done():
                    pending.future.set_exception(error)
            if not isinstance(error, NodeError):
                raise

    def _match(self, frame_type: int, payload: bytes) -> None:
        answer: QueryReply | QueryRefusal
        if frame_type == FrameType.QUERY_REPLY:
            answer = decode(payload, QueryReply)
        elif frame_type == FrameType.QUERY_REFUSAL:
            answer = decode(payload, QueryRefusal)
        else:
            raise ExchangeFailed(f"The provider sent a frame of type {frame_type} in a query exchange; it was ended.")
        pending = self._pending.get(answer.request_no)
        if pending is not None and not pending.future.done():
            pending.future.set_result(answer)

    async def _keep(self, request: QueryRequest, answer: QueryReply | QueryRefusal) -> QueryResult:
        """Write this side's receipt before the data is handed on: nothing is used without a record."""
        receipt = self._receipt(request, answer)

        await self._store.write(lambda connection: write_receipt(connection, receipt))
        self._written()
        self.answered += 1
        if isinstance(answer, QueryRefusal):
            raise UseRefused(answer.detail, reason=answer.reason)
        return QueryResult(
            records=bytes(answer.records),
            record_count=answer.record_count,
            consent_ids=answer.consent_ids,
            delete_by_ms=answer.delete_by_ms,
            remaining_uses=answer.remaining_uses,
            receipt_id=receipt.receipt_id,
        )

    def _receipt(self, request: QueryRequest, answer: QueryReply | QueryRefusal) -> Receipt:
        asked = self._terms.request
        reply = answer if isinstance(answer, QueryReply) else None
        return Receipt(
            receipt_id=self._new_id(),
            side="requester",
            exchange_id=asked.exchange_id,
            request_no=request.request_no,
            user=asked.user,
            institution=asked.requester,
            node_id=self._node_id,
            time_ms=self._clock(),
            reason=asked.reason,
            items=tuple(item.item_id for item in request.items),
            fields=fields_of(request.items),
            subject=request.uscc,
            purpose=asked.purpose,
            consent_id=reply.consent_ids[0] if reply is not None and reply.consent_ids else None,
            mode=asked.mode,
            record_count=reply.record_count if reply is not None else 0,
            digest=sm3(bytes(reply.records)).hex() if reply is not None else "",
            decision=answer.reason if isinstance(answer, QueryRefusal) else "permit",
            batch=None,
        )


def fields_of(items: tuple[ItemUse, ...]) -> tuple[str, ...]:
    """The fields of several items as a receipt names them: item.field."""
    return tuple(f"{item.item_id}.{name}" for item in items for name in item.fields)


async def serve_queries(session: Session, terms: ExchangeTerms, policy: PolicyEnforcementPoint) -> int:
    """The provider's end: answer until the exchange ends. Returns how many queries were answered.

    Raises what ended the exchange, SessionClosed when it ended in order.
    """
    answered = 0
    slots = asyncio.Semaphore(MAX_CONCURRENT)
    async with asyncio.TaskGroup() as tasks:

        async def answer(request: QueryRequest) -> None:
            try:
                result = await policy.answer_query(terms, request)
                with suppress(PeerRestarted):  # the requester asks again
                    await session.send(*_reply(request, result))
            finally:
                slots.release()

        while True:
            try:
                frame_type, payload = await session.receive()
            except PeerRestarted:
                continue
            except NodeError:
                return answered
            if frame_type != FrameType.QUERY_REQUEST:
                raise ExchangeFailed(
                    f"The requester sent a frame of type {frame_type} in a query exchange; it was ended."
                )
            request = decode(payload, QueryRequest)
            await slots.acquire()
            answered += 1
            tasks.create_task(answer(request))


def _reply(request: QueryRequest, answer: Answer) -> tuple[FrameType, bytes]:
    if answer.records is None:
        refusal = QueryRefusal(
            request_no=request.request_no, reason=answer.reason, detail=answer.detail, receipt_id=answer.receipt_id
        )
        return FrameType.QUERY_REFUSAL, encode(refusal)
    reply = QueryReply(
        request_no=request.request_no,
        records=msgspec.Raw(answer.records),
        record_count=answer.record_count,
        consent_ids=answer.consent_ids,
        delete_by_ms=answer.delete_by_ms,
        remaining_uses=answer.remaining_uses,
        receipt_id=answer.receipt_id,
    )
    return FrameType.QUERY_REPLY, encode(reply)
