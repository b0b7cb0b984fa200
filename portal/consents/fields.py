"""What is typed, ticked or linked to: what a consent is wanted for, who signs, and why something is refused or withdrawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from consent.documents import ItemMode, Purpose
from consent.errors import IdentifierInvalid
from consent.identifiers import parse_member_id
from portal.consents.granting import Signatory
from portal.consents.wanted import Wanted, WantedItem
from portal.consents.words import ROLES
from portal.forms import Field, Filled, Wrong, fill, some_text
from portal.text import Text

LONGEST_DAYS: Final = 3660
MOST_ITEMS: Final = 60


def _member(text: str) -> str:
    try:
        return parse_member_id(text)
    except IdentifierInvalid:
        raise Wrong(Text("Choose a bank from the list.")) from None


def _purpose(text: str) -> Purpose:
    if text not in set(Purpose):
        raise Wrong(Text("Choose what the data may be used for."))
    return Purpose(text)


def _items(text: str) -> tuple[WantedItem, ...]:
    written = [part for part in text.split(",") if part]
    if not 1 <= len(written) <= MOST_ITEMS:
        raise Wrong(Text("Choose at least one item, and at most {most}.", most=MOST_ITEMS))
    return tuple(dict.fromkeys(_item(part) for part in written))


def _item(text: str) -> WantedItem:
    item_id, mode, provider, fields = [*text.split(":"), "", "", ""][:4]
    if mode not in {"", *ItemMode}:
        raise Wrong(Text("Choose the items from the list."))
    return WantedItem(
        item_id=item_id,
        mode=ItemMode(mode) if mode else None,
        provider=provider,
        fields=tuple(part for part in fields.split("+") if part),
    )


def _days(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= LONGEST_DAYS:
        raise Wrong(Text("Give a number of days from 1 to {most}.", most=LONGEST_DAYS))
    return int(text)


def _uses(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise Wrong(Text("Give a number of uses, or leave it empty for as many as are needed."))
    return int(text)


def _role(text: str) -> str:
    if text not in ROLES:
        raise Wrong(Text("Say whether you sign as the legal representative or with a power of attorney."))
    return text


def _tick(text: str) -> bool:
    return text == "yes"


USER: Final = Field(name="user", label=Text("Who may use the data?"), parse=_member, kind="choice", longest=60)
PURPOSE: Final = Field(name="purpose", label=Text("What for?"), parse=_purpose, kind="choice", longest=40)
ITEMS: Final = Field(name="items", label=Text("Which items?"), parse=_items, longest=6000)
APPLICATION: Final = Field(name="application_no", label=Text("Application"), parse=str, longest=60)
VALID_DAYS: Final = Field(
    name="valid_days", label=Text("For how many days?"), parse=_days, kind="digits", longest=5, hint=Text("From today.")
)
KEEP_DAYS: Final = Field(
    name="keep_days",
    label=Text("How many days may the data be kept?"),
    parse=_days,
    kind="digits",
    longest=5,
    hint=Text("The institution deletes it then, and says so in a signed record."),
)
MAX_USES: Final = Field(
    name="max_uses",
    label=Text("Most uses"),
    parse=_uses,
    kind="digits",
    longest=7,
    hint=Text("Empty: as many as the purpose needs."),
)
WANTED: Final = (USER, PURPOSE, ITEMS, APPLICATION, VALID_DAYS, KEEP_DAYS, MAX_USES)
SIGNATORY: Final = Field(
    name="signatory",
    label=Text("Who signs in the enterprise's name?"),
    hint=Text("The name stands in the consent, where the bank and the office that keeps the data can read it."),
    parse=some_text(Text("Type a name.")),
    longest=60,
    autocomplete="name",
)
ROLE: Final = Field(name="role", label=Text("In which capacity?"), parse=_role, kind="choice", longest=20)
SEPARATE: Final = Field(
    name="separate",
    label=Text("Yes, I also consent to these particularly sensitive items"),
    parse=_tick,
    kind="tick",
    longest=3,
)
SIGNING: Final = (SIGNATORY, ROLE, SEPARATE)
WITHDRAWAL_REASON: Final = Field(
    name="reason",
    label=Text("Reason, if you want to say"),
    parse=str,
    longest=500,
)
REFUSAL_REASON: Final = Field(
    name="reason",
    label=Text("Reason, if you want to say"),
    hint=Text("The bank reads it."),
    parse=str,
    longest=500,
)


def wanted_of(given: Mapping[str, str], items: Sequence[str] = ()) -> tuple[Filled, Wanted | None]:
    """What is wanted by a form or an address; None if something is wrong with it. `items`: those ticked, one each."""
    whole = {"valid_days": "90", "keep_days": "90", **given}
    if items:
        whole["items"] = ",".join(items)
    filled = fill(WANTED, whole)
    return filled, None if filled.faults else Wanted(**filled.values)


def signatory_of(filled: Filled) -> Signatory:
    """Who signs, of a form without faults."""
    return Signatory(name=filled.values["signatory"], role=filled.values["role"])
