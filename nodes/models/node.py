"""What the registry needs of its node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from consent.directory import Directory
from nodes.backoff import Backoff
from nodes.settings import ModelRule
from nodes.store import Store
from trust.document import SignedDocument
from trust.sm2 import PrivateKey


class ModelsService(Protocol):
    """The hub's registry."""

    async def send(self, document: SignedDocument) -> None:
        """Give the hub a document; one that it has already changes nothing. Raises NodeError."""
        ...

    def documents(self, after: int) -> AsyncIterator[tuple[int, bytes]]:
        """Documents about this member's models after a number, each with its own. Raises NodeError."""
        ...


@dataclass(frozen=True, kw_only=True)
class RegistryNode:
    """The node, as far as its registry needs it. `directory`: as it is now."""

    home: Path
    store: Store
    hub: ModelsService
    directory: Callable[[], Directory]
    identity: PrivateKey
    member_id: str
    node_id: str
    rules: Sequence[ModelRule]
    clock: Callable[[], int]
    backoff: Backoff
