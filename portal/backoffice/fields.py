"""The forms of the back office."""

from __future__ import annotations

from typing import Final

from portal.accounts.fields import REASON
from portal.forms import Field, some_text
from portal.parsers import among
from portal.text import Text

KINDS: Final = {
    "bank": Text("Bank"),
    "department": Text("Government department"),
    "platform": Text("Platform"),
    "bureau": Text("Licensed credit bureau"),
}


def _ticked(text: str) -> bool:
    return text == "yes"


INSTITUTION: Final = (
    Field(name="name_zh", label=Text("Name in Chinese"), parse=some_text(Text("Type the name.")), longest=60),
    Field(name="name_en", label=Text("Name in English"), parse=some_text(Text("Type the name.")), longest=80),
    Field(name="kind", label=Text("Kind of institution"), parse=among(KINDS), longest=20, kind="choice"),
    Field(
        name="contact",
        label=Text("Contact"),
        hint=Text("An office's telephone or mailbox, not a person's."),
        parse=some_text(Text("Say how the institution is reached.")),
        longest=200,
    ),
    Field(name="publishes", label=Text("May publish products"), parse=_ticked, longest=3, kind="tick"),
    Field(name="lends", label=Text("May lend"), parse=_ticked, longest=3, kind="tick"),
    Field(name="suspended", label=Text("Suspended: its people cannot act"), parse=_ticked, longest=3, kind="tick"),
    REASON,
)
DECISION: Final = (REASON,)
