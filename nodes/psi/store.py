"""What a node's database keeps of comparisons: its own (`psi_runs`), and those of other members that it took part in (`psi_out`)."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import msgspec

from consent.identifiers import window_start_ms
from consent.usage import ExchangeRequest
from nodes.errors import ExchangeFailed, NodeError
from nodes.psi.outcome import Outcome
from nodes.settings import PsiRule
from nodes.store import Store

_BROKEN_OFF = "PEER_FAILED"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared with: the subjects of a provider's item, as a product offers it."""

    provider: str
    product_id: str
    item_id: str


@dataclass(frozen=True, kw_only=True)
class PsiRecord:
    """A comparison as it is listed. `role`: active for this node's own, passive for another member's. `size`: None if unknown."""

    run_id: str
    role: str
    mode: str
    state: str
    members: tuple[str, ...]
    items: tuple[str, ...]
    legal_basis: str
    size: int | None
    failure: str
    created_ms: int
    directory: str


class PsiStore:
    """Comparisons in the node's database. What has ended is never changed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # -- own

    async def add(self, run_id: str, mode: str, targets: tuple[Target, ...], directory: str, now_ms: int) -> None:
        """A new run."""
        values = (run_id, mode, msgspec.json.encode(targets), b"[]", directory, now_ms)
        await self._store.write(
            lambda connection: (
                connection.execute(
                    "INSERT INTO psi_runs (run_id, mode, state, targets, exchanges, directory, created_ms)"
                    " VALUES (?, ?, 'running', ?, ?, ?, ?)",
                    values,
                )
                and None
            )
        )

    async def opened(self, run_id: str, exchange_ids: tuple[str, ...]) -> None:
        """These exchanges were opened for it."""
        await self._update(run_id, "exchanges = ?", msgspec.json.encode(exchange_ids))

    async def finish(self, run_id: str, outcome: Outcome, now_ms: int) -> None:
        """It has an outcome."""
        await self._update(
            run_id, "state = 'finished', outcome = ?, ended_ms = ?", msgspec.json.encode(outcome), now_ms
        )

    async def fail(self, run_id: str, failure: str, now_ms: int) -> None:
        """It will have none, and why."""
        await self._update(run_id, "state = 'failed', failure = ?, ended_ms = ?", failure[:1000], now_ms)

    async def break_off(self, now_ms: int) -> tuple[str, ...]:
        """After a restart: whatever was under way is over, for both roles. The own exchanges, to be ended at the hub."""

        def work(connection: sqlite3.Connection) -> tuple[str, ...]:
            rows = connection.execute("SELECT exchanges FROM psi_runs WHERE state = 'running'").fetchall()
            for table in ("psi_runs", "psi_out"):
                connection.execute(
                    f"UPDATE {table} SET state = 'failed', failure = ?, ended_ms = ? WHERE state = 'running'",  # noqa: S608 - two constants
                    (f"{_BROKEN_OFF}: the node was restarted", now_ms),
                )
            return tuple(each for (encoded,) in rows for each in msgspec.json.decode(encoded, type=tuple[str, ...]))

        return await self._store.write(work)

    async def _update(self, run_id: str, what: str, *values: object) -> None:
        statement = f"UPDATE psi_runs SET {what} WHERE run_id = ? AND state = 'running'"  # noqa: S608 - our own constants
        await self._store.write(lambda connection: connection.execute(statement, (*values, run_id)) and None)

    # -- others'

    async def end_part(self, exchange_id: str, now_ms: int, *, size: int | None = None, failure: str = "") -> None:
        """Our part is over."""
        values = ("failed" if failure else "finished", size, failure[:1000], now_ms, exchange_id)
        await self._store.write(
            lambda connection: (
                connection.execute(
                    "UPDATE psi_out SET state = ?, size = ?, failure = ?, ended_ms = ? WHERE exchange_id = ? AND state = 'running'",
                    values,
                )
                and None
            )
        )

    async def records(self) -> list[PsiRecord]:
        """All, own and others', newest first, at most 500 of each."""
        return await self._store.read(_records)


def begin_part(
    connection: sqlite3.Connection, request: ExchangeRequest, run_id: str, rule: PsiRule, receipt_id: str, now_ms: int
) -> None:
    """Count and keep another member's comparison, in the transaction that records it.

    Raises NodeError PSI_LIMIT_REACHED, and ExchangeFailed for one that was begun before: it is never gone on with.
    """
    if connection.execute("SELECT 1 FROM psi_out WHERE exchange_id = ?", (request.exchange_id,)).fetchone():
        raise ExchangeFailed("This comparison was broken off; begin a new one.", code=_BROKEN_OFF)
    (today,) = connection.execute(
        "SELECT count(*) FROM psi_out WHERE requester = ? AND product_id = ? AND mode = ? AND created_ms >= ?",
        (request.requester, request.product_id, request.mode, window_start_ms("day", now_ms)),
    ).fetchone()
    if today >= rule.per_day:
        raise NodeError(
            f"{request.provider} allows {request.requester} {rule.per_day} such comparisons with {request.product_id} a day; "
            "these have been made.",
            code="PSI_LIMIT_REACHED",
        )
    connection.execute(
        "INSERT INTO psi_out (exchange_id, run_id, requester, product_id, item_id, mode, state, legal_basis, receipt_id, created_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, 'running', ?, ?, ?)",
        (
            request.exchange_id,
            run_id,
            request.requester,
            request.product_id,
            request.items[0].item_id,
            request.mode,
            rule.legal_basis,
            receipt_id,
            now_ms,
        ),
    )


def _records(connection: sqlite3.Connection) -> list[PsiRecord]:
    own = connection.execute(
        "SELECT run_id, mode, state, targets, outcome, failure, created_ms, directory FROM psi_runs"
        " ORDER BY created_ms DESC LIMIT 500"
    ).fetchall()
    others = connection.execute(
        "SELECT run_id, mode, state, requester, item_id, legal_basis, size, failure, created_ms FROM psi_out"
        " ORDER BY created_ms DESC LIMIT 500"
    ).fetchall()
    found = []
    for run_id, mode, state, encoded, outcome, failure, created, directory in own:
        targets = msgspec.json.decode(encoded, type=tuple[Target, ...])
        told = msgspec.json.decode(outcome, type=Outcome) if outcome else None
        found.append(
            PsiRecord(
                run_id=run_id,
                role="active",
                mode=mode,
                state=state,
                members=tuple(each.provider for each in targets),
                items=tuple(each.item_id for each in targets),
                legal_basis="; ".join(each.legal_basis for each in told.providers) if told else "",
                size=told.size if told else None,
                failure=failure or "",
                created_ms=created,
                directory=directory,
            )
        )
    found += [
        PsiRecord(
            run_id=run_id,
            role="passive",
            mode=mode,
            state=state,
            members=(requester,),
            items=(item_id,),
            legal_basis=legal_basis,
            size=size,
            failure=failure or "",
            created_ms=created,
            directory="",
        )
        for run_id, mode, state, requester, item_id, legal_basis, size, failure, created in others
    ]
    return sorted(found, key=lambda each: -each.created_ms)
