"""The forms of accounts."""

from __future__ import annotations

import re
from typing import Final

from consent.errors import IdentifierInvalid
from consent.identifiers import parse_member_id
from portal.accounts.passwords import LONGEST, SHORTEST, parse_new
from portal.forms import Field, Wrong, some_text
from portal.permissions import SECOND_FACTOR, Role
from portal.text import Text

_LOGIN: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9._-]{2,40}", re.ASCII)
CHOOSE_ROLE: Final = Text("Choose a role from the list.")
_CODE: Final = re.compile(r"\d{6}", re.ASCII)


def _code(text: str) -> str:
    digits = text.replace(" ", "")
    if not _CODE.fullmatch(digits):
        raise Wrong(Text("Type the six digits that your authenticator app shows."))
    return digits


def _login(text: str) -> str:
    if not _LOGIN.fullmatch(text):
        raise Wrong(Text("A user name has 3 to 41 letters, digits, dots or hyphens, a letter first."))
    return text


def _role(text: str) -> Role:
    if text not in {role.value for role in SECOND_FACTOR}:
        raise Wrong(CHOOSE_ROLE)
    return Role(text)


def parse_institution(text: str) -> str:
    """A member's id, or "hub"."""
    try:
        return parse_member_id(text)
    except IdentifierInvalid:
        raise Wrong(Text("Give the member's id at the hub, such as bank-a; or “hub”.")) from None


PASSWORD: Final = Field(
    name="password",
    label=Text("Password"),
    parse=some_text(Text("Type your password.")),
    kind="password",
    longest=LONGEST,
    autocomplete="current-password",
)
NEW_PASSWORD: Final = Field(
    name="password",
    label=Text("Choose a password"),
    hint=Text(
        "At least {shortest} characters. A few unrelated words are good and easy to remember.", shortest=SHORTEST
    ),
    parse=parse_new,
    kind="password",
    longest=LONGEST,
    autocomplete="new-password",
)
NAME: Final = Field(
    name="name", label=Text("Your name"), parse=some_text(Text("Type your name.")), longest=60, autocomplete="name"
)
REASON: Final = Field(
    name="reason",
    label=Text("Reason"),
    parse=some_text(Text("Say why; it is recorded.")),
    longest=500,
)
LOGIN: Final = (
    Field(
        name="login",
        label=Text("Unified social credit code, or user name"),
        parse=some_text(Text("Type the code of your enterprise, or your user name.")),
        longest=60,
        autocomplete="username",
    ),
    PASSWORD,
)
CODE: Final = (
    Field(name="code", label=Text("Code"), parse=_code, longest=12, autocomplete="one-time-code", kind="digits"),
)
INVITE: Final = (
    Field(name="login", label=Text("User name"), parse=_login, longest=60),
    Field(name="role", label=Text("Role"), parse=_role, longest=40, kind="choice"),
    Field(name="institution", label=Text("Institution"), parse=parse_institution, longest=41),
)
ACCEPT: Final = (NAME, NEW_PASSWORD)
DISABLE: Final = (REASON,)
OPERATOR_KEY: Final = (
    Field(
        name="operator",
        label=Text("Operator's name at the hub"),
        parse=some_text(Text("Type the name under which the hub knows you.")),
        longest=60,
    ),
    Field(
        name="pem",
        label=Text("Key file"),
        hint=Text("The text of the file operators/NAME.pem."),
        parse=some_text(Text("Paste the key file.")),
        kind="area",
        longest=8000,
    ),
    Field(
        name="secret",
        label=Text("Secret of the key file"),
        parse=some_text(Text("Type the secret that the key file is encrypted with.")),
        kind="password",
        longest=LONGEST,
    ),
    PASSWORD,
)

CHANGE_PASSWORD: Final = (
    Field(
        name="old",
        label=Text("Present password"),
        parse=some_text(Text("Type your password.")),
        kind="password",
        longest=LONGEST,
        autocomplete="current-password",
    ),
    NEW_PASSWORD,
)
SET_PASSWORD: Final = (NEW_PASSWORD,)
