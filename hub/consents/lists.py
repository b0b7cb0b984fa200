"""Reading consents: what enterprises and requesters see of them, and the early hint for exchanges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, exists, select

from hub.consents.record import ACTIVE
from hub.consents.service import REQUESTED
from hub.consents.tables import consent_requests, consent_users, consents
from hub.logs import service as logs

MAX_LISTED: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A version of a consent (encoded, countersigned) and where it stands."""

    document: bytes
    state: str
    log_index: int
    ended_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """A request and what became of it."""

    request_id: str
    uscc: str
    provider: str
    state: str
    time_ms: int


def open_requests(connection: Connection, uscc: str) -> list[bytes]:
    """The requests that wait for an enterprise's answer, oldest first."""
    wanted = (
        select(consent_requests.c.provider, consent_requests.c.log_index)
        .where(consent_requests.c.uscc == uscc, consent_requests.c.state == REQUESTED)
        .order_by(consent_requests.c.time_ms)
        .limit(MAX_LISTED)
    )
    rows = connection.execute(wanted).all()
    return [logs.read_leaf(connection, logs.consent_origin(row.provider), row.log_index) for row in rows]


def of_subject(connection: Connection, uscc: str) -> list[Standing]:
    """An enterprise's consents in all versions, those in force first, then the newest."""
    wanted = (
        select(consents)
        .where(consents.c.uscc == uscc)
        .order_by(consents.c.state != ACTIVE, consents.c.log_index.desc())
        .limit(MAX_LISTED)
    )
    return [
        Standing(
            document=logs.read_leaf(connection, logs.consent_origin(row.provider), row.log_index),
            state=row.state,
            log_index=row.log_index,
            ended_ms=row.ended_ms,
        )
        for row in connection.execute(wanted).all()
    ]


def of_requester(connection: Connection, member_id: str) -> list[Requested]:
    """A member's requests, newest first."""
    wanted = (
        select(consent_requests)
        .where(consent_requests.c.requester == member_id)
        .order_by(consent_requests.c.time_ms.desc())
        .limit(MAX_LISTED)
    )
    return [
        Requested(request_id=row.request_id, uscc=row.uscc, provider=row.provider, state=row.state, time_ms=row.time_ms)
        for row in connection.execute(wanted)
    ]


def any_in_force(connection: Connection, provider: str, member_id: str, now_ms: int) -> bool:
    """Whether any consent in force names this member for this provider's data."""
    found = (
        select(consents.c.record_id)
        .join(consent_users, consent_users.c.record_id == consents.c.record_id)
        .where(
            consent_users.c.member == member_id,
            consent_users.c.provider == provider,
            consents.c.state == ACTIVE,
            consents.c.valid_to_ms > now_ms,
        )
    )
    return bool(connection.execute(select(exists(found))).scalar())
