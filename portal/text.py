"""A sentence for people, before anybody knows in which language it will be read.

The English sentence is its own key in the catalogues (`portal/locale`), as gettext has it. Services raise and return these; only
pages translate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class Text:
    """A sentence with named values: `Text("Wait {minutes} minutes.", minutes=5)`."""

    __slots__ = ("sentence", "values")

    def __init__(self, sentence: str, **values: object) -> None:
        """`sentence` is a literal, so that the catalogues can be compared with the code."""
        self.sentence = sentence
        self.values: Mapping[str, object] = values

    def __str__(self) -> str:
        return self.sentence.format(**self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Text) and (self.sentence, self.values) == (other.sentence, other.values)

    def __hash__(self) -> int:
        return hash(self.sentence)


@dataclass(frozen=True)
class Name:
    """What data, not code, has a name for in both languages."""

    zh: str
    en: str

    def __str__(self) -> str:
        return self.en
