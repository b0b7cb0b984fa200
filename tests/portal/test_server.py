"""What the portal's process does besides answering."""

from __future__ import annotations

import asyncio

import pytest

from portal.server import every


async def test_a_chore_that_fails_is_tried_again_and_tells_its_kind_only(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []
    enough = asyncio.Event()

    async def chore() -> None:
        done.append(1)
        if len(done) == 1:
            raise ZeroDivisionError("a value that nobody may see")
        enough.set()

    task = asyncio.create_task(every(0, chore))
    await asyncio.wait_for(enough.wait(), 5)
    task.cancel()
    records = str([record.__dict__ for record in caplog.records])
    assert "ZeroDivisionError" in records and "nobody may see" not in records
