"""Both sides of scoring in one node: it answers others' models, and asks for scores of its own."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Final

from nodes.errors import NodeError
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.requester import RequesterExchanges
from nodes.models.registry import Registry
from nodes.models.sessions import forget_sessions
from nodes.scoring.batch import ScoreBatches
from nodes.scoring.computer import Computer
from nodes.scoring.limits import DAY_MS
from nodes.scoring.node import OwnTables, ScoringNode
from nodes.scoring.provider import ScoringProvider
from nodes.scoring.scores import Scores
from nodes.scoring.spent import forget
from nodes.scoring.verdict import REPEAT_MS

FORGET_EVERY_MS: Final = 3_600_000
FORGET_MS: Final = REPEAT_MS + FORGET_EVERY_MS


class ScoringSides:
    """`provider` serves exchanges; `scores` and `batches` are for the node's own programs; `computer` has the keys of its models."""

    def __init__(
        self, context: ExchangeContext, requester: RequesterExchanges, registry: Registry, tables: OwnTables
    ) -> None:
        self._context = context
        self._forgot_ms = 0
        self.computer = Computer()
        self.scores = Scores(context, requester, registry, self.computer)
        self.batches = ScoreBatches(context, requester, registry, self.computer)
        self.provider = ScoringProvider(
            ScoringNode(
                store=context.store,
                replica=context.replica,
                registry=registry,
                tables=tables,
                catalogue=context.catalogue,
                rules=context.rules,
                limits=context.settings.scoring,
                column_bytes=context.settings.scoring_columns_mb << 20,
                identity=context.identity,
                member_id=context.settings.member_id,
                node_id=context.settings.node_id,
                max_staleness_ms=context.settings.max_staleness_ms,
                clock=context.clock,
                new_id=context.new_id,
                written=context.outbox.wake,
            )
        )

    @property
    def open_count(self) -> int:
        """Exchanges that this node asks in."""
        return self.scores.open_count + self.batches.open_count

    @property
    def suspected(self) -> str:
        """What looked like probing last; empty if nothing did."""
        return self.provider.suspected

    def updated(self, exchange_id: str, state: str) -> None:
        """The hub says where an exchange stands."""
        self.scores.updated(exchange_id, state)
        self.batches.updated(exchange_id, state)

    async def ended(self, exchange_id: str, failure: NodeError) -> None:
        """The hub says that an exchange is over."""
        await self.scores.ended(exchange_id, failure)
        await self.batches.ended(exchange_id, failure)

    async def tidy(self) -> None:
        """Leave models that nobody uses; forget what counts no more."""
        await self.scores.close_idle()
        now_ms = self._context.clock()
        if now_ms - self._forgot_ms < FORGET_EVERY_MS:
            return
        self._forgot_ms = now_ms
        evidence_ms = now_ms - self._context.settings.receipt_retention_days * DAY_MS

        def old(connection: sqlite3.Connection) -> None:
            forget(connection, now_ms, now_ms - FORGET_MS)
            forget_sessions(connection, evidence_ms)

        await self._context.store.write(old)

    async def close(self) -> None:
        """Stop; batches are gone on with when they are asked for again."""
        await self.batches.close()
        await self.scores.close()
        await asyncio.gather(self.computer.close(), self.provider.close())
