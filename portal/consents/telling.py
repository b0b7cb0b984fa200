"""What an enterprise is told of its consents, each thing once: who asks, who used first, what ends soon, what withdrawal all confirmed.

The portal knows no more than the enterprise's own sessions were shown: it looks at what a page asked the hub anyway, and its rounds at
what was kept of that. Nothing is written unless there is something new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, delete, insert, select

from consent.audit import PERMIT
from consent.audit_uses import VerifiedUse
from consent.documents import ConsentRequest
from consent.identifiers import CHINA_TIME
from portal.accounts.notices import left_of, notify_once
from portal.accounts.tables import left
from portal.consents.planning import ACTIVE
from portal.consents.tables import watched
from portal.errors import PortalError
from portal.hub_link import Standing
from portal.principal import Principal
from portal.state import Portal

DAY_MS: Final = 24 * 3600 * 1000
# The shorter time first: who learns of a consent late is told once.
BEFORE: Final = (("consent_expires_in_7_days", 7 * DAY_MS), ("consent_expires_in_30_days", 30 * DAY_MS))
BATCH: Final = 200


async def saw_requests(portal: Portal, who: Principal, found: Sequence[ConsentRequest]) -> None:
    """Tell of requests that the session has not listed before."""
    await _tell(portal, who, "consent_asked", {each.request_id: each.requester for each in found})


async def saw_uses(portal: Portal, who: Principal, found: Sequence[VerifiedUse]) -> None:
    """Tell of institutions that used data and had not before; the user's own record says who it was."""
    users = [
        each.receipt.institution
        for each in found
        if each.receipt.side == "requester" and each.receipt.decision == PERMIT
    ]
    await _tell(portal, who, "consent_used", {each: each for each in users})


async def saw_consents(portal: Portal, who: Principal, found: Sequence[Standing]) -> None:
    """Keep when the consents in force end; forget those that are not in force any more."""
    now = {each.consent.record_id: each.consent.limits.valid_to_ms for each in found if each.state == ACTIVE}
    own = select(watched.c.record_id, watched.c.valid_to_ms).where(watched.c.account_id == who.account_id)

    def known(connection: Connection) -> dict[str, int]:
        return {row.record_id: row.valid_to_ms for row in connection.execute(own)}

    def write(connection: Connection) -> None:
        old = (watched.c.account_id == who.account_id) | watched.c.record_id.in_(list(now))
        connection.execute(delete(watched).where(old))
        rows = [
            {"record_id": record_id, "account_id": who.account_id, "valid_to_ms": until}
            for record_id, until in now.items()
        ]
        if rows:
            connection.execute(insert(watched), rows)

    if await portal.db.read(known) != now:
        await portal.db.write(write)


def all_confirmed(portal: Portal, connection: Connection, account_id: str, record_id: str) -> None:
    """Tell that nobody is awaited any more for a withdrawal. Only inside `Database.write`."""
    notify_once(connection, account_id, "consent_withdrawn", record_id, record_id, portal.clock())


async def tell_ends(portal: Portal) -> int:
    """Tell of consents that end soon, 30 and 7 days before; how many notices. A round of the portal's process."""
    told = 0
    for kind, before_ms in BEFORE:
        while done := await portal.db.write(lambda c, kind=kind, ms=before_ms: _tell_ends(portal, c, kind, ms)):  # type: ignore[misc]
            told += done
    return told


def _tell_ends(portal: Portal, connection: Connection, kind: str, before_ms: int) -> int:
    now_ms = portal.clock()
    shorter = [each for each, ms in BEFORE if ms <= before_ms]
    same = (left.c.account_id == watched.c.account_id) & (left.c.about == watched.c.record_id)
    was_told = select(left.c.about).where(same & left.c.kind.in_(shorter)).exists()
    soon = (watched.c.valid_to_ms > now_ms) & (watched.c.valid_to_ms <= now_ms + before_ms)
    rows = connection.execute(select(watched).where(soon & ~was_told).order_by(watched.c.valid_to_ms).limit(BATCH))
    due = rows.all()
    for row in due:
        last = datetime.fromtimestamp(row.valid_to_ms / 1000, CHINA_TIME).date()
        detail = f"{row.record_id} ({last.isoformat()})"
        notify_once(connection, row.account_id, kind, row.record_id, detail, now_ms)
    return len(due)


async def _tell(portal: Portal, who: Principal, kind: str, about: Mapping[str, str]) -> None:
    """`about`: from what it is about to the member that it is about."""
    if not about:
        return
    before = await portal.db.read(lambda connection: left_of(connection, who.account_id, kind, about))
    new = {each: member for each, member in about.items() if each not in before}
    if not new:
        return
    names = await _names(portal)

    def write(connection: Connection) -> None:
        for each, member in new.items():
            notify_once(connection, who.account_id, kind, each, names.get(member, member), portal.clock())

    await portal.db.write(write)


async def _names(portal: Portal) -> Mapping[str, str]:
    try:
        members = await asyncio.to_thread(portal.link.members)
    except PortalError:
        return {}
    return {each.member_id: each.name for each in members}
