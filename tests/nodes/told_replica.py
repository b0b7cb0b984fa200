"""A replica and the hub that tells it things, for the tests of both."""

from __future__ import annotations

from dataclasses import dataclass

from nodes.replica import Replica
from tests.nodes.hub_simulator import Enterprise, HubSimulator


@dataclass
class World:
    """A provider's node that is up to date with an honest hub, and one enterprise with a consent."""

    hub: HubSimulator
    replica: Replica
    enterprise: Enterprise
    record_id: str

    def send(self, origin: str, leaves: list[bytes] | None = None, first_index: int | None = None) -> None:
        """Send leaves of a log from the replica's position on, or what a lying hub sends instead."""
        position = dict(self.replica.positions()).get(origin, 0) if first_index is None else first_index
        sent = self.hub.logs[origin][position:] if leaves is None else leaves
        self.replica.apply_entries(origin, position, sent)

    def sign(self, origin: str, **lies: object) -> None:
        """Send a checkpoint."""
        self.replica.apply_checkpoint(self.hub.checkpoint(origin, **lies), self.hub.time_ms)  # type: ignore[arg-type]

    def consent(self) -> object:
        """Return what the provider would decide from."""
        (view,) = self.replica.own_book.consents_of(self.enterprise.uscc)
        return view.revoked_ms
