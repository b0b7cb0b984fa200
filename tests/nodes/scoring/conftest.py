"""Two parties with their own databases, as in the exchanges, and the process of scoring of whoever asks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from nodes.scoring.computer import Computer
from tests.nodes.exchanges.conftest import parties

__all__ = ["parties"]


@pytest_asyncio.fixture
async def computer() -> AsyncIterator[Computer]:
    made = Computer()
    yield made
    await made.close()
