"""Identifiers, parsed once at the edge: the unified social credit code (GB 32100-2015), and windows of time for frequencies."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final, Self

from consent.errors import IdentifierInvalid, UsccInvalid

USCC_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_FORM: Final = re.compile(r"[0-9A-HJ-NPQRTUWXY]{2}\d{6}[0-9A-HJ-NPQRTUWXY]{10}", re.ASCII)
_USCC_WEIGHTS: Final = tuple(pow(3, place, 31) for place in range(17))
_ORGANISATION_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)
_MEMBER_FORM: Final = re.compile(r"[a-z][a-z0-9-]{1,40}", re.ASCII)
CHINA_TIME: Final = timezone(timedelta(hours=8))


class Uscc(str):
    """A unified social credit code whose form and check character were checked. Make it with `parse`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str, *, allow_check_mismatch: bool = False) -> Self:
        """Check an 18-character code (GB 32100-2015).

        `allow_check_mismatch` accepts a wrong check character, which some early pilot regions really issued, after a recorded
        manual review. Raises UsccInvalid, naming the first thing that is wrong.
        """
        if not _USCC_FORM.fullmatch(text):
            raise UsccInvalid(
                f"{len(text)} characters that are no unified social credit code: it has 18, the letters I O S V Z never occur, "
                "and characters 3 to 8 are digits. Correct the code."
            )
        if not allow_check_mismatch and text[17] != check_character(text):
            raise UsccInvalid(
                f"The check character {text[17]} of code {text[:2]}…{text[-4:]} should be {check_character(text)}. "
                "Correct the code; if it was issued so by an early pilot region, have it reviewed by hand."
            )
        return cls(text)

    @property
    def organisation_code_ok(self) -> bool:
        """Whether characters 9 to 17 carry their own check character (GB 11714)."""
        code = self[8:17]
        total = sum(weight * int(char, 36) for weight, char in zip(_ORGANISATION_WEIGHTS, code, strict=False))
        return code[8] == "0123456789X0"[11 - total % 11]


def check_character(text: str) -> str:
    """The 18th character that the first 17 require."""
    total = sum(weight * USCC_ALPHABET.index(char) for weight, char in zip(_USCC_WEIGHTS, text[:17], strict=True))
    return USCC_ALPHABET[(31 - total % 31) % 31]


def parse_member_id(text: str) -> str:
    """A member or node identifier: lower case, digits, hyphens. Raises IdentifierInvalid."""
    if not _MEMBER_FORM.fullmatch(text):
        raise IdentifierInvalid(
            f"{text[:60]!r} is no identifier: 2 to 41 lower-case letters, digits or hyphens, a letter first."
        )
    return text


@lru_cache(maxsize=4096)
def _window(unit: str, hour: int) -> int:
    moment = datetime.fromtimestamp(hour * 3600, tz=UTC).astimezone(CHINA_TIME)
    if unit == "day":
        moment = moment.replace(hour=0)
    elif unit == "month":
        moment = moment.replace(day=1, hour=0)
    elif unit != "hour":
        raise ValueError(f"{unit!r} is no unit of a frequency: hour, day or month")
    return int(moment.timestamp() * 1000)


def window_start_ms(unit: str, at_ms: int) -> int:
    """Start of the calendar hour, day or month (UTC+8) that contains a time, in milliseconds."""
    return _window(unit, at_ms // 3_600_000)
