"""A hub with two members, whose nodes and exchanges are as a test wants them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from portal.hub_link import ExchangeStatus, LogHead, MemberStatus, NodeStatus, Operations

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
ENTRIES = 40


def node(node_id: str, member_id: str, *, size: int = ENTRIES, age_ms: int = 1000, **changes: Any) -> NodeStatus:
    """A node that has confirmed `size` entries of its consent log by a checkpoint of that age."""
    heads = tuple(
        LogHead(origin=origin, size=size, time_ms=NOW_MS - age_ms) for origin in ("directory", f"consent/{member_id}")
    )
    found = NodeStatus(
        node_id=node_id,
        revoked=False,
        connected=True,
        version="1.0",
        certificate_ends_ms=NOW_MS + 25 * DAY_MS,
        acknowledged=heads,
    )
    return replace(found, **changes)


def exchange(exchange_id: str = "e" * 32, **changes: Any) -> ExchangeStatus:
    """An exchange of the bank with the tax office that moved a second ago."""
    found = ExchangeStatus(
        exchange_id=exchange_id,
        state="running",
        reason="",
        mode="joint",
        requester="firstbank",
        requester_node="bank-1",
        provider="taxoffice",
        provider_node="tax-1",
        product_id="tax-returns",
        done=30,
        total=120,
        unit="batches",
        opened_ms=NOW_MS - 60_000,
        active_ms=NOW_MS - 1000,
        ended_ms=0,
    )
    return replace(found, **changes)


def operations(*tax: NodeStatus, exchanges: tuple[ExchangeStatus, ...] = (), **changes: Any) -> Operations:
    """The tax office with these nodes, and a bank with one that is well."""
    members = (
        MemberStatus(
            member_id="firstbank", name="第一银行", suspended=False, nodes=(node("bank-1", "firstbank", version="2.7"),)
        ),
        MemberStatus(member_id="taxoffice", name="税务局", suspended=False, nodes=tax),
    )
    origins = ("consent/firstbank", "consent/taxoffice", "directory")
    logs = tuple(LogHead(origin=origin, size=ENTRIES, time_ms=NOW_MS - 1000) for origin in origins)
    found = Operations(time_ms=NOW_MS, version="1.0", logs=logs, members=members, exchanges=exchanges)
    return replace(found, **changes)
