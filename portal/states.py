"""How things may change: a table for each kind of thing. The documents draw them from here (`python -m portal.states`)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from portal.errors import PortalError
from portal.text import Text


class Mover(StrEnum):
    """Who does an act, where a machine is shared by several."""

    ENTERPRISE = "enterprise"
    PLATFORM = "platform"
    BANK = "bank"
    CLOCK = "clock"


@dataclass(frozen=True)
class Machine:
    """`moves`: from (state, act) to the next state. A state without a move is an end. `movers`: who does which act."""

    name: str
    initial: str
    moves: Mapping[tuple[str, str], str]
    movers: Mapping[str, Mover] = field(default_factory=dict)

    def after(self, state: str, act: str) -> str:
        """The next state. Raises PortalError WRONG_STATE."""
        following = self.moves.get((state, act))
        if following is None:
            raise PortalError(
                "WRONG_STATE",
                Text("This was changed by somebody else meanwhile, and cannot be done any more. Load the page again."),
            )
        return following

    def acts(self, state: str, mover: Mover) -> tuple[str, ...]:
        """What somebody can do with it now, in the order of the table."""
        return tuple(act for source, act in self.moves if source == state and self.movers.get(act) is mover)

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
        lines = [f"    {source} --> {to}: {self._told(act)}" for (source, act), to in self.moves.items()]
        ends = [f"    {state} --> [*]" for state in self.ends]
        return "\n".join(["stateDiagram-v2", f"    [*] --> {self.initial}", *lines, *ends])

    def _told(self, act: str) -> str:
        mover = self.movers.get(act)
        return act if mover is None else f"{act} ({mover})"


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


# A version of a product: entered by a member, decided on by the hub.
PRODUCT: Final = _publication("product")
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

PLATFORM_REVIEW: Final = "platform_review"
RETURNED: Final = "returned"
PUSHED: Final = "pushed"
ACCEPTED: Final = "accepted"
DUE_DILIGENCE: Final = "due_diligence"
GRANTED: Final = "granted"

# Four eyes on both sides: one reviewer looks, another one decides; the bank's investigator is not the approver who grants.
# A request without a product (FINANCING) becomes an application when a bank takes it, and is accepted by that.
APPLICATION: Final = Machine(
    "application",
    DRAFT,
    {
        (DRAFT, "submit"): SUBMITTED,
        (DRAFT, "take"): ACCEPTED,
        (DRAFT, "cancel"): "cancelled",
        (SUBMITTED, "endorse"): PLATFORM_REVIEW,
        (SUBMITTED, "object"): PLATFORM_REVIEW,
        (SUBMITTED, "cancel"): "cancelled",
        (PLATFORM_REVIEW, "push"): PUSHED,
        (PLATFORM_REVIEW, "return"): RETURNED,
        (PLATFORM_REVIEW, "reject"): REJECTED,
        (PLATFORM_REVIEW, "look_again"): SUBMITTED,
        (PLATFORM_REVIEW, "cancel"): "cancelled",
        (RETURNED, "submit"): SUBMITTED,
        (RETURNED, "cancel"): "cancelled",
        (PUSHED, "accept"): ACCEPTED,
        (PUSHED, "decline"): "bank_declined",
        (PUSHED, "time_out"): "timeout",
        (PUSHED, "cancel"): "cancelled",
        (ACCEPTED, "investigate"): DUE_DILIGENCE,
        (ACCEPTED, "cancel"): "cancelled",
        (DUE_DILIGENCE, "grant"): GRANTED,
        (DUE_DILIGENCE, "refuse"): "refused",
        (DUE_DILIGENCE, "cancel"): "cancelled",
        (GRANTED, "contract"): "contracted",
        (GRANTED, "expire"): "expired",
        (GRANTED, "terminate"): "terminated",
        ("contracted", "draw"): "drawn",
        ("contracted", "expire"): "expired",
        ("contracted", "terminate"): "terminated",
        ("drawn", "repay"): "repaying",
        ("drawn", "fall_overdue"): "overdue",
        ("drawn", "mark_overdue"): "overdue",
        ("drawn", "settle"): "settled",
        ("repaying", "fall_overdue"): "overdue",
        ("repaying", "mark_overdue"): "overdue",
        ("repaying", "settle"): "settled",
        ("overdue", "recover"): "repaying",
        ("overdue", "settle"): "settled",
        ("overdue", "write_off"): "written_off",
    },
    {
        **dict.fromkeys(("submit", "cancel"), Mover.ENTERPRISE),
        **dict.fromkeys(("endorse", "object", "push", "return", "reject", "look_again"), Mover.PLATFORM),
        **dict.fromkeys(("take", "accept", "decline", "investigate", "grant", "refuse"), Mover.BANK),
        **dict.fromkeys(("contract", "terminate", "draw", "repay", "mark_overdue", "recover"), Mover.BANK),
        **dict.fromkeys(("settle", "write_off"), Mover.BANK),
        **dict.fromkeys(("time_out", "expire", "fall_overdue"), Mover.CLOCK),
    },
)

# An enterprise's demand without a product: open to all banks, taken by one.
OPEN: Final = "open"
FINANCING: Final = Machine(
    "financing",
    OPEN,
    {
        (OPEN, "take"): "taken",
        (OPEN, "withdraw"): "withdrawn",
        (OPEN, "lapse"): "lapsed",
    },
    {"take": Mover.BANK, "withdraw": Mover.ENTERPRISE, "lapse": Mover.CLOCK},
)

# A risk alert, raised by a round.
ALERT: Final = Machine(
    "alert",
    OPEN,
    {
        (OPEN, "see"): "seen",
        (OPEN, "close"): "closed",
        ("seen", "close"): "closed",
    },
)

# A change of what stands about an institution: one administrator enters, another one decides.
INSTITUTION: Final = Machine(
    "institution",
    "pending",
    {("pending", "approve"): APPROVED, ("pending", "reject"): REJECTED},
)
MACHINES: Final = (REGISTRATION, PRODUCT, APPLICATION, FINANCING, CONTENT, QUESTION, ALERT, INSTITUTION)


if __name__ == "__main__":
    sys.stdout.writelines(f"### {machine.name}\n\n```mermaid\n{machine.drawing()}\n```\n" for machine in MACHINES)
