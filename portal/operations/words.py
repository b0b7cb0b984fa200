"""What states and durations are called on pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from portal.operations.figures import NodeState
from portal.text import Text

NODE_STATES: Final[Mapping[str, Text]] = {
    NodeState.AWAY: Text("Away"),
    NodeState.UP: Text("Up"),
    NodeState.CUT_OFF: Text("Cut off"),
}
# In the order in which an exchange goes through them.
EXCHANGE_STATES: Final[Mapping[str, Text]] = {
    "opened": Text("Opened"),
    "waiting_approval": Text("Waits for a yes"),
    "joined": Text("Joined"),
    "running": Text("Running"),
    "finished": Text("Finished"),
    "failed": Text("Failed"),
    "cancelled": Text("Stopped"),
}
UNITS: Final[Mapping[str, Text]] = {
    "records": Text("records"),
    "batches": Text("batches"),
    "bytes": Text("bytes"),
}
TONES: Final[Mapping[str, str]] = {
    NodeState.AWAY: "rejected",
    NodeState.UP: "approved",
    "running": "active",
    "finished": "approved",
    "failed": "rejected",
}


def span(ms: int | None) -> Text:
    """A duration in its largest whole unit, rounded down, so that it changes seldom; None: longer than the hub remembers."""
    if ms is None:
        return Text("over 10 minutes")
    seconds = ms // 1000
    for least, text in (
        (2 * 86400, Text("{n} days", n=seconds // 86400)),
        (2 * 3600, Text("{n} hours", n=seconds // 3600)),
        (120, Text("{n} minutes", n=seconds // 60)),
    ):
        if seconds >= least:
            return text
    return Text("{n} seconds", n=seconds)


def freshness(ms: int | None) -> Text:
    """The age of something that is renewed every few seconds."""
    return Text("under a minute") if ms is not None and ms < 60_000 else span(ms)
