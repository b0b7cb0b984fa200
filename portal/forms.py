"""Forms: fields that parse what was typed, faults beside them, and nothing lost of what was given.

A field is a name, a label and a parser; the same fields serve a page and the JSON API. A parser returns a value or raises `Wrong`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from portal.errors import PortalError
from portal.text import Name, Text

CORRECT: Final = Text("Correct what is marked below.")


class Wrong(Exception):
    """What is wrong with a value, for the person who typed it."""

    def __init__(self, text: Text) -> None:
        """`text` says what the field must look like."""
        super().__init__(str(text))
        self.text = text


def some_text(empty: Text) -> Callable[[str], str]:
    """A parser of any text but an empty one."""

    def parse(text: str) -> str:
        if not text:
            raise Wrong(empty)
        return text

    return parse


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field. `longest`: in characters; longer is refused, never cut.

    `kind`: text, password, tel, digits, date, area, choice (one of a list), checks (some of a list, commas between them), tick.
    """

    name: str
    label: Text | Name
    parse: Callable[[str], Any]
    hint: Text | None = None
    kind: str = "text"
    longest: int = 200
    autocomplete: str = "off"


@dataclass(frozen=True)
class Filled:
    """A form as it was sent: `given` goes back into the page, `values` into the service."""

    given: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    faults: Mapping[str, Text] = field(default_factory=dict)

    def require(self) -> Mapping[str, Any]:
        """The values. Raises PortalError INVALID_ARGUMENT with all faults."""
        if self.faults:
            raise PortalError("INVALID_ARGUMENT", CORRECT, faults=self.faults)
        return self.values

    def with_faults(self, faults: Mapping[str, Text]) -> Filled:
        """The same with what the service found wrong."""
        return Filled(self.given, self.values, {**self.faults, **faults})


def fill(fields: Sequence[Field], given: Mapping[str, str]) -> Filled:
    """Parse each field; whatever is missing is empty. Passwords do not go back into the page."""
    values: dict[str, Any] = {}
    faults: dict[str, Text] = {}
    for each in fields:
        typed = given.get(each.name, "")
        try:
            values[each.name] = each.parse(_clean(each, typed))
        except Wrong as wrong:
            faults[each.name] = wrong.text
    shown = {each.name: given.get(each.name, "") for each in fields if each.kind != "password"}
    return Filled(shown, values, faults)


def _clean(each: Field, typed: str) -> str:
    """Typed text without blanks around and without control characters, which no field has."""
    if len(typed) > each.longest:
        raise Wrong(Text("This has {given} characters; at most {longest} fit.", given=len(typed), longest=each.longest))
    if each.kind == "password":
        return typed
    allowed = "\n\r\t" if each.kind == "area" else ""
    if any(unicodedata.category(char) in {"Cc", "Cs"} and char not in allowed for char in typed):
        raise Wrong(Text("This has characters that cannot be printed; type it again."))
    return typed.strip()
