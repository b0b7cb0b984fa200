"""The Relay service of node.proto over raw bytes: messages are forwarded as they came, never parsed.

An attachment is admitted after these checks, in this order (TICKET_INVALID, NOT_FOUND or EXCHANGE_ENDED):
1. The ticket in the metadata `xinqiao-ticket-bin` is signed by this hub, is for this relay, and has not expired.
2. It names the calling node as one of its two.
3. The exchange exists, has these two nodes, and has not ended.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Final

import grpc
from grpc import aio

from hub.auth import caller, check_active
from hub.errors import HubError
from hub.exchanges import service, tickets
from hub.interceptors import Context
from hub.relay.pairing import Side
from hub.relay.switch import Switch
from hub.state import Hub

SERVICE: Final = "xinqiao.v1.Relay"
METHOD: Final = f"/{SERVICE}/Attach"
TICKET_KEY: Final = "xinqiao-ticket-bin"


class _ContextStream:
    """`switch.Stream` over a call with the reader and writer interface."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def read(self) -> bytes | None:
        message: Any = await self._context.read()
        return None if message is aio.EOF else message

    def write(self, frame: bytes) -> Coroutine[Any, Any, None]:
        return self._context.write(frame)


class RelayServicer:
    """Admit, then let the switch carry."""

    def __init__(self, hub: Hub, switch: Switch) -> None:
        """Serve this hub's relay."""
        self._hub = hub
        self._switch = switch

    async def Attach(self, _requests: object, context: Context) -> None:
        """One end of an exchange, until it or its partner leaves."""
        exchange_id, side = await self._admit(_ticket_of(context))
        # The node may have been cut off while we looked: from here to the switch nothing waits.
        who = check_active(self._hub, caller())
        await self._switch.serve(exchange_id, side, who.node_id, _ContextStream(context))

    async def _admit(self, encoded: bytes) -> tuple[str, Side]:
        hub, node_id = self._hub, caller().node_id
        ticket = tickets.open_ticket(
            encoded, hub.keys.public, relay_address=hub.settings.node_address, now_ms=hub.clock()
        )
        if node_id not in {ticket.requester_node, ticket.provider_node}:
            raise HubError("TICKET_INVALID", f"the ticket is not for node {node_id}; ask for one with ResumeExchange")
        found = await hub.db.read(lambda connection: service.get(connection, ticket.exchange_id, node_id))
        if (found.requester_node, found.provider_node) != (ticket.requester_node, ticket.provider_node):
            raise HubError("TICKET_INVALID")
        if found.state.final:
            raise service.ended_error(found)
        return ticket.exchange_id, Side.REQUESTER if node_id == ticket.requester_node else Side.PROVIDER


def add_to_server(servicer: RelayServicer, server: aio.Server) -> None:
    """Register without serialisers: frames stay the bytes that they are on the wire."""
    handler: Any = grpc.stream_stream_rpc_method_handler(servicer.Attach)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Attach": handler}),))


def _ticket_of(context: Context) -> bytes:
    for key, value in context.invocation_metadata() or ():
        if key == TICKET_KEY and isinstance(value, bytes):
            return value
    raise HubError("TICKET_INVALID", f"the call carries no ticket in its metadata {TICKET_KEY}; open an exchange first")
