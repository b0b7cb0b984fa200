"""Who is paired with whom on the relay: a pure state machine over exchanges, without streams or time.

An exchange has two sides. An `End` is one attachment of one side; it is named by a number that never comes back. Rules:
1. An end that attaches while the other side's end waits alone is paired with it: what the waiting one has sent is kept for
   it.
2. A pair is for ever: when one of its ends leaves, the other is ended too (after it got what was sent), so that both attach
   anew and continue from what they hold. A new end never gets frames that were meant for its predecessor.
3. A newer end of the same side replaces the older one, which is ended, and its partner with it.
4. When an exchange is closed, its ends are ended.
An end that the machine has said to end is forgotten here at once; its own leaving later changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Side(StrEnum):
    """The two sides of an exchange."""

    REQUESTER = "requester"
    PROVIDER = "provider"

    @property
    def other(self) -> Side:
        """The opposite side."""
        return Side.PROVIDER if self is Side.REQUESTER else Side.REQUESTER


@dataclass(frozen=True, slots=True)
class End:
    """One attachment of one side of an exchange."""

    exchange_id: str
    side: Side
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What an attachment changed: the new end, its partner if it has one already, and the ends to end."""

    end: End
    partner: End | None
    ended: tuple[End, ...]


class Pairing:
    """The ends of all exchanges of one relay."""

    def __init__(self) -> None:
        """No ends."""
        self._ends: dict[str, dict[Side, End]] = {}
        self._next = 0

    def attach(self, exchange_id: str, side: Side) -> Attached:
        """Take a new end (rules 1 and 3)."""
        present = self._ends.setdefault(exchange_id, {})
        ended = self._drop(present.get(side))
        present = self._ends.setdefault(exchange_id, {})
        end = End(exchange_id, side, self._next)
        self._next += 1
        present[side] = end
        return Attached(end=end, partner=present.get(side.other), ended=ended)

    def leave(self, end: End) -> tuple[End, ...]:
        """An end is gone; returns the ends to end (rule 2)."""
        return tuple(other for other in self._drop(end) if other != end)

    def close(self, exchange_id: str) -> tuple[End, ...]:
        """An exchange is over; returns the ends to end (rule 4)."""
        return tuple(self._ends.pop(exchange_id, {}).values())

    def partner(self, end: End) -> End | None:
        """The end that this one is paired with, or None."""
        present = self._ends.get(end.exchange_id, {})
        return present.get(end.side.other) if present.get(end.side) == end else None

    def exchanges(self) -> frozenset[str]:
        """Exchanges with an end."""
        return frozenset(self._ends)

    def __len__(self) -> int:
        """How many ends there are."""
        return sum(map(len, self._ends.values()))

    def _drop(self, end: End | None) -> tuple[End, ...]:
        """Forget an end and its partner; nothing if it was forgotten before."""
        if end is None or self._ends.get(end.exchange_id, {}).get(end.side) != end:
            return ()
        return tuple(self._ends.pop(end.exchange_id).values())
