"""How things may change: a table for each kind of thing. The documents draw them from here (`python -m portal.states`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from portal.errors import PortalError
from portal.text import Text


@dataclass(frozen=True)
class Machine:
    """`moves`: from (state, act) to the next state. A state without a move is an end."""

    name: str
    initial: str
    moves: Mapping[tuple[str, str], str]

    def after(self, state: str, act: str) -> str:
        """The next state. Raises PortalError WRONG_STATE."""
        following = self.moves.get((state, act))
        if following is None:
            raise PortalError(
                "WRONG_STATE",
                Text("This was changed by somebody else meanwhile, and cannot be done any more. Load the page again."),
            )
        return following

    @property
    def states(self) -> tuple[str, ...]:
        """All states, in the order of the table."""
        return tuple(
            dict.fromkeys([self.initial, *(one for (source, _), to in self.moves.items() for one in (source, to))])
        )

    @property
    def ends(self) -> tuple[str, ...]:
        """The states that nothing follows."""
        return tuple(state for state in self.states if all(source != state for source, _ in self.moves))

    def drawing(self) -> str:
        """The machine as a Mermaid diagram."""
        lines = [f"    {source} --> {to}: {act}" for (source, act), to in self.moves.items()]
        ends = [f"    {state} --> [*]" for state in self.ends]
        return "\n".join(["stateDiagram-v2", f"    [*] --> {self.initial}", *lines, *ends])


SUBMITTED: Final = "submitted"
ENDORSED: Final = "endorsed"
OBJECTED: Final = "objected"
APPROVED: Final = "approved"
REJECTED: Final = "rejected"

# Four eyes: one reviewer endorses or objects, another one decides or sends it back.
REGISTRATION: Final = Machine(
    "registration",
    SUBMITTED,
    {
        (SUBMITTED, "endorse"): ENDORSED,
        (SUBMITTED, "object"): OBJECTED,
        (ENDORSED, "approve"): APPROVED,
        (ENDORSED, "return"): SUBMITTED,
        (OBJECTED, "reject"): REJECTED,
        (OBJECTED, "return"): SUBMITTED,
    },
)

DRAFT: Final = "draft"
PENDING_REVIEW: Final = "pending_review"
PUBLISHED: Final = "published"
OFFLINE: Final = "offline"


def _publication(name: str) -> Machine:
    """One version of what is shown to everybody once two have seen it. What was published is not changed: a new version replaces it."""
    return Machine(
        name,
        DRAFT,
        {
            (DRAFT, "submit"): PENDING_REVIEW,
            (PENDING_REVIEW, "recall"): DRAFT,
            (PENDING_REVIEW, "approve"): PUBLISHED,
            (PENDING_REVIEW, "reject"): REJECTED,
            (REJECTED, "revise"): DRAFT,
            (PUBLISHED, "withdraw"): OFFLINE,
            (PUBLISHED, "replace"): OFFLINE,
        },
    )


CONTENT: Final = _publication("content")

WAITING: Final = "waiting"
ANSWERED: Final = "answered"
ENDED: Final = "ended"

# An enterprise's question to an expert. Only the enterprise ends it.
QUESTION: Final = Machine(
    "question",
    WAITING,
    {
        (WAITING, "ask"): WAITING,
        (WAITING, "answer"): ANSWERED,
        (ANSWERED, "answer"): ANSWERED,
        (ANSWERED, "ask"): WAITING,
        (WAITING, "end"): ENDED,
        (ANSWERED, "end"): ENDED,
    },
)
MACHINES: Final = (REGISTRATION, CONTENT, QUESTION)


if __name__ == "__main__":
    sys.stdout.writelines(f"### {machine.name}\n\n```mermaid\n{machine.drawing()}\n```\n" for machine in MACHINES)
