"""What every service and adapter of a hub process is given: settings, database, keys, directory, sessions, clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hub.database import Database
from hub.keys import HubKeys
from hub.settings import Settings

if TYPE_CHECKING:
    from hub.members.directory import LiveDirectory


class Sessions(Protocol):
    """The connected nodes of this process (hub.push). Called on the event loop only."""

    def connected(self) -> Sequence[str]:
        """Ids of the nodes with an open push stream."""

    def version_of(self, node_id: str) -> str:
        """The software of a connected node; empty for one that is not."""

    def end_node(self, node_id: str, code: str, message: str) -> None:
        """End a node's push stream and exchanges at once with this error (it was revoked)."""


@dataclass(frozen=True, kw_only=True)
class Hub:
    """One running hub. `clock` gives milliseconds since the epoch, UTC."""

    settings: Settings
    db: Database
    keys: HubKeys
    directory: LiveDirectory
    sessions: Sessions
    clock: Callable[[], int]
