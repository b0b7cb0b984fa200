"""Keeps every log's checkpoint fresh: a node that hears none for a minute refuses consented uses.

A head of the directory is signed only if the stored log is what this hub verified (`LiveDirectory.signable`): whoever can
write to the database but has not the hub's key must not get entries under its signature. Nodes then refuse by themselves.
"""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy import Connection

from hub.errors import HubError
from hub.logs import checkpoints, service
from hub.state import Hub

log = logging.getLogger(__name__)


class CheckpointClock:
    """A task that signs a checkpoint of every log each `settings.checkpoint_interval_s`."""

    def __init__(self, hub: Hub) -> None:
        """Prepare; `run` does the work until it is cancelled."""
        self._hub = hub

    async def run(self) -> None:
        """Refresh until cancelled; a failure (a full disk) is logged and tried again at the next turn."""
        interval_s = self._hub.settings.checkpoint_interval_s
        while True:
            try:
                await self.tick()
            except HubError as problem:
                log.warning("checkpoints were not refreshed", extra={"event": "checkpoints", "code": problem.code})
            await asyncio.sleep(interval_s)

    async def tick(self) -> None:
        """Refresh every log's checkpoint now; one that another process signed half an interval ago will do."""
        now_ms = self._hub.clock()
        half_ms = int(self._hub.settings.checkpoint_interval_s * 500)

        def refresh(connection: Connection) -> None:
            for origin in service.origins(connection):
                if origin == service.DIRECTORY and not self._hub.directory.signable(connection):
                    log.error("the stored directory was altered: no head of it is signed", extra={"event": "directory"})
                    continue
                checkpoints.refresh(connection, origin, self._hub.keys.log_key, now_ms=now_ms, max_age_ms=half_ms)

        await self._hub.db.write(refresh)
