"""The two lists: what they filter and sort by. They are short and the hub's, so they are cut and sorted here, not in the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from portal.consents.words import USES
from portal.forms import Field, Wrong
from portal.hub_link import ExchangeStatus, Operations
from portal.operations.figures import Node, NodeState, nodes_of
from portal.operations.words import EXCHANGE_STATES, NODE_STATES
from portal.parsers import optional, plain
from portal.text import Text
from portal.web.listing import Asked, Asking, Heading

Row = TypeVar("Row")
OPEN: Final = "open"
FOREVER_MS: Final = 1 << 62


def _among(allowed: Iterable[str]) -> Callable[[str], str | None]:
    known = frozenset(allowed)

    def parse(text: str) -> str:
        if text not in known:
            raise Wrong(Text("Choose from the list."))
        return text

    return optional(parse)


_MEMBER: Final = Field(name="member", label=Text("Member"), parse=plain, longest=60)
_NODE: Final = Field(name="node", label=Text("Node"), parse=plain, longest=60)

NODES: Final = Asking(
    path="/operations",
    filters=(
        _MEMBER,
        _NODE,
        Field(name="state", label=Text("State"), parse=_among(NODE_STATES), longest=20, kind="choice"),
    ),
    orders=(
        Heading(name="member", title=Text("Member")),
        Heading(name="node", title=Text("Node")),
        Heading(name="state", title=Text("State")),
        Heading(name="version", title=Text("Version")),
        Heading(name="certificate", title=Text("Certificate ends in")),
        Heading(name="lag", title=Text("Consents not confirmed")),
        Heading(name="checkpoint", title=Text("Last checkpoint")),
    ),
    first="state",
)
EXCHANGES: Final = Asking(
    path="/operations/exchanges",
    filters=(
        _MEMBER,
        _NODE,
        Field(name="state", label=Text("State"), parse=_among((OPEN, *EXCHANGE_STATES)), longest=20, kind="choice"),
        Field(name="mode", label=Text("What it does"), parse=_among(USES), longest=20, kind="choice"),
    ),
    orders=(
        Heading(name="opened", title=Text("Begun")),
        Heading(name="active", title=Text("Last moved")),
        Heading(name="state", title=Text("State")),
        Heading(name="progress", title=Text("Progress")),
    ),
    first="-active",
)
STATE_CHOICES: Final = {OPEN: Text("All that go on"), **EXCHANGE_STATES}
_NODE_KEYS: Final[Mapping[str, Callable[[Node], Any]]] = {
    "member": lambda node: node.member_name,
    "node": lambda node: node.node_id,
    "state": lambda node: list(NodeState).index(node.state),
    "version": lambda node: node.version,
    "certificate": lambda node: node.certificate_ms,
    "lag": lambda node: _or_forever(node.lag_ms),
    "checkpoint": lambda node: _or_forever(node.checkpoint_ms),
}
_EXCHANGE_KEYS: Final[Mapping[str, Callable[[ExchangeStatus], Any]]] = {
    "opened": lambda one: one.opened_ms,
    "active": lambda one: one.active_ms,
    "state": lambda one: list(EXCHANGE_STATES).index(one.state) if one.state in EXCHANGE_STATES else -1,
    "progress": lambda one: one.done / one.total if one.total else 0.0,
}


def nodes(found: Operations, asked: Asked) -> Sequence[Node]:
    """The nodes that a URL asks for."""
    wanted = asked.values
    rows = [
        node
        for node in nodes_of(found)
        if _has(wanted.get("member"), node.member_id, node.member_name)
        and _has(wanted.get("node"), node.node_id)
        and wanted.get("state") in {None, node.state.value}
    ]
    return _sorted(rows, asked, _NODE_KEYS, lambda node: (node.member_name, node.node_id))


def exchanges(found: Operations, asked: Asked) -> Sequence[ExchangeStatus]:
    """The exchanges that a URL asks for."""
    wanted = asked.values
    rows = [
        one
        for one in found.exchanges
        if _has(wanted.get("member"), one.requester, one.provider)
        and _has(wanted.get("node"), one.requester_node, one.provider_node)
        and wanted.get("state") in {None, one.state, None if one.ended_ms else OPEN}
        and wanted.get("mode") in {None, one.mode}
    ]
    return _sorted(rows, asked, _EXCHANGE_KEYS, lambda one: one.exchange_id)


def _sorted(
    rows: list[Row], asked: Asked, keys: Mapping[str, Callable[[Row], Any]], tie: Callable[[Row], Any]
) -> Sequence[Row]:
    return sorted(sorted(rows, key=tie), key=keys[asked.order], reverse=asked.descending)


def _has(text: str | None, *names: str) -> bool:
    return not text or any(text.casefold() in name.casefold() for name in names)


def _or_forever(ms: int | None) -> int:
    return FOREVER_MS if ms is None else ms
