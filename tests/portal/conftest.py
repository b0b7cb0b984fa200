from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portal.accounts import passwords
from tests.portal.world import CHEAP, World, running_portal


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    passwords._nobodys.cache_clear()
    async with running_portal(tmp_path) as found:
        yield found
