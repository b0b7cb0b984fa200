"""What every side of every exchange in this node is given."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from consent.catalogue import Catalogue
from consent.rules import UsageRules
from nodes.connection import HubConnection
from nodes.exchanges.hub_calls import ExchangeCalls
from nodes.exchanges.relay_link import GrpcRelay
from nodes.exchanges.session import Session, SessionLimits, SessionTerms
from nodes.exchanges.terms import ExchangeTerms
from nodes.outbox import Outbox
from nodes.replica import Replica
from nodes.settings import Settings
from nodes.store import Store
from trust.sm2 import PrivateKey


def system_clock() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """A random UUID."""
    return str(uuid.uuid4())


@dataclass(frozen=True, kw_only=True)
class ExchangeContext:
    """The node, as far as its exchanges need it."""

    settings: Settings
    identity: PrivateKey
    store: Store
    replica: Replica
    connection: HubConnection
    calls: ExchangeCalls
    outbox: Outbox
    catalogue: Catalogue
    rules: UsageRules
    clock: Callable[[], int] = system_clock
    new_id: Callable[[], str] = new_id

    def session(self, terms: ExchangeTerms) -> Session:
        """Give this node's end of an exchange."""
        asked = terms.request
        role: Literal["requester", "provider"] = (
            "requester" if asked.requester_node == self.settings.node_id else "provider"
        )
        return Session(
            SessionTerms(
                exchange_id=asked.exchange_id,
                requester_node=asked.requester_node,
                provider_node=terms.provider_node,
                mode=asked.mode.value,
                policy_digest=terms.policy_digest,
                role=role,
            ),
            identity=self.identity,
            peer_identity=terms.peer_identity,
            relay=GrpcRelay(self.connection, self.calls.ticket),
            limits=SessionLimits(window_bytes=self.settings.window_bytes),
        )
