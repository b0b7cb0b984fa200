"""Pages that go on by themselves: pieces of HTML as server-sent events, put in place by `static/live.js`.

Without JavaScript a page that has such a piece loads itself anew every few seconds (`noscript` in `live.html`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi.responses import StreamingResponse

from portal.errors import PortalError


def events_of(pieces: AsyncIterator[str]) -> StreamingResponse:
    """A response that sends each piece when it is there, and then that it was the last; a failure ends it likewise."""

    async def lines() -> AsyncIterator[str]:
        try:
            async for each in pieces:
                yield "".join(f"data: {line}\n" for line in each.splitlines()) + "\n"
        except PortalError:
            # What is shown stays true; the browser does not ask again, the reader may.
            pass
        yield "event: end\ndata:\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")
