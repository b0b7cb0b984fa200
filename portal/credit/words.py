"""What kinds, classes and pending acts of credit are called on pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from portal.applications import words
from portal.credit.line import Class5
from portal.text import Text

STATES: Final[Mapping[str, Text]] = {
    name: words.STATES[name]
    for name in (
        "granted",
        "contracted",
        "drawn",
        "repaying",
        "overdue",
        "settled",
        "written_off",
        "expired",
        "terminated",
    )
}
CLASSES: Final[Mapping[str, Text]] = {
    Class5.NORMAL: Text("Normal"),
    Class5.MENTION: Text("Special mention"),
    Class5.SUBSTANDARD: Text("Substandard"),
    Class5.DOUBTFUL: Text("Doubtful"),
    Class5.LOSS: Text("Loss"),
}
PENDING: Final[Mapping[str, Text]] = {
    "contract": Text("Contract waits to be confirmed"),
    "write_off": Text("Write-off waits to be confirmed"),
}
ENTRIES: Final[Mapping[str, Text]] = {
    "contract_entered": Text("Contract entered"),
    "contract": Text("Contract confirmed"),
    "sent_back": Text("Sent back"),
    "draw": Text("Drawn"),
    "repay": Text("Repaid"),
    "overdue": Text("Fell overdue"),
    "class5": Text("Classified"),
    "settle": Text("Settled"),
    "write_off_entered": Text("Write-off entered"),
    "write_off": Text("Written off"),
    "expire": Text("Expired"),
    "terminate": Text("Terminated"),
}
INTERNAL: Final = frozenset({"contract_entered", "sent_back", "class5", "write_off_entered"})
"""What the bank writes for itself; the enterprise does not read it."""
YES_NO: Final[Mapping[str, Text]] = {"1": Text("Yes"), "0": Text("No")}
