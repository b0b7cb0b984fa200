"""The grantees' inboxes: which members get an entry of another member's consent log.

Rules:
1. Whoever an entry names gets it: the users of a consent (of the version before too, so that they hear that they were left
   out), the requester of a request and of its refusal, the users of a consent that ends. The provider has its own log.
2. A member's numbering has no gaps, so that a hub that leaves an entry out is found out at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select

from hub.consents.tables import grantee_entries
from hub.database import touch

_LAST: Final = select(func.max(grantee_entries.c.seq)).where(grantee_entries.c.member == bindparam("member"))
_AFTER: Final = (
    select(grantee_entries)
    .where(grantee_entries.c.member == bindparam("member"), grantee_entries.c.seq > bindparam("after"))
    .order_by(grantee_entries.c.seq)
    .limit(bindparam("limit"))
)
_INSERT: Final = insert(grantee_entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxEntry:
    """Where an entry of a member's inbox is to be found."""

    seq: int
    origin: str
    index: int


def topic(member_id: str) -> str:
    """The topic that is touched when a member's inbox grows."""
    return f"grantee:{member_id}"


def deliver(connection: Connection, origin: str, index: int, members: Iterable[str]) -> None:
    """Put an entry into members' inboxes. Only inside `Database.write`."""
    for member in sorted(set(members)):
        row = {"member": member, "seq": last_seq(connection, member) + 1, "origin": origin, "idx": index}
        connection.execute(_INSERT, row)
        touch(connection, topic(member))


def last_seq(connection: Connection, member: str) -> int:
    """The number of a member's newest entry; 0 before the first."""
    return connection.execute(_LAST, {"member": member}).scalar() or 0


def after(connection: Connection, member: str, seq: int, limit: int) -> list[InboxEntry]:
    """A member's entries after a number, in order."""
    rows = connection.execute(_AFTER, {"member": member, "after": seq, "limit": limit})
    return [InboxEntry(seq=row.seq, origin=row.origin, index=row.idx) for row in rows]
