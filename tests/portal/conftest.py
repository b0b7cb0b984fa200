from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portal.accounts import passwords
from portal.statistics import alert_pages
from tests.portal.world import CHEAP, World, running_portal


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    passwords._nobodys.cache_clear()
    monkeypatch.setattr(alert_pages, "LIVE_WAIT_S", 0.001)  # streams end, so that a client that reads them whole does
    monkeypatch.setattr(alert_pages, "LIVE_TIMES", 3)
    async with running_portal(tmp_path) as found:
        yield found
