"""The mutually authenticated channel to the hub and its service stubs.

The rules of this module:
1. The hub's certificate must come from the authority pinned at enrolment, and name the address that was
   dialled.
2. One channel carries everything and reconnects by itself; it is replaced only when the node's certificate
   is renewed.
3. Every failed call becomes a NodeError (`rpc`); nobody else handles the transport's own errors.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import grpc
from xinqiao.v1 import node_pb2_grpc

from nodes.credentials import HubFacts, TlsPair
from nodes.errors import from_rpc

if TYPE_CHECKING:  # these classes exist for the type checker only
    from xinqiao.v1.node_pb2_grpc import (
        ConsentsAsyncStub,
        ControlAsyncStub,
        ExchangesAsyncStub,
        LogsAsyncStub,
        ModelsAsyncStub,
        ProductsAsyncStub,
        RelayAsyncStub,
        UsageAsyncStub,
    )

T = TypeVar("T")

MAX_MESSAGE_BYTES: Final = (4 << 20) + (64 << 10)
"""A frame of 4 MiB and its envelope."""

CHANNEL_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Firewalls forget idle connections; a ping keeps them, and finds a hub that vanished without a word.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Our own loops back off with jitter; the transport only has to be quick to notice that the hub is there
    # again.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


@dataclass(frozen=True, kw_only=True)
class HubStubs:
    """The hub's services over one channel."""

    channel: grpc.aio.Channel
    control: ControlAsyncStub
    logs: LogsAsyncStub
    products: ProductsAsyncStub
    models: ModelsAsyncStub
    consents: ConsentsAsyncStub
    exchanges: ExchangesAsyncStub
    relay: RelayAsyncStub
    usage: UsageAsyncStub


def open_channel(hub: HubFacts, pair: TlsPair) -> grpc.aio.Channel:
    """Return a channel to the hub's node port; it connects on first use. From the event loop's thread."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=hub.authority_pem, private_key=pair.key_pem, certificate_chain=pair.certificate_pem
    )
    return grpc.aio.secure_channel(hub.node_address, credentials, options=CHANNEL_OPTIONS)


def stubs_of(channel: grpc.aio.Channel) -> HubStubs:
    """Return the stubs of all node services over a channel."""
    return HubStubs(
        channel=channel,
        control=node_pb2_grpc.ControlStub(channel),
        logs=node_pb2_grpc.LogsStub(channel),
        products=node_pb2_grpc.ProductsStub(channel),
        models=node_pb2_grpc.ModelsStub(channel),
        consents=node_pb2_grpc.ConsentsStub(channel),
        exchanges=node_pb2_grpc.ExchangesStub(channel),
        relay=node_pb2_grpc.RelayStub(channel),
        usage=node_pb2_grpc.UsageStub(channel),
    )


async def rpc(call: Awaitable[T]) -> T:
    """Await a call of the hub; a failure is raised as NodeError with the hub's own code."""
    try:
        return await call
    except grpc.RpcError as error:
        raise from_rpc(error) from error
