"""Two parties with their own databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from nodes.store import Store
from tests.nodes.exchanges.parties import Parties


@pytest_asyncio.fixture
async def parties(tmp_path: Path) -> AsyncIterator[Parties]:
    provider, bank = Store.open(tmp_path / "provider.db"), Store.open(tmp_path / "bank.db")
    yield Parties(provider_store=provider, bank_store=bank, home=tmp_path)
    await provider.close()
    await bank.close()
