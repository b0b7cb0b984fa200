"""Changes of exchanges, numbered for the push streams: what each of the two nodes has to hear, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, func, or_, select

from hub.database import touch
from hub.exchanges.states import FINAL, State
from hub.exchanges.tables import exchanges

# A node that comes back hears of what ended while it was away, this far back.
ENDED_BEFORE_MS: Final = 600_000
PAGE: Final = 500
_LAST: Final = select(func.max(exchanges.c.change))
_OWN: Final = (
    select(exchanges)
    .where(or_(exchanges.c.requester_node == bindparam("node"), exchanges.c.provider_node == bindparam("node")))
    .order_by(exchanges.c.change)
    .limit(PAGE)
)
_OWN_AFTER: Final = _OWN.where(exchanges.c.change > bindparam("after"))
_OWN_RECENT: Final = _OWN.where(
    or_(exchanges.c.state.not_in(sorted(FINAL)), exchanges.c.ended_ms > bindparam("ended_after_ms"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invited:
    """The node is asked to join; both documents encoded."""

    request: bytes
    ticket: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """An exchange of the node changed its state."""

    exchange_id: str
    state: str
    reason: str


def node_topic(node_id: str) -> str:
    """The topic that is touched when an exchange of this node changes."""
    return f"node:{node_id}"


def exchange_topic(exchange_id: str) -> str:
    """The topic that is touched when an exchange changes."""
    return f"exchange:{exchange_id}"


def announce(connection: Connection, exchange_id: str, *node_ids: str) -> None:
    """Wake whoever follows this exchange, after the commit."""
    touch(connection, exchange_topic(exchange_id))
    for node_id in node_ids:
        touch(connection, node_topic(node_id))


def next_number(connection: Connection) -> int:
    """The number of the change that is being made. Writers come one after the other, so numbers follow the commits."""
    return last_number(connection) + 1


def last_number(connection: Connection) -> int:
    """The number of the newest change; 0 before the first."""
    return connection.execute(_LAST).scalar() or 0


def for_node(
    connection: Connection, node_id: str, after: int | None, now_ms: int
) -> tuple[list[Invited | Updated], int]:
    """What the node has to hear after a change number, and the number to continue from.

    None: it has just subscribed and hears of every exchange that is open, or ended in the last ten minutes.
    """
    if after is None:
        rows = connection.execute(_OWN_RECENT, {"node": node_id, "ended_after_ms": now_ms - ENDED_BEFORE_MS}).all()
    else:
        rows = connection.execute(_OWN_AFTER, {"node": node_id, "after": after}).all()
    heard: list[Invited | Updated] = []
    for row in rows:
        if row.provider_node == node_id and not State(row.state).final:
            # Also of what it joined before: it may have been restarted, or the requester goes on with a new ticket.
            heard.append(Invited(request=bytes(row.request), ticket=bytes(row.ticket)))
            if row.state in {State.OPENED, State.WAITING_APPROVAL}:
                continue
        heard.append(Updated(exchange_id=row.exchange_id, state=row.state, reason=row.reason))
    if len(rows) == PAGE:
        return heard, rows[-1].change
    return heard, last_number(connection)
