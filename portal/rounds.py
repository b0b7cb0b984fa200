"""What the portal's process does by itself, beside answering requests: a table of acts and how often.

A round that fails is told in the log and tried again at its next time; it stops no other. Two portal processes on one database may
make the same round: every act takes its work in a transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from portal.applications import clock
from portal.consents import service as consents
from portal.consents import telling
from portal.credit import clock as credit
from portal.mail import sender
from portal.registration import checks
from portal.state import Portal
from portal.statistics import alerts
from portal.statistics import clock as statistics
from portal.web.visits import places

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Round:
    """One act and the seconds between its times."""

    name: str
    every_s: float
    act: Callable[[Portal], Awaitable[object]]


ROUNDS: Final = (
    Round(name="applications", every_s=60, act=clock.tick),
    Round(name="credit", every_s=600, act=credit.tick),
    Round(name="statistics", every_s=600, act=statistics.tick),
    Round(name="alerts", every_s=300, act=alerts.tick),
    Round(name="registration checks", every_s=5, act=checks.ask_due),
    Round(name="consents that end", every_s=3600, act=telling.tell_ends),
    Round(name="withdrawals", every_s=60, act=consents.watch_withdrawals),
    Round(name="mail", every_s=5, act=sender.send_due),
)


async def run(portal: Portal, rounds: Sequence[Round] = ROUNDS) -> None:
    """Make all rounds until cancelled."""
    async with asyncio.TaskGroup() as group:
        for each in rounds:
            group.create_task(_repeat(portal, each))


async def _repeat(portal: Portal, one: Round) -> None:
    while True:
        try:
            await one.act(portal)
        except Exception as error:  # whatever it is: the next time comes
            log.error(
                "round failed", extra={"round": one.name, "failure": type(error).__qualname__, "places": places(error)}
            )
        await asyncio.sleep(one.every_s)


async def stop(task: asyncio.Task[Any]) -> None:
    """End the rounds; what was being done is undone by its transaction."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
