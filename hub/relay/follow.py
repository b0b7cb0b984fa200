"""Ends on the relay what has ended in the database, whoever ended it: a node, the expiry, a revocation, another process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Final

from hub.errors import HubError
from hub.exchanges import service
from hub.exchanges.changes import exchange_topic
from hub.notices import EVERYTHING
from hub.relay.switch import Switch
from hub.state import Hub

log = logging.getLogger(__name__)
_PREFIX: Final = exchange_topic("")


class RelayFollower:
    """Bridges the switch and the exchanges of a hub. Belongs to the event loop's thread."""

    def __init__(self, hub: Hub, switch: Switch) -> None:
        """Follow this hub's exchanges for this switch."""
        self._hub = hub
        self._switch = switch
        self._tasks: set[asyncio.Task[None]] = set()

    def hear(self, topics: frozenset[str]) -> None:
        """A listener of `Database.subscribe`: look at the attached exchanges that changed."""
        attached = self._switch.exchanges()
        if EVERYTHING not in topics:
            attached &= {topic.removeprefix(_PREFIX) for topic in topics if topic.startswith(_PREFIX)}
        if attached:
            self._run(self._end_if_over(attached))

    def paired(self, exchange_id: str) -> None:
        """Both ends have met: the exchange is running."""
        self._run(self._mark_running(exchange_id))

    def cut_off(self, node_id: str, error: HubError) -> None:
        """A node was cut off: its attachments end at once, and its exchanges fail."""
        self._switch.end_node(node_id, error)
        self._run(self._fail(node_id, f"PEER_FAILED: a node of the exchange was cut off ({error.code})"))

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._recorded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _recorded(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except HubError as problem:  # the database is away: the expiry ends the exchange later
            log.warning("the relay could not follow", extra={"event": "relay_follow", "code": problem.code})

    async def _end_if_over(self, exchange_ids: frozenset[str]) -> None:
        for exchange in await self._hub.db.read(lambda read: service.ended_among(read, exchange_ids)):
            self._switch.end_exchange(exchange.exchange_id, service.ended_error(exchange))

    async def _mark_running(self, exchange_id: str) -> None:
        await self._hub.db.write(lambda write: service.mark_running(self._hub, write, exchange_id))

    async def _fail(self, node_id: str, reason: str) -> None:
        await self._hub.db.write(lambda write: service.fail_of_node(self._hub, write, node_id, reason))
