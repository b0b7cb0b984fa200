"""What states, acts and parties of applications are called on pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from portal.states import Mover
from portal.text import Text

STATES: Final[Mapping[str, Text]] = {
    "draft": Text("Draft"),
    "submitted": Text("Waits for the platform's first look"),
    "platform_review": Text("Waits for the platform's decision"),
    "returned": Text("Returned to be corrected"),
    "rejected": Text("Rejected by the platform"),
    "pushed": Text("Waits for the bank's answer"),
    "accepted": Text("Accepted by the bank"),
    "bank_declined": Text("Declined by the bank"),
    "timeout": Text("Not answered in time"),
    "due_diligence": Text("Being investigated"),
    "granted": Text("Granted"),
    "refused": Text("Refused"),
    "contracted": Text("Contract signed"),
    "expired": Text("Expired"),
    "terminated": Text("Terminated"),
    "drawn": Text("Drawn"),
    "repaying": Text("Being repaid"),
    "overdue": Text("Overdue"),
    "settled": Text("Settled"),
    "written_off": Text("Written off"),
    "cancelled": Text("Cancelled"),
}
GOOD: Final = frozenset({"granted", "contracted", "drawn", "repaying", "settled"})
BAD: Final = frozenset({"rejected", "bank_declined", "timeout", "refused", "overdue", "written_off"})
ACTS: Final[Mapping[str, Text]] = {
    "submit": Text("Submitted"),
    "take": Text("The bank took the financing request"),
    "cancel": Text("Cancelled"),
    "endorse": Text("Looked at and endorsed"),
    "object": Text("Looked at and objected to"),
    "push": Text("Passed on to the bank"),
    "return": Text("Returned to be corrected"),
    "reject": Text("Rejected"),
    "look_again": Text("Sent back to a first look"),
    "accept": Text("Accepted by the bank"),
    "decline": Text("Declined by the bank"),
    "time_out": Text("The bank did not answer in time"),
    "investigate": Text("Investigation begun"),
    "grant": Text("Granted"),
    "refuse": Text("Refused"),
    "contract": Text("Contract signed"),
    "terminate": Text("Terminated"),
    "draw": Text("Drawn"),
    "repay": Text("Repayment begun"),
    "fall_overdue": Text("Fell overdue"),
    "mark_overdue": Text("Marked as overdue by the bank"),
    "recover": Text("Overdue amount paid"),
    "settle": Text("Settled"),
    "write_off": Text("Written off"),
    "expire": Text("Expired"),
}
MOVERS: Final[Mapping[Mover, Mapping[str, Text]]] = {
    Mover.ENTERPRISE: {"enterprise": Text("you"), "platform": Text("the platform")},
    Mover.PLATFORM: {"enterprise": Text("the enterprise")},
    Mover.BANK: {"enterprise": Text("the enterprise"), "platform": Text("the platform")},
}
"""What a reader calls those whose names it is not told."""
DO: Final[Mapping[str, Text]] = {
    "endorse": Text("Endorse"),
    "object": Text("Object"),
    "push": Text("Pass on to the bank"),
    "return": Text("Return to be corrected"),
    "reject": Text("Reject"),
    "look_again": Text("Send back to a first look"),
    "accept": Text("Accept"),
    "decline": Text("Decline"),
}
"""What the buttons say."""
DEMAND_STATES: Final[Mapping[str, Text]] = {
    "open": Text("Open to all banks"),
    "taken": Text("Taken by a bank"),
    "withdrawn": Text("Withdrawn"),
    "lapsed": Text("Lapsed"),
}


def tone(state: str) -> str:
    """How a state is coloured."""
    return "approved" if state in GOOD else "rejected" if state in BAD else ""
