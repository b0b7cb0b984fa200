"""Validators of the data dictionary: telephone numbers, region codes and industry codes. Parse, don't validate.

1. A mobile number has 11 digits after +86, blanks and hyphens are taken away; a landline has its area code.
2. A region code (GB/T 2260) has six digits and begins with a province; abolished counties are accepted, because registrations
   keep them, and so are areas outside the standard such as 110302 (经济技术开发区). The counties themselves are not listed here.
3. An industry code (GB/T 4754-2017) is a section letter, a division, or both with up to four digits; letter and division agree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from consent.errors import IdentifierInvalid

_MOBILE: Final = re.compile(r"1[3-9]\d{9}", re.ASCII)
_LANDLINE: Final = re.compile(r"0\d{2,3}-?\d{7,8}(-\d{1,6})?", re.ASCII)
_REGION: Final = re.compile(r"\d{6}", re.ASCII)
_INDUSTRY: Final = re.compile(r"([A-T])?(\d{2,4})?", re.ASCII)

PROVINCES: Final = ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65), (71, 71), (81, 82))
"""First two digits of a region code, as ranges (GB/T 2260): provinces, autonomous regions, municipalities, special regions."""

SECTIONS: Final[dict[str, tuple[int, int]]] = {
    "A": (1, 5),
    "B": (6, 12),
    "C": (13, 43),
    "D": (44, 46),
    "E": (47, 50),
    "F": (51, 52),
    "G": (53, 60),
    "H": (61, 62),
    "I": (63, 65),
    "J": (66, 69),
    "K": (70, 70),
    "L": (71, 72),
    "M": (73, 75),
    "N": (76, 79),
    "O": (80, 82),
    "P": (83, 83),
    "Q": (84, 85),
    "R": (86, 90),
    "S": (91, 96),
    "T": (97, 97),
}
"""First and last division of each section (GB/T 4754-2017)."""


@dataclass(frozen=True)
class Industry:
    """An industry code: the section letter, and two to four digits, or none."""

    section: str
    digits: str

    @property
    def division(self) -> str | None:
        """The two digits of the division, if the code goes so far."""
        return self.digits[:2] or None


def parse_mobile(text: str) -> str:
    """A mobile number of mainland China as 11 digits. Raises IdentifierInvalid, without the number."""
    digits = re.sub(r"[ \-]", "", text.strip()).removeprefix("+86")
    if not _MOBILE.fullmatch(digits):
        raise IdentifierInvalid(
            "The text is no mobile number: 11 digits that begin with 13 to 19, with or without +86."
        )
    return digits


def parse_phone(text: str) -> str:
    """A mobile number (11 digits), or a landline as written: area code, number, extension. Raises IdentifierInvalid."""
    landline = text.strip()
    if _LANDLINE.fullmatch(landline):
        return landline
    try:
        return parse_mobile(text)
    except IdentifierInvalid:
        raise IdentifierInvalid(
            "The text is no telephone number: give a mobile number of 11 digits, or a landline with area code, number and "
            "perhaps an extension, separated by hyphens."
        ) from None


def parse_region(text: str) -> str:
    """A region code (GB/T 2260) of six digits. Raises IdentifierInvalid."""
    if not _REGION.fullmatch(text):
        raise IdentifierInvalid(f"A region code has six digits (GB/T 2260), not {text[:12]!r}. Correct it.")
    if not any(first <= int(text[:2]) <= last for first, last in PROVINCES):
        raise IdentifierInvalid(
            f"Region code {text} begins with {text[:2]}, which is no province (GB/T 2260). Correct it."
        )
    return text


def parse_industry(text: str) -> Industry:
    """An industry code, such as "C", "C39", "3921" or "C3921". Raises IdentifierInvalid if its parts do not agree."""
    form = _INDUSTRY.fullmatch(text)
    if form is None or not text:
        raise IdentifierInvalid(
            f"{text[:12]!r} is no industry code (GB/T 4754-2017): a letter from A to T, two to four digits, or both. Correct it."
        )
    letter, digits = form[1] or "", form[2] or ""
    if not digits:
        return Industry(section=letter, digits="")
    section = _section_of(int(digits[:2]))
    if section is None:
        raise IdentifierInvalid(
            f"Industry code {text} names division {digits[:2]}, which GB/T 4754-2017 does not have."
        )
    if letter and letter != section:
        raise IdentifierInvalid(
            f"Industry code {text} is contradictory: division {digits[:2]} belongs to section {section}. Correct one of them."
        )
    return Industry(section=section, digits=digits)


def _section_of(division: int) -> str | None:
    return next((letter for letter, (first, last) in SECTIONS.items() if first <= division <= last), None)
