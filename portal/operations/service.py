"""Asks the hub how everything is. A hub that does not answer is an alarm, not a failure of the page."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from portal.errors import PortalError
from portal.hub_link import Operations
from portal.operations.alarms import HUB_AWAY, Alarm, Limits, alarms_of
from portal.operations.figures import DIRECTORY, consent_log
from portal.state import Portal


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What there is to see now. `found`: None while the hub does not answer."""

    found: Operations | None
    alarms: Sequence[Alarm]


async def look(portal: Portal, member_id: str | None, limits: Limits | None = None) -> Seen:
    """Everything (None), or what is a member's own: its nodes, its exchanges, its consent log and the directory.

    Raises PortalError HUB_REFUSED.
    """
    try:
        found = await asyncio.to_thread(portal.link.operations, member_id)
    except PortalError as error:
        if error.code != "UNAVAILABLE":
            raise
        return Seen(found=None, alarms=(HUB_AWAY,))
    if member_id is not None:
        found = _own(found, member_id)
    return Seen(found=found, alarms=alarms_of(found, limits or Limits()))


def _own(found: Operations, member_id: str) -> Operations:
    """The part that a member may see, whatever the hub answered."""
    return replace(
        found,
        logs=tuple(log for log in found.logs if log.origin in {DIRECTORY, consent_log(member_id)}),
        members=tuple(member for member in found.members if member.member_id == member_id),
        exchanges=tuple(one for one in found.exchanges if member_id in {one.requester, one.provider}),
    )
