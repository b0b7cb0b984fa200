"""Batches of this node's own in its database, and the blocks that are done in a folder: what is gone on with after `kill -9`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from nodes.exchanges.permitted import read_table, write_table
from nodes.scoring.scorer import Scored
from nodes.store import Store

RESULT: Final = pa.schema(
    [
        ("uscc", pa.string()),
        ("score", pa.float64()),
        ("probability", pa.float64()),
        ("points", pa.float64()),
        ("band", pa.string()),
        ("reasons", pa.string()),
        ("refused", pa.string()),
        ("detail", pa.string()),
    ]
)
"""A row for each enterprise; scores are null where it was refused."""

Exchanges = Mapping[str, tuple[str, bytes]]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is scored. `source_sm3`: of the list and the own columns as they were read."""

    model_id: str
    source_sm3: str
    subjects: int
    reason: str
    user: str
    application_no: str | None


@dataclass(frozen=True, kw_only=True)
class StoredBatch:
    """A batch that was begun."""

    batch_id: str
    asked: Asked
    exchanges: Exchanges


class BatchStore:
    """`score_batches`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, batch_id: str, directory: str, asked: Asked, now_ms: int) -> None:
        """A new one."""
        values = (batch_id, directory, msgspec.json.encode(asked), b"{}", now_ms)
        await self._store.write(
            lambda connection: (
                connection.execute(
                    "INSERT INTO score_batches (batch_id, directory, state, asked, exchanges, created_ms)"
                    " VALUES (?, ?, 'running', ?, ?, ?)",
                    values,
                )
                and None
            )
        )

    async def running(self, directory: str) -> StoredBatch | None:
        """The one that was broken off in this directory."""
        row = await self._store.read(
            lambda connection: connection.execute(
                "SELECT batch_id, asked, exchanges FROM score_batches WHERE directory = ? AND state = 'running'",
                (directory,),
            ).fetchone()
        )
        if row is None:
            return None
        found = msgspec.json.decode(row[2], type=dict[str, tuple[str, str]])
        exchanges = {member: (each, base64.b64decode(request)) for member, (each, request) in found.items()}
        return StoredBatch(batch_id=row[0], asked=msgspec.json.decode(row[1], type=Asked), exchanges=exchanges)

    async def opened(self, batch_id: str, exchanges: Exchanges) -> None:
        """These exchanges are open for it."""
        told = {member: (each, base64.b64encode(request).decode()) for member, (each, request) in exchanges.items()}
        await self._update(batch_id, "exchanges = ?", msgspec.json.encode(told))

    async def finish(self, batch_id: str, now_ms: int) -> None:
        """It is done."""
        await self._update(batch_id, "state = 'finished', ended_ms = ?", now_ms)

    async def fail(self, batch_id: str, failure: str, now_ms: int) -> None:
        """It will not be gone on with."""
        await self._update(batch_id, "state = 'failed', failure = ?, ended_ms = ?", failure[:1000], now_ms)

    async def _update(self, batch_id: str, what: str, *values: object) -> None:
        statement = f"UPDATE score_batches SET {what} WHERE batch_id = ?"  # noqa: S608 - our own constants
        await self._store.write(lambda connection: connection.execute(statement, (*values, batch_id)) and None)


def block_file(folder: Path, block: int) -> Path:
    """Where a block's rows lie until the batch is done."""
    return folder / f"block-{block:06d}.arrow"


def write_block(folder: Path, block: int, rows: list[Scored]) -> None:
    """Whole or not at all; durable when this returns."""
    table = pa.table(
        [
            [each.uscc for each in rows],
            pa.array([each.score for each in rows], pa.float64()),
            pa.array([each.probability for each in rows], pa.float64()),
            pa.array([each.points for each in rows], pa.float64()),
            [each.band for each in rows],
            [" ".join(each.reasons) for each in rows],
            [each.refused for each in rows],
            [each.detail for each in rows],
        ],
        schema=RESULT,
    )
    write_table(block_file(folder, block), table)


def read_block(folder: Path, block: int) -> pa.Table:
    """What `write_block` wrote."""
    return read_table(block_file(folder, block))
