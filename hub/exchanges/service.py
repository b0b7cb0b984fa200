"""Exchanges after they were opened: answer, progress, end, resume, and the expiry of what was abandoned.

Rules:
1. Only the two nodes of an exchange see it or change it; to anybody else it does not exist (NOT_FOUND).
2. Every change of state is a step of the table in `states`; the same step again changes nothing.
3. What nobody uses is ended: an exchange past its own end at once, one without a connected end after the idle time of the
   settings. One that waits for an operator may wait until its own end.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, func, or_, select, update

from consent.usage import parse_exchange_request
from hub.errors import HubError
from hub.exchanges import changes
from hub.exchanges.opening import Opened
from hub.exchanges.states import ANSWERS, FINAL, State, check_step
from hub.exchanges.tables import exchanges
from hub.exchanges.tickets import make_ticket
from hub.state import Hub
from trust.document import SignedDocument

MAX_LISTED: Final = 200
MAX_REASON: Final = 500
EXPIRED_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An exchange as its nodes may see it. Times in milliseconds since the epoch, 0 for not yet."""

    exchange_id: str
    state: State
    reason: str
    mode: str
    requester: str
    requester_node: str
    provider: str
    provider_node: str
    product_id: str
    done: int
    total: int
    unit: str
    opened_ms: int
    active_ms: int
    ended_ms: int


def get(connection: Connection, exchange_id: str, node_id: str) -> Exchange:
    """One exchange, for one of its nodes. Raises HubError NOT_FOUND."""
    return _exchange(_row(connection, exchange_id, node_id))


def listed(connection: Connection, node_id: str) -> list[Exchange]:
    """A node's exchanges, newest first."""
    own = or_(exchanges.c.requester_node == node_id, exchanges.c.provider_node == node_id)
    rows = connection.execute(select(exchanges).where(own).order_by(exchanges.c.opened_ms.desc()).limit(MAX_LISTED))
    return [_exchange(row) for row in rows]


def overview(connection: Connection, node_ids: Collection[str] | None = None) -> list[Exchange]:
    """For operators: what has not ended, and what changed last, of these nodes or of all; the newest change first.

    At most MAX_LISTED of each.
    """
    wanted = select(exchanges).order_by(exchanges.c.change.desc()).limit(MAX_LISTED)
    if node_ids is not None:
        own = sorted(node_ids)
        wanted = wanted.where(or_(exchanges.c.requester_node.in_(own), exchanges.c.provider_node.in_(own)))
    still_open = wanted.where(exchanges.c.state.in_(sorted(set(State) - FINAL)))
    found = {row.change: row for each in (still_open, wanted) for row in connection.execute(each)}
    return [_exchange(found[change]) for change in sorted(found, reverse=True)]


def answer(hub: Hub, connection: Connection, exchange_id: str, node_id: str, answered: str, reason: str) -> Exchange:
    """The provider's answer. Raises HubError NOT_FOUND, INVALID_ARGUMENT, EXCHANGE_ENDED, WRONG_STATE."""
    row = _row(connection, exchange_id, node_id)
    if row.provider_node != node_id:
        raise HubError("PERMISSION_DENIED", "only the provider's node answers an invitation; wait for it")
    following = ANSWERS.get(answered)
    if following is None:
        raise HubError("INVALID_ARGUMENT", f"{answered[:40]!r} is no answer; send one of {', '.join(ANSWERS)}")
    present = State(row.state)
    if present is following or (following is State.JOINED and present is State.RUNNING):
        return _exchange(row)
    return _step(hub, connection, row, following, reason)


def progress(
    hub: Hub, connection: Connection, exchange_id: str, node_id: str, *, done: int, total: int, unit: str
) -> Exchange:
    """Note how far it is; counters only. Raises HubError NOT_FOUND, EXCHANGE_ENDED."""
    row = _row(connection, exchange_id, node_id)
    if State(row.state).final:
        raise ended_error(_exchange(row))
    values = {"done": done, "total": total, "unit": unit[:20], "active_ms": hub.clock()}
    connection.execute(update(exchanges).where(exchanges.c.exchange_id == exchange_id).values(**values))
    return get(connection, exchange_id, node_id)


def end(hub: Hub, connection: Connection, exchange_id: str, node_id: str, state: str, reason: str) -> Exchange:
    """Either side ends it. Raises HubError NOT_FOUND, INVALID_ARGUMENT, EXCHANGE_ENDED, WRONG_STATE."""
    row = _row(connection, exchange_id, node_id)
    if state not in FINAL:
        raise HubError("INVALID_ARGUMENT", f"{state[:40]!r} is no end; send finished, failed or cancelled")
    if row.state == state:
        return _exchange(row)
    return _step(hub, connection, row, State(state), reason)


def mark_running(hub: Hub, connection: Connection, exchange_id: str) -> None:
    """Both ends have met on the relay; an exchange that was joined is running now."""
    row = connection.execute(select(exchanges).where(exchanges.c.exchange_id == exchange_id)).first()
    if row is not None and row.state == State.JOINED:
        _step(hub, connection, row, State.RUNNING, "")


def resume(hub: Hub, connection: Connection, exchange_id: str, node_id: str) -> Opened:
    """A fresh ticket; from now on this hub's relay carries it. Raises HubError NOT_FOUND, EXCHANGE_ENDED."""
    row = _row(connection, exchange_id, node_id)
    if State(row.state).final:
        raise ended_error(_exchange(row))
    document = SignedDocument.decode(bytes(row.request))
    ticket = make_ticket(
        parse_exchange_request(document.payload),
        document.payload,
        provider_node=row.provider_node,
        relay_address=hub.settings.node_address,
        now_ms=hub.clock(),
        key=hub.keys.log_key,
    ).encode()
    values = {"ticket": ticket, "relay_address": hub.settings.node_address, "active_ms": hub.clock()}
    if node_id == row.requester_node:  # the provider is asked again: it may have given up meanwhile
        values["change"] = changes.next_number(connection)
        changes.announce(connection, exchange_id, row.provider_node)
    connection.execute(update(exchanges).where(exchanges.c.exchange_id == exchange_id).values(**values))
    return Opened(exchange_id=exchange_id, ticket=ticket)


def expire(hub: Hub, connection: Connection, attached: Collection[str]) -> list[str]:
    """End what is past its end or abandoned (rule 3); `attached` are the exchanges with an end on this relay.

    Returns the identifiers of those that were ended.
    """
    now_ms = hub.clock()
    idle_before = now_ms - int(hub.settings.exchange_idle_s * 1000)
    abandoned = (
        (exchanges.c.active_ms < idle_before)
        & (exchanges.c.state != State.WAITING_APPROVAL)
        & (exchanges.c.relay_address == hub.settings.node_address)
        & exchanges.c.exchange_id.not_in(sorted(attached))
    )
    due = select(exchanges).where(
        exchanges.c.state.not_in(sorted(FINAL)), or_(exchanges.c.expires_ms <= now_ms, abandoned)
    )
    ended = []
    for row in connection.execute(due.limit(EXPIRED_AT_ONCE)).all():
        if row.expires_ms <= now_ms:
            reason = "EXCHANGE_ENDED: the time that the requester gave the exchange is over"
        else:
            reason = "PEER_OFFLINE: nobody used the exchange for too long"
        _step(hub, connection, row, State.FAILED, reason)
        ended.append(row.exchange_id)
    return ended


def fail_of_node(hub: Hub, connection: Connection, node_id: str, reason: str) -> list[str]:
    """End every open exchange of a node that was cut off; returns their identifiers."""
    own = or_(exchanges.c.requester_node == node_id, exchanges.c.provider_node == node_id)
    rows = connection.execute(select(exchanges).where(own, exchanges.c.state.not_in(sorted(FINAL)))).all()
    for row in rows:
        _step(hub, connection, row, State.FAILED, reason)
    return [row.exchange_id for row in rows]


def ended_among(connection: Connection, exchange_ids: Collection[str]) -> list[Exchange]:
    """Those of these exchanges that have ended."""
    wanted = select(exchanges).where(exchanges.c.exchange_id.in_(sorted(exchange_ids)))
    found = (_exchange(row) for row in connection.execute(wanted))
    return [exchange for exchange in found if exchange.state.final]


def count_open(connection: Connection) -> int:
    """How many exchanges have not ended."""
    wanted = select(func.count()).select_from(exchanges).where(exchanges.c.state.not_in(sorted(FINAL)))
    return connection.execute(wanted).scalar() or 0


def ended_error(exchange: Exchange) -> HubError:
    """The answer to whoever wants to go on with an exchange that is over."""
    detail = f" ({exchange.reason})" if exchange.reason else ""
    return HubError("EXCHANGE_ENDED", f"the exchange is {exchange.state}{detail}; open a new one")


def _step(hub: Hub, connection: Connection, row: Row[*tuple[Any, ...]], following: State, reason: str) -> Exchange:
    check_step(State(row.state), following)
    now_ms = hub.clock()
    values = {
        "state": following,
        "reason": reason[:MAX_REASON],
        "change": changes.next_number(connection),
        "active_ms": now_ms,
        "ended_ms": now_ms if following.final else 0,
    }
    connection.execute(update(exchanges).where(exchanges.c.exchange_id == row.exchange_id).values(**values))
    changes.announce(connection, row.exchange_id, row.requester_node, row.provider_node)
    return get(connection, row.exchange_id, row.requester_node)


def _row(connection: Connection, exchange_id: str, node_id: str) -> Row[*tuple[Any, ...]]:
    row = connection.execute(select(exchanges).where(exchanges.c.exchange_id == exchange_id)).first()
    if row is None or node_id not in {row.requester_node, row.provider_node}:
        raise HubError("NOT_FOUND", "there is no such exchange of this node; check its identifier")
    return row


def _exchange(row: Row[*tuple[Any, ...]]) -> Exchange:
    names = Exchange.__dataclass_fields__
    values = {name: getattr(row, name) for name in names}
    values["state"] = State(row.state)
    return Exchange(**values)
