"""The form of the address."""

from __future__ import annotations

import re
from typing import Final

from portal.forms import Field, Wrong
from portal.text import Text

# RFC 5321, 4.5.3.1: 64 before the @, 254 in all. No quoted local parts: nobody's address has one.
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,63}",
    re.ASCII,
)
LONGEST: Final = 254


def parse_address(text: str) -> str:
    """An e-mail address; empty for none. Raises Wrong."""
    if text and not _ADDRESS.fullmatch(text):
        raise Wrong(Text("This is no e-mail address. Write it like name@example.com."))
    return text


ADDRESS: Final = (
    Field(
        name="address",
        label=Text("E-mail address"),
        hint=Text("We send a link there first. Leave it empty for no mail."),
        parse=parse_address,
        kind="email",
        longest=LONGEST,
        autocomplete="email",
    ),
)
