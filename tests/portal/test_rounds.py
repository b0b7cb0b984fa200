from __future__ import annotations

import asyncio
import logging

import pytest

from portal import rounds
from portal.rounds import Round
from portal.state import Portal
from tests.portal.world import World


async def test_a_round_that_fails_is_told_without_its_text_and_stops_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    made: list[str] = []

    async def fails(_portal: Portal) -> None:
        made.append("fails")
        raise RuntimeError("王小明")

    async def works(_portal: Portal) -> None:
        made.append("works")

    both = [Round(name="fails", every_s=0.01, act=fails), Round(name="works", every_s=0.01, act=works)]
    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(rounds.run(world.portal, both))
        while min(made.count("fails"), made.count("works")) < 3:
            await asyncio.sleep(0.01)
        await rounds.stop(task)
    assert task.done()
    assert caplog.records[0].__dict__["round"] == "fails" and caplog.records[0].__dict__["failure"] == "RuntimeError"
    assert "王小明" not in caplog.text


def test_every_act_of_the_clock_is_made() -> None:
    assert {one.name for one in rounds.ROUNDS} >= {"applications", "mail"}
