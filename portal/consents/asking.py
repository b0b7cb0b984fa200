"""How the hub is asked in an enterprise's name, against what was seen before.

By the key that its session holds; or, where the key is kept outside, by questions that were signed there (`portal.consents.outside`),
whose answers the session holds. Where two pages ask at once, what the first one saw is kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, TypeVar, cast

from sqlalchemy import Connection, insert, select, update

from consent.documents import ConsentRequest
from portal.accounts.keys import kept_outside
from portal.consents import telling
from portal.consents.tables import seen
from portal.hub_link import Asker, Author, Signer, Standing, Verified
from portal.principal import Principal
from portal.state import Portal

CONSENTS: Final = "list-consents"
REQUESTS: Final = "list-consent-requests"
USES: Final = "list-uses"
QUESTIONS: Final = (CONSENTS, REQUESTS, USES)
A = TypeVar("A")


class KeyLocked(Exception):
    """The session has no open key; the password opens it."""


class KeyOutside(Exception):
    """The enterprise keeps its key itself: what is to be done next is signed there."""


async def consents(portal: Portal, who: Principal) -> Sequence[Standing]:
    """All consents, those that stand first. Raises KeyLocked, KeyOutside, PortalError."""
    found = await _ask(portal, who, CONSENTS, portal.link.consents)
    await telling.saw_consents(portal, who, found)
    return found


async def requests(portal: Portal, who: Principal) -> Sequence[ConsentRequest]:
    """What banks ask for, that waits for an answer. Raises KeyLocked, KeyOutside, PortalError."""
    found = await _ask(portal, who, REQUESTS, portal.link.requests)
    await telling.saw_requests(portal, who, found)
    return found


async def uses(portal: Portal, who: Principal) -> Verified:
    """Every recorded use, verified. Raises KeyLocked, KeyOutside, PortalError UNVERIFIED."""
    held = portal.ring.answered(who.session_id, USES)
    if held is not None:
        return await _saw_uses(portal, who, cast(Verified, held))
    asker = await signer(portal, who)
    found = await asyncio.to_thread(portal.link.uses, asker)
    if found.seen != asker.seen:
        await portal.db.write(lambda connection: keep(connection, who.account_id, asker.seen, found.seen))
    return await _saw_uses(portal, who, found)


async def signer(portal: Portal, who: Principal) -> Signer:
    """Whoever signs, with the open key. Raises KeyLocked, KeyOutside."""
    key = portal.ring.get(who.session_id)
    if key is None:
        raise KeyOutside if await kept_outside(portal, who) else KeyLocked
    before = await portal.db.read(lambda connection: seen_of(connection, who.account_id))
    return Signer(uscc=who.institution, key=key, seen=before)


def author(one: Signer) -> Author:
    """The same as the author of a document that is signed already."""
    return Author(uscc=one.uscc, key=one.key.public, seen=one.seen)


def seen_of(connection: Connection, account_id: str) -> bytes:
    """What the account saw of the hub, empty at first."""
    found = connection.execute(select(seen.c.document).where(seen.c.account_id == account_id)).scalar()
    return b"" if found is None else bytes(found)


def keep(connection: Connection, account_id: str, before: bytes, after: bytes) -> None:
    """Keep what was seen, unless another page did so meanwhile. Only inside `Database.write`."""
    if before == after:
        return
    if not before and not seen_of(connection, account_id):
        connection.execute(insert(seen), {"account_id": account_id, "document": after})
        return
    own = (seen.c.account_id == account_id) & (seen.c.document == before)
    connection.execute(update(seen).where(own).values(document=after))


async def _saw_uses(portal: Portal, who: Principal, found: Verified) -> Verified:
    await telling.saw_uses(portal, who, found.uses)
    return found


async def _ask(portal: Portal, who: Principal, question: str, call: Callable[[Asker], A]) -> A:
    held = portal.ring.answered(who.session_id, question)
    if held is not None:
        return cast(A, held)
    return await asyncio.to_thread(call, await signer(portal, who))
