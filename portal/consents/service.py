"""Consents and uses, asked of the hub by the enterprise's own signature; nothing of them is kept here.

Rules:
1. The key is the session's (`portal.keyring`); without it the password is asked for.
2. Whatever the hub answers is verified before it is shown; what was seen is kept, and the next answer must extend it. Where two pages
   ask at once, the first one's is kept.
3. Whatever the hub refuses, or a hub that is away, is a PortalError of `portal.hub_link`.
4. A withdrawal takes effect when it is in the log. That each node knows it is shown only by that node's own cosignature.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, insert, select, update

from consent.audit import PERMIT
from consent.audit_uses import VerifiedUse
from consent.usage import Receipt
from portal import events
from portal.consents.tables import seen
from portal.errors import PortalError, not_found
from portal.hub_link import Signer, Standing, Verified, Withdrawn
from portal.principal import Principal
from portal.state import Portal
from portal.text import Text

ACTIVE: Final = "active"


@dataclass(frozen=True, kw_only=True)
class Use:
    """One use as people count it: what user and provider each recorded of it, `entries` in the log."""

    receipt: Receipt
    entries: tuple[int, ...]
    both_sides: bool

    @property
    def permitted(self) -> bool:
        """Whether the data was used; else the use was refused."""
        return self.receipt.decision == PERMIT


class KeyLocked(Exception):
    """The session has no open key; the password opens it."""


async def listed(portal: Portal, who: Principal) -> Sequence[Standing]:
    """All consents, those that stand first. Raises KeyLocked, PortalError."""
    signer = await _signer(portal, who)
    return await asyncio.to_thread(portal.link.consents, signer)


async def get(portal: Portal, who: Principal, record_id: str) -> Standing:
    """One consent. Raises KeyLocked, PortalError NOT_FOUND."""
    for each in await listed(portal, who):
        if each.consent.record_id == record_id:
            return each
    raise not_found()


async def withdraw(portal: Portal, who: Principal, record_id: str, reason: str) -> Withdrawn:
    """Withdraw a consent (rule 4). Raises KeyLocked, PortalError NOT_FOUND, WRONG_STATE, UNVERIFIED."""
    found, signer = await get(portal, who, record_id), await _signer(portal, who)
    if found.state != ACTIVE:
        raise PortalError("WRONG_STATE", Text("This consent does not stand any more; there is nothing to withdraw."))
    done = await asyncio.to_thread(portal.link.withdraw, signer, found.consent, reason)

    def write(connection: Connection) -> None:
        _keep(connection, who.account_id, signer.seen, done.seen)
        events.record(connection, portal.clock(), who.login, "consent_withdrawn", record_id)

    await portal.db.write(write)
    return done


async def uses(portal: Portal, who: Principal) -> Verified:
    """Every recorded use, verified. Raises KeyLocked, PortalError UNVERIFIED."""
    signer = await _signer(portal, who)
    found = await asyncio.to_thread(portal.link.uses, signer)
    if found.seen != signer.seen:
        await portal.db.write(lambda connection: _keep(connection, who.account_id, signer.seen, found.seen))
    return found


def paired(found: Sequence[VerifiedUse]) -> Sequence[Use]:
    """Both sides' records of a use together, the newest use first."""
    together: dict[tuple[str, int], list[VerifiedUse]] = {}
    for each in found:
        together.setdefault((each.receipt.exchange_id, each.receipt.request_no), []).append(each)
    made = [
        Use(
            receipt=records[0].receipt,
            entries=tuple(each.log_index for each in records),
            both_sides=len({each.receipt.side for each in records}) > 1,
        )
        for records in together.values()
    ]
    return sorted(made, key=lambda use: use.receipt.time_ms, reverse=True)


async def _signer(portal: Portal, who: Principal) -> Signer:
    key = portal.ring.get(who.session_id)
    if key is None:
        raise KeyLocked
    before = await portal.db.read(lambda connection: _seen(connection, who.account_id))
    return Signer(uscc=who.institution, key=key, seen=before)


def _seen(connection: Connection, account_id: str) -> bytes:
    found = connection.execute(select(seen.c.document).where(seen.c.account_id == account_id)).scalar()
    return b"" if found is None else bytes(found)


def _keep(connection: Connection, account_id: str, before: bytes, after: bytes) -> None:
    if not before and not _seen(connection, account_id):
        connection.execute(insert(seen), {"account_id": account_id, "document": after})
        return
    own = (seen.c.account_id == account_id) & (seen.c.document == before)
    connection.execute(update(seen).where(own).values(document=after))
