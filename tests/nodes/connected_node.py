"""A node connected to a simulated hub over real sockets, for the tests of both."""

# ruff: noqa: S311 (jitter protects nothing)

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from nodes.backoff import Backoff
from nodes.connection import HubConnection
from nodes.errors import AlarmKind
from nodes.replica_store import ReplicaKeeper
from nodes.store import Store
from tests.nodes.hub_server import ServedHub, Site, serve, until
from tests.nodes.hub_simulator import CONSENTS, DIRECTORY, NOW_MS, PROVIDER, HubSimulator
from trust.checkpoint import open_checkpoint
from trust.document import SignedDocument
from trust.sm2 import PrivateKey

KEY = PrivateKey.generate()


@dataclass
class Handler:
    """Remembers what it was told."""

    invitations: list[tuple[bytes, bytes]] = field(default_factory=list)
    updates: list[tuple[str, str, str]] = field(default_factory=list)

    def invited(self, request: bytes, ticket: bytes) -> None:
        self.invitations.append((request, ticket))

    def exchange_updated(self, exchange_id: str, state: str, reason: str) -> None:
        self.updates.append((exchange_id, state, reason))


@dataclass
class World:
    """A served hub and a connection to it that is not running yet."""

    hub: HubSimulator
    served: ServedHub
    site: Site
    store: Store
    keeper: ReplicaKeeper
    handler: Handler
    connection: HubConnection
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self) -> None:
        self.tasks.append(asyncio.ensure_future(self.connection.run()))

    async def started(self) -> None:
        """Run the connection until the node is up to date and has said so."""
        self.start()
        await until(lambda: {self.origin(document) for document in self.served.cosigned} == {DIRECTORY, CONSENTS})

    def origin(self, document: bytes) -> str:
        return open_checkpoint(SignedDocument.decode(document), self.hub.key.public).origin

    def positions(self) -> dict[str, int]:
        return dict(self.keeper.replica.positions())

    def alarm(self) -> AlarmKind | None:
        alarm = self.keeper.replica.alarm
        return alarm.kind if alarm is not None else None


def connect(served: ServedHub, keeper: ReplicaKeeper, handler: Handler, **changes: Any) -> HubConnection:
    arguments: dict[str, Any] = {
        "hub": served.facts(),
        "tls": served.pair(),
        "key": KEY,
        "keeper": keeper,
        "handler": handler,
        "clock": lambda: NOW_MS,
        "backoff": Backoff(random.Random(1), first_s=0.02, longest_s=0.05),
    }
    return HubConnection(**(arguments | changes))


@asynccontextmanager
async def connected_node(store: Store) -> AsyncIterator[World]:
    """Serve a hub, and build a node's connection to it."""
    hub = HubSimulator()
    async with serve(hub) as (served, site):
        keeper = await ReplicaKeeper.load(store, member_id=PROVIDER, hub_key=hub.key.public, clock=lambda: NOW_MS)
        handler = Handler()
        connection = connect(served, keeper, handler)
        made = World(hub, served, site, store, keeper, handler, connection)
        yield made
        for task in made.tasks:
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)
        await connection.close()
