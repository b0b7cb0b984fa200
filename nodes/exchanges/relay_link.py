"""Attaching to the hub's relay over the node's mutual-TLS connection: `session.Relay` on gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import grpc
from xinqiao.v1 import node_pb2

from nodes.connection import HubConnection
from nodes.errors import HubUnavailable, from_rpc
from nodes.exchanges.outgoing import RelayStream

TICKET_METADATA: Final = "xinqiao-ticket-bin"

TicketSource = Callable[[str], Awaitable[bytes]]
"""Gives a valid ticket for an exchange id: the one at hand, or a fresh one from the hub."""


class GrpcRelay:
    """Attaches with a ticket; every attachment is a new stream."""

    def __init__(self, connection: HubConnection, tickets: TicketSource) -> None:
        self._connection = connection
        self._tickets = tickets

    async def attach(self, exchange_id: str) -> RelayStream:
        """Open a relay stream. Raises NodeError, retryable while the hub is away."""
        ticket = await self._tickets(exchange_id)
        call = self._connection.stubs.relay.Attach(metadata=((TICKET_METADATA, ticket),))
        return _GrpcStream(call)


class _GrpcStream:
    def __init__(self, call: grpc.aio.StreamStreamCall[node_pb2.RelayFrame, node_pb2.RelayFrame]) -> None:
        self._call = call

    async def write(self, data: bytes) -> None:
        try:
            await self._call.write(node_pb2.RelayFrame(frame=data))
        except grpc.RpcError as error:
            failure = from_rpc(error)
            if failure.code == "INTERNAL":  # the transport broke, not the exchange: attach again
                raise HubUnavailable("The relay ended the connection; the node attaches again.") from error
            raise failure from error
        except asyncio.InvalidStateError as error:  # the stream ended meanwhile
            raise HubUnavailable("The relay ended the connection; the node attaches again.") from error

    async def read(self) -> bytes | None:
        try:
            message = await self._call.read()
        except grpc.RpcError as error:
            failure = from_rpc(error)
            if failure.retryable or failure.code == "INTERNAL":
                return None
            raise failure from error
        except asyncio.InvalidStateError:
            return None
        return message.frame if isinstance(message, node_pb2.RelayFrame) else None

    async def finish(self) -> None:
        with suppress(grpc.RpcError, asyncio.InvalidStateError):  # the stream ended meanwhile
            await self._call.done_writing()

    def cancel(self) -> None:
        self._call.cancel()
