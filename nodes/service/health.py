"""Whether scores can be had: asked at most once a second, whoever asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from nodes.errors import NodeError
from nodes.service.agent import Agent

FOR_S: Final = 1.0
PATIENCE_S: Final = 2.0


class Health:
    """Asks the agent for its models."""

    def __init__(self, agent: Agent, clock: Callable[[], float] = time.monotonic) -> None:
        self._agent = agent
        self._clock = clock
        self._until_s = 0.0
        self._there = False
        self._lock = asyncio.Lock()

    async def agent_answers(self) -> bool:
        """Whether it does."""
        async with self._lock:
            if self._clock() >= self._until_s:
                try:
                    await asyncio.wait_for(self._agent.models(fresh=True), PATIENCE_S)
                    self._there = True
                except (NodeError, TimeoutError):
                    self._there = False
                self._until_s = self._clock() + FOR_S
            return self._there
