"""What time alone does: banks that do not answer, requests that nobody takes. A round of the portal's process."""

from __future__ import annotations

from portal.applications import financing, lending
from portal.state import Portal


async def tick(portal: Portal) -> int:
    """Move whatever is due, a batch a transaction so that nobody waits long for the writer; how many were moved."""
    moved = 0
    while done := await portal.db.write(lambda connection: lending.time_out(portal, connection)):
        moved += done
    while done := await portal.db.write(lambda connection: financing.lapse(portal, connection)):
        moved += done
    return moved
