"""What scoring needs of the provider's node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from consent.catalogue import Catalogue
from consent.rules import UsageRules
from nodes.exchanges.raw_plan import Tables
from nodes.models.registry import Registry
from nodes.replica import Replica
from nodes.settings import ScoringRules
from nodes.store import Store
from trust.sm2 import PrivateKey


class OwnTables(Tables, Protocol):
    """The node's own data: whole scans for many subjects, single rows for few."""

    def rows(self, item_id: str, uscc: str, fields: Sequence[str]) -> list[pa.RecordBatch]:
        """A subject's rows of an item as they are now: `uscc` and the fields. Raises NodeError if the node has no such item."""
        ...


@dataclass(frozen=True, kw_only=True)
class ScoringNode:
    """The node, as far as its part in scores needs it."""

    store: Store
    replica: Replica
    registry: Registry
    tables: OwnTables
    catalogue: Catalogue
    rules: UsageRules
    limits: ScoringRules
    column_bytes: int
    identity: PrivateKey
    member_id: str
    node_id: str
    max_staleness_ms: int
    clock: Callable[[], int]
    new_id: Callable[[], str]
    written: Callable[[], None]
