"""The forms of seats and questions, and the filter of their list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from portal.content.fields import BODY, TITLE, one_of
from portal.forms import Field, some_text
from portal.states import QUESTION
from portal.text import Text

_LONGEST: Final = 4000
STATES: Final[Mapping[str, Text]] = {
    "waiting": Text("Waits for the expert"),
    "answered": Text("Answered"),
    "ended": Text("Closed"),
}
STARS: Final[Sequence[tuple[str, Text]]] = (
    ("", Text("No rating")),
    ("5", Text("5: solved it")),
    ("4", Text("4: helped much")),
    ("3", Text("3: helped")),
    ("2", Text("2: helped little")),
    ("1", Text("1: did not help")),
)


def _stars(text: str) -> int:
    return int(one_of([value for value, _ in STARS])(text) or 0)


def _tick(text: str) -> bool:
    return bool(text)


SEAT: Final = (
    Field(
        name="name",
        label=Text("Name as enterprises see it"),
        parse=some_text(Text("Type a name.")),
        longest=60,
        autocomplete="name",
    ),
    Field(name="title", label=Text("Title or office"), parse=some_text(Text("Type a title or office.")), longest=100),
    Field(
        name="fields",
        label=Text("Fields of work"),
        hint=Text("What enterprises may ask you about."),
        parse=some_text(Text("Say what enterprises may ask you about.")),
        kind="area",
        longest=500,
    ),
    Field(
        name="hours",
        label=Text("Hours"),
        hint=Text("When you answer, such as “working days, within one day”."),
        parse=some_text(Text("Say when you answer.")),
        longest=100,
    ),
    Field(name="taking", label=Text("I take new questions"), parse=_tick, kind="tick", longest=3),
)
MESSAGE: Final = Field(
    name="text",
    label=Text("Your message"),
    hint=Text("Kept encrypted. Leave out names and numbers of persons that are not needed."),
    parse=some_text(Text("Type a message.")),
    kind="area",
    longest=_LONGEST,
)
ASK: Final = (
    Field(name="subject", label=Text("What is it about?"), parse=some_text(Text("Say what it is about.")), longest=80),
    MESSAGE,
)
WRITE: Final = (MESSAGE,)
END: Final = (Field(name="stars", label=Text("How good was the answer?"), parse=_stars, kind="choice", longest=1),)
OFFER: Final = (TITLE, BODY)
STATE: Final = Field(name="state", label=Text("State"), parse=one_of(QUESTION.states), kind="choice", longest=20)
CHOICES: Final = {"state": (("", Text("Any")), *STATES.items())}
