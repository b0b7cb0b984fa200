"""Background jobs of a hub process: done again and again until cancelled, whatever fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from hub.errors import HubError

log = logging.getLogger(__name__)


async def repeat(name: str, every_s: float, once: Callable[[], Awaitable[bool]]) -> None:
    """Do `once` every `every_s` seconds, and again at once while it returns True (there is more to do).

    A failure is recorded and the job goes on: a full disk or a lost database must not end it for ever.
    """
    while True:
        more = False
        try:
            more = await once()
        except HubError as problem:
            log.warning("a job failed and will be tried again", extra={"event": f"job_{name}", "code": problem.code})
        except Exception:
            log.exception("a job failed in an unforeseen way", extra={"event": f"job_{name}"})
        await asyncio.sleep(0 if more else every_s)
