"""What a connected node must hear, in order, from where it stands: a function of one snapshot of the database.

Rules:
1. The directory comes first and complete: it holds the keys that everything after it is verified by. Then the member's own
   consent log, then entries of others that name the member, then exchanges, then the number of the newest document about a model
   of the member, which it fetches itself.
2. A checkpoint follows the entries that it covers and is sent only when the node has (or is being sent) all of them; none is
   sent twice.
3. An inbox entry travels with the newest checkpoint of its log and its path in it, and waits for one that covers it.
4. A node that claims to hold more than there is, is told so (LOG_INCONSISTENT): either side has lost something.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy import Connection

from hub.auth import Caller
from hub.consents import inbox
from hub.errors import HubError
from hub.exchanges import changes
from hub.exchanges.changes import Invited, Updated
from hub.logs import checkpoints
from hub.logs import service as logs
from hub.models import service as models

LEAVES_AT_ONCE: Final = 1000
INBOX_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Leaves of a log from an index on."""

    origin: str
    first_index: int
    leaves: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed checkpoint (encoded)."""

    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An entry of another member's log that names this one, with its proof."""

    seq: int
    origin: str
    index: int
    leaf: bytes
    checkpoint: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ModelsChanged:
    """There are documents of the registry about models of the member, up to this number."""

    seq: int


Item = Entries | Checkpoint | Received | Invited | Updated | ModelsChanged


@dataclass(frozen=True, kw_only=True)
class Cursor:
    """What a node has: sizes and newest checkpoint (size, time) of its logs, last inbox number, last exchange change.

    `models`: the number of the last document about a model that it was told of.
    """

    who: Caller
    sizes: Mapping[str, int]
    heads: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    grantee_seq: int
    change: int | None = None
    models: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What to send now, where the node stands then, and whether there is more at once."""

    items: tuple[Item, ...]
    cursor: Cursor
    more: bool


def start(who: Caller, positions: Iterable[tuple[str, int]], grantee_seq: int) -> Cursor:
    """A cursor from what a node says that it holds. Raises HubError PERMISSION_DENIED for a log that is not its own."""
    sizes = {logs.DIRECTORY: 0, logs.consent_origin(who.member_id): 0}
    for origin, size in positions:
        if origin not in sizes:
            raise HubError("PERMISSION_DENIED", f"log {origin[:100]!r} is not pushed to this node; leave it out")
        sizes[origin] = size
    return Cursor(who=who, sizes=sizes, grantee_seq=grantee_seq)


def topics(who: Caller) -> frozenset[str]:
    """The topics on which there may be something new for a node."""
    own = logs.consent_origin(who.member_id)
    pushed = (logs.DIRECTORY, own)
    return frozenset(
        {
            *pushed,
            *map(checkpoints.checkpoint_topic, pushed),
            inbox.topic(who.member_id),
            changes.node_topic(who.node_id),
            models.topic(who.member_id),
        }
    )


def due(connection: Connection, cursor: Cursor, now_ms: int) -> Due:
    """What the node must hear now. Raises HubError LOG_INCONSISTENT (rule 4)."""
    items: list[Item] = []
    for origin in cursor.sizes:
        sent, cursor = _log(connection, cursor, origin)
        items += sent
        if cursor.sizes[origin] < logs.size(connection, origin):
            return Due(items=tuple(items), cursor=cursor, more=True)
    received, cursor = _inbox(connection, cursor)
    if len(received) == INBOX_AT_ONCE:
        return Due(items=(*items, *received), cursor=cursor, more=True)
    exchanges, change = changes.for_node(connection, cursor.who.node_id, cursor.change, now_ms)
    more = change < changes.last_number(connection)
    newest = models.newest_for(connection, cursor.who.member_id)
    changed = (ModelsChanged(newest),) if newest != cursor.models else ()
    cursor = replace(cursor, change=change, models=newest)
    return Due(items=(*items, *received, *exchanges, *changed), cursor=cursor, more=more)


def _log(connection: Connection, cursor: Cursor, origin: str) -> tuple[list[Item], Cursor]:
    held = cursor.sizes[origin]
    size = logs.size(connection, origin)
    if held > size:
        raise HubError(
            "LOG_INCONSISTENT", f"the node holds {held} entries of {origin}, the hub has {size}; stop and look at both"
        )
    items: list[Item] = []
    if held < size:
        leaves = logs.read_leaves(connection, origin, held, LEAVES_AT_ONCE)
        items.append(Entries(origin=origin, first_index=held, leaves=tuple(leaves)))
        held += len(leaves)
        cursor = replace(cursor, sizes={**cursor.sizes, origin: held})
    newest = _newest_checkpoint(connection, origin)
    if newest is not None and newest[0] != cursor.heads.get(origin) and newest[0][0] <= held:
        items.append(Checkpoint(newest[1]))
        cursor = replace(cursor, heads={**cursor.heads, origin: newest[0]})
    return items, cursor


def _inbox(connection: Connection, cursor: Cursor) -> tuple[list[Received], Cursor]:
    member_id, seq = cursor.who.member_id, cursor.grantee_seq
    waiting = inbox.after(connection, member_id, seq, INBOX_AT_ONCE)
    if not waiting and seq > inbox.last_seq(connection, member_id):
        raise HubError("LOG_INCONSISTENT", f"the node holds more inbox entries than the hub has ({seq}); look at both")
    heads: dict[str, tuple[tuple[int, int], bytes] | None] = {}
    received: list[Received] = []
    for entry in waiting:
        if entry.origin not in heads:
            heads[entry.origin] = _newest_checkpoint(connection, entry.origin)
        head = heads[entry.origin]
        if head is None or head[0][0] <= entry.index:
            break
        received.append(
            Received(
                seq=entry.seq,
                origin=entry.origin,
                index=entry.index,
                leaf=logs.read_leaf(connection, entry.origin, entry.index),
                checkpoint=head[1],
                path=logs.inclusion_proof(connection, entry.origin, entry.index, head[0][0]),
            )
        )
        seq = entry.seq
    return received, replace(cursor, grantee_seq=seq)


def _newest_checkpoint(connection: Connection, origin: str) -> tuple[tuple[int, int], bytes] | None:
    """The newest checkpoint with our signature alone: the node adds its own to it."""
    found = checkpoints.newest_stored(connection, origin)
    return None if found is None else ((found.size, found.time_ms), found.document)
