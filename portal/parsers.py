"""Parsers of form fields that several subjects need: numbers, days, places, choices. Each returns a value or raises `Wrong`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeVar

from consent.errors import IdentifierInvalid
from consent.validators import parse_industry, parse_region
from portal.forms import Wrong
from portal.text import Text

Kind = TypeVar("Kind", bound=StrEnum)
Value = TypeVar("Value")

BETWEEN: Final = ","
# How numbers are typed on a Chinese keyboard, and the commas between thousands.
_TYPED: Final = str.maketrans("０１２３４５６７８９．－", "0123456789.-", ",，  ")
_NUMBER: Final = re.compile(r"-?\d{1,15}(\.\d{1,9})?", re.ASCII)
_WHOLE: Final = re.compile(r"-?\d{1,15}", re.ASCII)
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def decimal(least: int, most: int, *, places: int) -> Callable[[str], Decimal]:
    """A number within bounds with so many places; commas between thousands and full-width digits are read, too."""

    def parse(text: str) -> Decimal:
        digits = _plain(text)
        if not _NUMBER.fullmatch(digits) or len(digits.partition(".")[2]) > places:
            raise Wrong(Text("Give a number, with at most {places} decimal places.", places=places))
        _within(Decimal(digits), least, most)
        return Decimal(digits)

    return parse


def whole(least: int, most: int) -> Callable[[str], int]:
    """A whole number within bounds."""

    def parse(text: str) -> int:
        digits = _plain(text)
        if not _WHOLE.fullmatch(digits):
            raise Wrong(Text("Give a whole number."))
        _within(int(digits), least, most)
        return int(digits)

    return parse


def day(text: str) -> date:
    """A day as a browser sends it, 2026-11-30."""
    try:
        if not _DAY.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise Wrong(Text("Give a day as year, month and day, such as 2026-11-30.")) from None


def one_of(kind: type[Kind]) -> Callable[[str], Kind]:
    """One of an enumeration."""

    def parse(text: str) -> Kind:
        if text not in set(kind):
            raise Wrong(Text("Choose from the list."))
        return kind(text)

    return parse


def among(allowed: Iterable[str]) -> Callable[[str], str]:
    """One of these."""
    known = frozenset(allowed)

    def parse(text: str) -> str:
        if text not in known:
            raise Wrong(Text("Choose from the list."))
        return text

    return parse


def region(text: str) -> str:
    """A region's code (GB/T 2260)."""
    try:
        return parse_region(text)
    except IdentifierInvalid:
        raise Wrong(Text("Choose a region from the list.")) from None


def industry(text: str) -> str:
    """An industry's code (GB/T 4754-2017), with its section letter."""
    try:
        parsed = parse_industry(text.upper())
    except IdentifierInvalid:
        raise Wrong(Text("Choose an industry from the list.")) from None
    return parsed.section + parsed.digits


def several(parse: Callable[[str], Value]) -> Callable[[str], tuple[Value, ...]]:
    """Some values, as ticked boxes are sent: with commas between them; each counts once."""
    return lambda text: tuple(dict.fromkeys(parse(each) for each in text.split(BETWEEN) if each))


def lines(most: int, longest: int) -> Callable[[str], tuple[str, ...]]:
    """A text of so many lines at most; empty ones do not count."""

    def parse(text: str) -> tuple[str, ...]:
        given = tuple(line.strip() for line in text.splitlines() if line.strip())
        if len(given) > most or any(len(line) > longest for line in given):
            raise Wrong(
                Text("At most {most} lines fit, each of {longest} characters at most.", most=most, longest=longest)
            )
        return given

    return parse


def optional(parse: Callable[[str], Value]) -> Callable[[str], Value | None]:
    """The same, or None where nothing was typed."""
    return lambda text: parse(text) if text else None


def plain(text: str) -> str:
    """Any text, also none."""
    return text


def edition(sent: Mapping[str, str], name: str = "edition") -> int:
    """The edition of what a form was made from; one that makes no sense is older than all."""
    text = sent.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1


def _plain(text: str) -> str:
    return text.translate(_TYPED)


def _within(value: Decimal | int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise Wrong(Text("Give a number from {least} to {most}.", least=least, most=most))
