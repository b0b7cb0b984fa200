"""What an operator reads of a node, reckoned from what the hub tells (pure).

1. A node cosigns each checkpoint of the directory and of its member's consent log; what it has cosigned it has, proved.
2. Lag of consents: the time since the checkpoint that the node has, while the log has entries beyond it. What was granted or withdrawn
   since then it may not know; it is an upper bound.
3. A checkpoint is old by the older one of the two logs. A provider refuses to give data by a checkpoint that is too old.
4. The hub forgets cosignatures after ten minutes: unknown (None) means longer than that, or never.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from portal.hub_link import MemberStatus, NodeStatus, Operations

DIRECTORY: Final = "directory"


class NodeState(StrEnum):
    """Whether a node is there. `cut_off`: it was revoked, or its member suspended."""

    AWAY = "away"
    UP = "up"
    CUT_OFF = "cut_off"


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node's figures. Durations in milliseconds, None for unknown (rule 4); `certificate_ms` is what is left, 0 for none.

    `behind`: entries of the consent log that it has not acknowledged. `silent_ms`: since the newest checkpoint of any log.
    """

    node_id: str
    member_id: str
    member_name: str
    state: NodeState
    version: str
    certificate_ms: int
    behind: int | None
    lag_ms: int | None
    checkpoint_ms: int | None
    silent_ms: int | None


def consent_log(member_id: str) -> str:
    """The name of a member's consent log."""
    return f"consent/{member_id}"


def nodes_of(found: Operations) -> Sequence[Node]:
    """Every node of every member."""
    return [_node(found, member, node) for member in found.members for node in member.nodes]


def _node(found: Operations, member: MemberStatus, node: NodeStatus) -> Node:
    sizes = {log.origin: log.size for log in found.logs}
    has = {head.origin: head for head in node.acknowledged}
    own, directory = has.get(consent_log(member.member_id)), has.get(DIRECTORY)
    behind = lag_ms = checkpoint_ms = None
    if own is not None:
        behind = max(0, sizes.get(own.origin, 0) - own.size)
        lag_ms = max(0, found.time_ms - own.time_ms) if behind else 0
    if own is not None and directory is not None:
        checkpoint_ms = max(0, found.time_ms - min(own.time_ms, directory.time_ms))
    newest_ms = max((head.time_ms for head in node.acknowledged), default=None)
    return Node(
        node_id=node.node_id,
        member_id=member.member_id,
        member_name=member.name,
        state=_state(member, node),
        version=node.version,
        certificate_ms=max(0, node.certificate_ends_ms - found.time_ms),
        behind=behind,
        lag_ms=lag_ms,
        checkpoint_ms=checkpoint_ms,
        silent_ms=None if newest_ms is None else max(0, found.time_ms - newest_ms),
    )


def _state(member: MemberStatus, node: NodeStatus) -> NodeState:
    if node.revoked or member.suspended:
        return NodeState.CUT_OFF
    return NodeState.UP if node.connected else NodeState.AWAY
