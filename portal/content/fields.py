"""The forms of content, and the filters of its lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import Final

from consent.errors import IdentifierInvalid
from consent.validators import parse_region
from portal.accounts.fields import REASON
from portal.content.kinds import ONE, Kind
from portal.content.regions import SCOPES
from portal.forms import Field, Filled, Wrong, fill, some_text
from portal.states import CONTENT
from portal.text import Text

LONGEST_BODY: Final = 30_000
LONGEST_QUERY: Final = 40
_ADDRESS: Final = re.compile(r"https?://[^\s/]+(/\S*)?", re.IGNORECASE)


def _date(text: str) -> str:
    if not text:
        return ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise Wrong(Text("Give a day as year, month and day, such as 2026-11-30.")) from None


def _region(text: str) -> str:
    if not text:
        return ""
    try:
        return parse_region(text)
    except IdentifierInvalid:
        raise Wrong(
            Text("A region code has six digits (GB/T 2260), such as 110000; nothing for the whole country.")
        ) from None


def _address(text: str) -> str:
    if text and not _ADDRESS.fullmatch(text):
        raise Wrong(Text("Give an address that begins with https:// or http://."))
    return text


def one_of(known: Collection[str]) -> Callable[[str], str]:
    """A parser of a choice from a list, or of none."""

    def parse(text: str) -> str:
        if text and text not in known:
            raise Wrong(Text("Choose from the list."))
        return text

    return parse


TITLE: Final = Field(name="title", label=Text("Title"), parse=some_text(Text("Type a title.")), longest=120)
BODY: Final = Field(
    name="body",
    label=Text("Text"),
    hint=Text("Markdown: # heading, - list, **bold**, [words](https://address). HTML is shown as it is typed."),
    parse=some_text(Text("Type the text.")),
    kind="area",
    longest=LONGEST_BODY,
)
_ENGLISH: Final = (
    Field(name="title_en", label=Text("Title in English, if there is one"), parse=str, longest=200),
    Field(name="body_en", label=Text("Text in English"), parse=str, kind="area", longest=LONGEST_BODY),
)
TEXT: Final = (TITLE, BODY, *_ENGLISH)
POLICY: Final = (
    TITLE,
    Field(
        name="authority", label=Text("Issued by"), parse=some_text(Text("Say which authority issued it.")), longest=100
    ),
    Field(name="document_no", label=Text("Document number"), parse=str, longest=60),
    Field(name="effective", label=Text("In force from"), parse=_date, kind="date", longest=10),
    Field(
        name="region",
        label=Text("Region"),
        hint=Text("Six digits (GB/T 2260), such as 110000; nothing for the whole country."),
        parse=_region,
        longest=6,
    ),
    Field(
        name="source",
        label=Text("Address of the original"),
        hint=Text("Where the authority published it, so that readers can compare."),
        parse=_address,
        longest=500,
    ),
    BODY,
    *_ENGLISH,
)
DECISION: Final = (REASON,)

SCOPE: Final = Field(name="region", label=Text("Region"), parse=one_of(SCOPES), kind="choice", longest=2)
SINCE: Final = Field(name="since", label=Text("In force no earlier than"), parse=_date, kind="date", longest=10)
UNTIL: Final = Field(name="until", label=Text("In force no later than"), parse=_date, kind="date", longest=10)
KIND: Final = Field(name="kind", label=Text("Kind"), parse=one_of(tuple(Kind)), kind="choice", longest=20)
STATE: Final = Field(name="state", label=Text("State"), parse=one_of(CONTENT.states), kind="choice", longest=20)
QUERY: Final = Field(
    name="q", label=Text("Search"), parse=some_text(Text("Type a word to look for.")), longest=LONGEST_QUERY
)
STATES: Final[Mapping[str, Text]] = {
    "draft": Text("Draft"),
    "pending_review": Text("Waits for review"),
    "published": Text("Published"),
    "rejected": Text("Sent back"),
    "offline": Text("No longer shown"),
}
_ANY: Final = ("", Text("Any"))
CHOICES: Final[Mapping[str, Sequence[tuple[str, Text]]]] = {
    "region": (_ANY, *SCOPES.items()),
    "kind": (_ANY, *ONE.items()),
    "state": (_ANY, *STATES.items()),
}


def fields_of(kind: Kind) -> Sequence[Field]:
    """The form of one kind."""
    return POLICY if kind is Kind.POLICY else TEXT


def fill_text(kind: Kind, given: Mapping[str, str]) -> Filled:
    """Read the form of one kind; English has both title and text, or neither."""
    filled = fill(fields_of(kind), given)
    title, body = filled.values.get("title_en", ""), filled.values.get("body_en", "")
    if title and not body:
        return filled.with_faults({"body_en": Text("The English title has no text yet.")})
    if body and not title:
        return filled.with_faults({"title_en": Text("The English text has no title yet.")})
    return filled
