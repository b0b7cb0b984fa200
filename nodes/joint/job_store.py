"""What a node's database keeps of jobs: its own (`joint_jobs`), and its part in those of other members (`joint_out`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from nodes.store import Store


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """A job as it is listed. `role`: active for this node's own, passive for another member's."""

    job_id: str
    name: str
    role: str
    state: str
    members: tuple[str, ...]
    created_ms: int
    failure: str
    commitment: str
    directory: str


class OpenedExchange(msgspec.Struct, frozen=True, kw_only=True):
    """An exchange of a job: its identifier and the signed request."""

    exchange_id: str
    request: bytes


class StoredJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job of this node: its file's text, the folder that this is relative to, who began it, and where its report will be."""

    job_id: str
    name: str
    job_text: str
    base: str
    user: str
    directory: str


_STORED: Final = "SELECT job_id, name, job, base, user, directory FROM joint_jobs"


class JobStore:
    """Jobs in the node's database. What has ended is never changed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def add(self, job: StoredJob, now_ms: int) -> None:
        """A new job."""
        values = (job.job_id, job.name, job.directory, job.job_text.encode(), job.base, job.user, b"{}", now_ms)
        await self._store.write(
            lambda connection: (
                connection.execute(
                    "INSERT INTO joint_jobs (job_id, name, directory, state, job, base, user, exchanges, created_ms)"
                    " VALUES (?, ?, ?, 'running', ?, ?, ?, ?, ?)",
                    values,
                )
                and None
            )
        )

    async def running(self) -> list[StoredJob]:
        """Jobs that have not ended."""
        rows = await self._store.read(
            lambda connection: connection.execute(f"{_STORED} WHERE state = 'running'").fetchall()
        )
        return [_stored(row) for row in rows]

    async def finished(self, job_id: str) -> StoredJob | None:
        """A job that made a model, or None."""
        row = await self._store.read(
            lambda connection: connection.execute(
                f"{_STORED} WHERE job_id = ? AND state = 'finished'", (job_id,)
            ).fetchone()
        )
        return _stored(row) if row is not None else None

    async def running_in(self, directory: str) -> StoredJob | None:
        """The job that has not ended and writes its report there."""
        return next((each for each in await self.running() if each.directory == directory), None)

    async def exchanges(self, job_id: str) -> Mapping[str, OpenedExchange]:
        """What was opened for a job, by provider."""
        row = await self._store.read(
            lambda connection: connection.execute(
                "SELECT exchanges FROM joint_jobs WHERE job_id = ?", (job_id,)
            ).fetchone()
        )
        return msgspec.json.decode(row[0], type=dict[str, OpenedExchange]) if row else {}

    async def keep_exchange(self, job_id: str, member: str, opened: OpenedExchange) -> None:
        """An exchange was opened for a job."""
        known = {**await self.exchanges(job_id), member: opened}
        await self._update(job_id, "exchanges = ?", msgspec.json.encode(known))

    async def finish(self, job_id: str, commitment: str, now_ms: int) -> None:
        """There is a model."""
        await self._update(job_id, "state = 'finished', commitment = ?, ended_ms = ?", commitment, now_ms)

    async def end(self, job_id: str, state: str, failure: str, now_ms: int) -> None:
        """There will be none: failed or stopped, and why."""
        await self._update(job_id, "state = ?, failure = ?, ended_ms = ?", state, failure[:1000], now_ms)

    async def taken_part(self, job_id: str) -> list[str]:
        """Exchanges of another member's job that this node takes part in."""
        rows = await self._store.read(
            lambda connection: connection.execute(
                "SELECT exchange_id FROM joint_out WHERE job_id = ? AND state = 'running'", (job_id,)
            ).fetchall()
        )
        return [exchange_id for (exchange_id,) in rows]

    async def leave(self, exchange_id: str, code: str, now_ms: int) -> None:
        """Take no further part in another member's job, whoever asks."""
        await self._store.write(
            lambda connection: (
                connection.execute(
                    "UPDATE joint_out SET state = 'ended', ended_ms = ?, failure = ? WHERE exchange_id = ? AND state = 'running'",
                    (now_ms, code, exchange_id),
                )
                and None
            )
        )

    async def has_left(self, exchange_id: str) -> bool:
        """Whether this node said that it takes no further part."""
        row = await self._store.read(
            lambda connection: connection.execute(
                "SELECT 1 FROM joint_out WHERE exchange_id = ? AND state = 'ended'", (exchange_id,)
            ).fetchone()
        )
        return row is not None

    async def over(self, finished_before_ms: int) -> list[str]:
        """Exchanges of other members' jobs about which nobody asks again: left, or finished before a time."""
        rows = await self._store.read(
            lambda connection: connection.execute(
                "SELECT exchange_id FROM joint_out WHERE state = 'ended' OR (state = 'finished' AND ended_ms < ?)",
                (finished_before_ms,),
            ).fetchall()
        )
        return [exchange_id for (exchange_id,) in rows]

    async def records(self) -> list[JobRecord]:
        """All jobs, own and others', newest first, at most 500 of each."""
        return await self._store.read(_records)

    async def _update(self, job_id: str, what: str, *values: object) -> None:
        statement = f"UPDATE joint_jobs SET {what} WHERE job_id = ? AND state = 'running'"  # noqa: S608 - our own constants
        await self._store.write(lambda connection: connection.execute(statement, (*values, job_id)) and None)


def _stored(row: tuple[str, str, bytes, str, str, str]) -> StoredJob:
    job_id, name, text, base, user, directory = row
    return StoredJob(job_id=job_id, name=name, job_text=bytes(text).decode(), base=base, user=user, directory=directory)


def _records(connection: sqlite3.Connection) -> list[JobRecord]:
    own = connection.execute(
        "SELECT job_id, name, state, exchanges, created_ms, failure, commitment, directory FROM joint_jobs"
        " ORDER BY created_ms DESC LIMIT 500"
    ).fetchall()
    others = connection.execute(
        "SELECT job_id, name, state, requester, created_ms, failure, commitment FROM joint_out ORDER BY created_ms DESC LIMIT 500"
    ).fetchall()
    found = [
        JobRecord(
            job_id=job_id,
            name=name,
            role="active",
            state=state,
            members=tuple(msgspec.json.decode(exchanges, type=dict[str, OpenedExchange])),
            created_ms=created,
            failure=failure or "",
            commitment=commitment or "",
            directory=directory,
        )
        for job_id, name, state, exchanges, created, failure, commitment, directory in own
    ]
    found += [
        JobRecord(
            job_id=job_id,
            name=name,
            role="passive",
            state=state,
            members=(requester,),
            created_ms=created,
            failure=failure or "",
            commitment=commitment or "",
            directory="",
        )
        for job_id, name, state, requester, created, failure, commitment in others
    ]
    return sorted(found, key=lambda each: -each.created_ms)
