"""The monitor's figures as the doors ask for them: built once, and given again for a while to whoever asks for the same window."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from nodes.errors import NodeError
from nodes.service.agent import Agent
from nodes.service.models import ServedModel
from nodes.service.monitor.build import monitor_report
from nodes.service.monitor.document import MonitorReport
from nodes.service.records import Records
from nodes.service.roles import Roles

FOR_S: Final = 60.0


class Watch:
    """See the module. `clock`: milliseconds since the epoch; `for_s`: how long a report is given again."""

    def __init__(
        self, records: Records, roles: Roles, agent: Agent, clock: Callable[[], int], *, for_s: float = FOR_S
    ) -> None:
        self._records = records
        self._roles = roles
        self._agent = agent
        self._clock = clock
        self._for_s = for_s
        self._lock = asyncio.Lock()
        self._kept: dict[int, tuple[float, MonitorReport]] = {}

    async def report(self, days: int) -> MonitorReport:
        """Of the last `days`. While the agent is away the models have no names."""
        async with self._lock:
            now_s = time.monotonic()
            self._kept = {each: kept for each, kept in self._kept.items() if kept[0] > now_s}
            if days not in self._kept:
                found = await monitor_report(self._records, self._roles, await self._models(), self._clock, days=days)
                self._kept[days] = (time.monotonic() + self._for_s, found)
            return self._kept[days][1]

    async def _models(self) -> Sequence[ServedModel]:
        try:
            return await self._agent.models()
        except NodeError:
            return ()
