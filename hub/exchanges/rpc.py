"""The Exchanges service of node.proto, and the job that ends abandoned exchanges."""

from __future__ import annotations

import logging
from collections.abc import Callable

from xinqiao.v1 import node_pb2, node_pb2_grpc

from hub.auth import caller
from hub.errors import HubError
from hub.exchanges import opening, service
from hub.interceptors import Context
from hub.state import Hub
from trust.document import SignedDocument

log = logging.getLogger(__name__)


class ExchangesServicer(node_pb2_grpc.ExchangesServicer):
    """Decode, call, encode. `is_connected` says whether a node has a push stream here."""

    def __init__(self, hub: Hub, is_connected: Callable[[str], bool]) -> None:
        """Serve this hub's exchanges."""
        self._hub = hub
        self._is_connected = is_connected

    async def OpenExchange(self, request: node_pb2.OpenExchangeRequest, context: Context) -> node_pb2.OpenExchangeReply:
        """Open an exchange for the calling node."""
        hub = self._hub
        document = SignedDocument.decode(request.request)
        asked = opening.verify_request(hub, caller(), document)
        opened = await hub.db.write(
            lambda connection: opening.open_exchange(hub, connection, asked, document, self._is_connected)
        )
        log.info("exchange opened", extra={"event": "exchange_opened", "exchange": opened.exchange_id})
        return node_pb2.OpenExchangeReply(exchange_id=opened.exchange_id, ticket=opened.ticket)

    async def AnswerExchange(self, request: node_pb2.AnswerExchangeRequest, context: Context) -> node_pb2.ExchangeReply:
        """The provider's answer."""
        hub, node_id = self._hub, caller().node_id
        found = await hub.db.write(
            lambda write: service.answer(hub, write, request.exchange_id, node_id, request.answer, request.reason)
        )
        return _encode_logged(found)

    async def ReportProgress(self, request: node_pb2.ReportProgressRequest, context: Context) -> node_pb2.ExchangeReply:
        """How far it is."""
        hub, node_id = self._hub, caller().node_id
        done, total = _counter(request.done), _counter(request.total)
        found = await hub.db.write(
            lambda write: service.progress(
                hub, write, request.exchange_id, node_id, done=done, total=total, unit=request.unit
            )
        )
        return _encode(found)

    async def EndExchange(self, request: node_pb2.EndExchangeRequest, context: Context) -> node_pb2.ExchangeReply:
        """It is over."""
        hub, node_id = self._hub, caller().node_id
        found = await hub.db.write(
            lambda write: service.end(hub, write, request.exchange_id, node_id, request.state, request.reason)
        )
        return _encode_logged(found)

    async def GetExchange(self, request: node_pb2.GetExchangeRequest, context: Context) -> node_pb2.ExchangeReply:
        """Where it stands."""
        node_id = caller().node_id
        return _encode(await self._hub.db.read(lambda read: service.get(read, request.exchange_id, node_id)))

    async def ResumeExchange(
        self, request: node_pb2.GetExchangeRequest, context: Context
    ) -> node_pb2.OpenExchangeReply:
        """A fresh ticket."""
        hub, node_id = self._hub, caller().node_id
        opened = await hub.db.write(lambda write: service.resume(hub, write, request.exchange_id, node_id))
        return node_pb2.OpenExchangeReply(exchange_id=opened.exchange_id, ticket=opened.ticket)

    async def ListExchanges(
        self, request: node_pb2.ListExchangesRequest, context: Context
    ) -> node_pb2.ListExchangesReply:
        """The caller's exchanges."""
        node_id = caller().node_id
        found = await self._hub.db.read(lambda read: service.listed(read, node_id))
        return node_pb2.ListExchangesReply(exchanges=[_encode(exchange) for exchange in found])


async def expire_abandoned(hub: Hub, attached: frozenset[str]) -> bool:
    """End abandoned exchanges; `attached` are those with an end on this relay. True if there may be more."""
    ended = await hub.db.write(lambda write: service.expire(hub, write, attached))
    for exchange_id in ended:
        log.info("exchange expired", extra={"event": "exchange_expired", "exchange": exchange_id})
    return len(ended) == service.EXPIRED_AT_ONCE


def _counter(value: int) -> int:
    if value >= 2**63:
        raise HubError("INVALID_ARGUMENT", "a counter is larger than 63 bits; correct it")
    return value


def _encode_logged(exchange: service.Exchange) -> node_pb2.ExchangeReply:
    log.info(
        "exchange %s", exchange.state, extra={"event": f"exchange_{exchange.state}", "exchange": exchange.exchange_id}
    )
    return _encode(exchange)


def _encode(exchange: service.Exchange) -> node_pb2.ExchangeReply:
    return node_pb2.ExchangeReply(
        exchange_id=exchange.exchange_id,
        state=exchange.state,
        reason=exchange.reason,
        mode=exchange.mode,
        requester=exchange.requester,
        provider=exchange.provider,
        product_id=exchange.product_id,
        done=exchange.done,
        total=exchange.total,
        unit=exchange.unit,
        opened_ms=exchange.opened_ms,
        ended_ms=exchange.ended_ms,
    )
