"""Waiting until the provider's connected nodes have seen an entry: their cosignature on a checkpoint that covers it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from hub.consents.record import Recorded
from hub.logs import checkpoints
from hub.push.wakeups import Watch
from hub.state import Hub

MAX_WAIT_MS: Final = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A node's cosigned checkpoint (encoded) and how long after the entry became durable it was known here."""

    node_id: str
    after_ms: int
    checkpoint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgements:
    """Who has seen the entry, and which connected nodes of the provider have not yet."""

    seen: tuple[Acknowledged, ...]
    pending: tuple[str, ...]


async def wait_for(hub: Hub, recorded: Recorded, watch: Watch, wait_ms: int) -> Acknowledgements:
    """Wait at most `wait_ms` (5,000 at most) for every connected node of the provider.

    `watch` was registered for `checkpoints.cosigned_topic` of the log before the entry was written.
    """
    loop = asyncio.get_running_loop()
    durable_s = loop.time()
    seen: dict[str, Acknowledged] = {}
    while True:
        after_ms = max(0, round((loop.time() - durable_s) * 1000))
        witnesses = await hub.db.read(lambda read: checkpoints.witnesses(read, recorded.origin, recorded.log_index + 1))
        for witness in witnesses:
            new = Acknowledged(node_id=witness.node_id, after_ms=after_ms, checkpoint=witness.document.encode())
            seen.setdefault(witness.node_id, new)
        pending = tuple(node_id for node_id in _connected(hub, recorded.provider) if node_id not in seen)
        left_s = durable_s + min(wait_ms, MAX_WAIT_MS) / 1000 - loop.time()
        if not pending or left_s <= 0:
            return Acknowledgements(seen=tuple(seen[node_id] for node_id in sorted(seen)), pending=pending)
        try:
            async with asyncio.timeout(left_s):
                await watch.wait()
        except TimeoutError:
            continue


def _connected(hub: Hub, provider: str) -> list[str]:
    own = {node.node_id for node in hub.directory.current.nodes_of(provider)}
    return [node_id for node_id in hub.sessions.connected() if node_id in own]
