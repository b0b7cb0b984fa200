"""The forms of the back office."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from portal.accounts.fields import REASON, parse_institution
from portal.backoffice.policy import parse_needs
from portal.forms import Field, Wrong, some_text
from portal.parsers import among, several
from portal.permissions import Need
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


def _need(text: str) -> Need:
    found = parse_needs(text)
    if len(found) != 1:
        raise Wrong(Text("Choose from the list."))
    return next(iter(found))


NEEDS: Final = Field(name="needs", label=Text("What is left of it"), parse=several(_need), longest=2000, kind="checks")
TITLE: Final = Field(
    name="title", label=Text("Name of the role"), parse=some_text(Text("Type the name of the role.")), longest=60
)
NEW_ROLE: Final = (
    TITLE,
    Field(
        name="institution",
        label=Text("Institution"),
        hint=Text("The member's id at the hub; “hub” for the hub's own people."),
        parse=parse_institution,
        longest=41,
    ),
    NEEDS,
    REASON,
)
ROLE: Final = (TITLE, NEEDS, REASON)
GIVE: Final = (
    Field(name="login", label=Text("User name"), parse=some_text(Text("Type the user name.")), longest=60),
    replace(REASON, name="why"),  # its page has the other form's reason, too
)
HIDDEN: Final = Field(name="hidden", label=Text("Hidden entries"), parse=several(str), longest=2000, kind="checks")
