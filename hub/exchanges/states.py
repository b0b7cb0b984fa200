"""The states of an exchange, as one table.

opened ──▶ waiting_approval ──▶ joined ──▶ running ──▶ finished
└──────────────────────────────▲
and from every state that is not final: failed, cancelled
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from hub.errors import HubError


class State(StrEnum):
    """Where an exchange stands."""

    OPENED = "opened"
    WAITING_APPROVAL = "waiting_approval"
    JOINED = "joined"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing comes after it."""
        return self in FINAL


FINAL: Final = frozenset({State.FINISHED, State.FAILED, State.CANCELLED})
NEXT: Final[dict[State, frozenset[State]]] = {
    State.OPENED: frozenset({State.WAITING_APPROVAL, State.JOINED, State.FAILED, State.CANCELLED}),
    State.WAITING_APPROVAL: frozenset({State.JOINED, State.FAILED, State.CANCELLED}),
    State.JOINED: frozenset({State.RUNNING, State.FINISHED, State.FAILED, State.CANCELLED}),
    State.RUNNING: frozenset({State.FINISHED, State.FAILED, State.CANCELLED}),
    State.FINISHED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}

# What a provider answers to an invitation, and the state that follows.
ANSWERS: Final[dict[str, State]] = {
    "join": State.JOINED,
    "wait_approval": State.WAITING_APPROVAL,
    "decline": State.FAILED,
}


def check_step(present: State, following: State) -> None:
    """Return if `following` may come after `present`. Raises HubError EXCHANGE_ENDED or WRONG_STATE."""
    if following in NEXT[present]:
        return
    if present.final:
        raise HubError("EXCHANGE_ENDED", f"the exchange has ended ({present}); open a new one")
    raise HubError("WRONG_STATE", f"an exchange that is {present} cannot become {following}; read its state first")
