"""Local approval: exchanges that match a rule of `node.toml` wait until an operator of this node says yes or no.

A decision is durable before anything happens. An exchange that was approved once stays approved for its life, also over restarts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from nodes.errors import NodeError
from nodes.exchanges.terms import ExchangeTerms
from nodes.settings import ApprovalRule
from nodes.store import Store


class ApprovalUnknown(NodeError):
    """There is nothing to decide under this identifier."""

    code = "NOT_FOUND"


@dataclass(frozen=True, kw_only=True)
class Approval:
    """An exchange that waits, or waited, for an operator."""

    exchange_id: str
    requester: str
    product_id: str
    mode: str
    purpose: str
    reason: str
    user: str
    state: str
    asked_ms: int
    request: bytes
    ticket: bytes


_COLUMNS = "exchange_id, requester, product_id, mode, purpose, reason, user, state, asked_ms, request, ticket"


class Approvals:
    """The exchanges that an operator decides on."""

    def __init__(self, store: Store, rules: tuple[ApprovalRule, ...], clock: Callable[[], int]) -> None:
        self._store = store
        self._rules = rules
        self._clock = clock

    def required(self, terms: ExchangeTerms) -> bool:
        """Whether a rule matches."""
        asked = terms.request
        return any(
            fnmatchcase(asked.product_id, rule.product)
            and fnmatchcase(asked.mode.value, rule.mode)
            and fnmatchcase(asked.requester, rule.requester)
            for rule in self._rules
        )

    async def state(self, terms: ExchangeTerms) -> str:
        """approved, waiting or declined; an exchange seen for the first time begins to wait."""
        asked = terms.request
        row = (
            asked.exchange_id,
            asked.requester,
            asked.product_id,
            asked.mode.value,
            asked.purpose.value,
            asked.reason,
            asked.user,
            "waiting",
            self._clock(),
            terms.request_document,
            terms.ticket_document,
        )

        def work(connection: sqlite3.Connection) -> str:
            connection.execute(
                f"INSERT OR IGNORE INTO approvals ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant
                row,
            )
            (state,) = connection.execute(
                "SELECT state FROM approvals WHERE exchange_id = ?", (asked.exchange_id,)
            ).fetchone()
            return str(state)

        return await self._store.write(work)

    async def decide(self, exchange_id: str, *, approve: bool, reason: str) -> Approval:
        """An operator's word. Raises ApprovalUnknown if nothing waits under this identifier."""
        state = "approved" if approve else "declined"

        def work(connection: sqlite3.Connection) -> None:
            changed = connection.execute(
                "UPDATE approvals SET state = ?, decided_ms = ?, decided_reason = ? WHERE exchange_id = ? AND state = 'waiting'",
                (state, self._clock(), reason, exchange_id),
            ).rowcount
            if changed != 1:
                raise ApprovalUnknown(
                    f"No exchange {exchange_id} waits for approval; `xinqiao node approvals` lists those that do."
                )

        await self._store.write(work)
        return next(approval for approval in await self.list() if approval.exchange_id == exchange_id)

    async def list(self) -> list[Approval]:
        """All, newest first, at most 500."""
        rows = await self._store.read(
            lambda connection: connection.execute(
                f"SELECT {_COLUMNS} FROM approvals ORDER BY asked_ms DESC LIMIT 500"  # noqa: S608 - constant
            ).fetchall()
        )
        names = _COLUMNS.split(", ")
        return [Approval(**dict(zip(names, row, strict=True))) for row in rows]
