"""How the hub is asked in an enterprise's name: by the key that its session holds, against what was seen before.

Where two pages ask at once, what the first one saw is kept.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from portal.consents.tables import seen
from portal.hub_link import Author, Signer
from portal.principal import Principal
from portal.state import Portal


class KeyLocked(Exception):
    """The session has no open key; the password opens it."""


async def signer(portal: Portal, who: Principal) -> Signer:
    """Whoever asks, with the open key. Raises KeyLocked."""
    key = portal.ring.get(who.session_id)
    if key is None:
        raise KeyLocked
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
