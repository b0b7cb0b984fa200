"""Pages that go on by themselves: pieces of HTML as server-sent events, put in place by `static/live.js`.

Without JavaScript a page that has such a piece loads itself anew every few seconds (`noscript` in `live.html`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from fastapi.responses import StreamingResponse

from portal.errors import PortalError

_END: Final = "event: end\ndata:\n\n"


async def changes(look: Callable[[], Awaitable[str]], *, every_s: float, for_s: float) -> AsyncIterator[str]:
    """What `look` gives, at once and then whenever it is another, looked at so often, for so long."""
    loop, shown = asyncio.get_running_loop(), None
    end_s = loop.time() + for_s
    while True:
        piece = await look()
        if piece != shown:
            yield piece
        shown = piece
        if loop.time() >= end_s:
            return
        await asyncio.sleep(every_s)


def events_of(pieces: AsyncIterator[str], *, last: bool = True) -> StreamingResponse:
    """A response that sends each piece when it is there, and then that it was the last; a failure ends it likewise.

    Without `last` the browser asks again when the pieces have ended, and is let through anew or not.
    """

    async def lines() -> AsyncIterator[str]:
        try:
            async for each in pieces:
                yield "".join(f"data: {line}\n" for line in each.splitlines()) + "\n"
        except PortalError:
            # What is shown stays true; the browser does not ask again, the reader may.
            yield _END
            return
        if last:
            yield _END

    return StreamingResponse(lines(), media_type="text/event-stream")
