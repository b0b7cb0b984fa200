"""The hub's Exchanges service as the exchange owners ask for it, and the tickets that the relay wants."""

from __future__ import annotations

import logging
from collections.abc import Callable

from xinqiao.v1 import node_pb2

from consent.usage import parse_ticket
from nodes.connection import CALL_TIMEOUT_S, HubConnection
from nodes.errors import NodeError
from nodes.hub_channel import rpc
from trust.document import SignedDocument

log = logging.getLogger(__name__)

_TICKET_RESERVE_MS = 5_000


class ExchangeCalls:
    """Opening, answering, ending; keeps the newest ticket of each exchange."""

    def __init__(self, connection: HubConnection, clock: Callable[[], int]) -> None:
        self._connection = connection
        self._clock = clock
        self._tickets: dict[str, bytes] = {}

    async def open(self, request: bytes) -> bytes:
        """Open an exchange; its ticket. Raises NodeError with the hub's code."""
        message = node_pb2.OpenExchangeRequest(request=request)
        reply = await rpc(self._connection.stubs.exchanges.OpenExchange(message, timeout=CALL_TIMEOUT_S))
        self._tickets[reply.exchange_id] = reply.ticket
        return reply.ticket

    async def resume(self, exchange_id: str) -> bytes:
        """A fresh ticket for an exchange that goes on. Raises NodeError, EXCHANGE_ENDED among them."""
        message = node_pb2.GetExchangeRequest(exchange_id=exchange_id)
        reply = await rpc(self._connection.stubs.exchanges.ResumeExchange(message, timeout=CALL_TIMEOUT_S))
        self._tickets[exchange_id] = reply.ticket
        return reply.ticket

    def keep_ticket(self, exchange_id: str, ticket: bytes) -> None:
        """A ticket that came with an invitation."""
        self._tickets[exchange_id] = ticket

    async def ticket(self, exchange_id: str) -> bytes:
        """A ticket that is still valid. Raises NodeError."""
        ticket = self._tickets.get(exchange_id)
        if ticket is not None:
            parsed = parse_ticket(SignedDocument.decode(ticket).payload)
            if parsed.expires_ms - _TICKET_RESERVE_MS > self._clock():
                return ticket
        return await self.resume(exchange_id)

    async def answer(self, exchange_id: str, answer: str, reason: str = "") -> None:
        """join, wait_approval or decline. Raises NodeError."""
        message = node_pb2.AnswerExchangeRequest(exchange_id=exchange_id, answer=answer, reason=reason)
        await rpc(self._connection.stubs.exchanges.AnswerExchange(message, timeout=CALL_TIMEOUT_S))

    async def end(self, exchange_id: str, state: str, reason: str = "") -> None:
        """finished, failed or cancelled. A hub that is away finds out by itself later; not an error here."""
        self._tickets.pop(exchange_id, None)
        message = node_pb2.EndExchangeRequest(exchange_id=exchange_id, state=state, reason=reason)
        try:
            await rpc(self._connection.stubs.exchanges.EndExchange(message, timeout=CALL_TIMEOUT_S))
        except NodeError as error:
            log.info("exchange_end_not_told", extra={"exchange": exchange_id, "code": error.code})
