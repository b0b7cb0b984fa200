"""What the documents' codes are called on pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from consent.documents import ExchangeMode, ItemMode, Purpose
from portal.text import Text

PURPOSES: Final[Mapping[Purpose, Text]] = {
    Purpose.VERIFICATION: Text("Check of information"),
    Purpose.PRE_LOAN: Text("Assessment before a loan"),
    Purpose.POST_LOAN: Text("Management during a loan"),
    Purpose.JOINT_MODELLING: Text("Training of a joint model"),
    Purpose.SCORING: Text("Scoring by a model"),
    Purpose.SHARING: Text("Sharing with a licensed bureau"),
}
MODES: Final[Mapping[ItemMode, Text]] = {
    ItemMode.P: Text("Public"),
    ItemMode.Q: Text("Query"),
    ItemMode.R: Text("Transfer"),
    ItemMode.V: Text("Verification"),
    ItemMode.J: Text("Joint computation"),
    ItemMode.X: Text("Not provided"),
}
STATES: Final[Mapping[str, Text]] = {
    "active": Text("In force"),
    "withdrawn": Text("Withdrawn"),
    "expired": Text("Expired"),
    "superseded": Text("Replaced by a newer one"),
}
USES: Final[Mapping[ExchangeMode, Text]] = {
    ExchangeMode.QUERY: Text("Query"),
    ExchangeMode.RAW: Text("Transfer"),
    ExchangeMode.JOINT: Text("Joint computation"),
    ExchangeMode.SCORE: Text("Score"),
    ExchangeMode.PSI_SIZE: Text("Comparison of lists: how many are in both"),
    ExchangeMode.PSI_ROWS: Text("Comparison of lists: which are in both"),
}
ROLES: Final[Mapping[str, Text]] = {
    "legal_rep": Text("Legal representative"),
    "agent": Text("Person with a power of attorney"),
}
