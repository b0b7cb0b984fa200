"""The questions of a registration, one thing a page, by the validators of the data dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from consent.errors import IdentifierInvalid, UsccInvalid
from consent.identifiers import Uscc, check_character
from consent.validators import parse_phone
from portal.accounts.fields import NEW_PASSWORD, PASSWORD, REASON
from portal.forms import Field, Filled, Wrong, fill, some_text
from portal.text import Text


def _uscc(text: str) -> str:
    code = "".join(text.split()).upper()
    try:
        return Uscc.parse(code, allow_check_mismatch=True)
    except UsccInvalid:
        raise Wrong(
            Text(
                "A unified social credit code has 18 digits and letters, without I, O, S, V and Z, and digits at places 3 to 8. "
                "This one has {length} characters.",
                length=len(code),
            )
        ) from None


def _phone(text: str) -> str:
    try:
        return parse_phone(text)
    except IdentifierInvalid:
        raise Wrong(
            Text("Give a mobile number of 11 digits, or a landline with its area code, such as 010-12345678.")
        ) from None


def _tick(text: str) -> str:
    return "yes" if text else ""


@dataclass(frozen=True)
class Step:
    """One page. `slug`: in its address."""

    slug: str
    title: Text
    fields: Sequence[Field]


CODE: Final = Step(
    "code",
    Text("What is your unified social credit code?"),
    (
        Field(
            name="uscc",
            label=Text("Unified social credit code"),
            hint=Text("18 characters; it is on your business licence."),
            parse=_uscc,
            longest=40,
        ),
        Field(name="mismatch", label=Text("My licence really shows this code"), parse=_tick, longest=3, kind="tick"),
    ),
)
NAME: Final = Step(
    "name",
    Text("What is your enterprise called?"),
    (
        Field(
            name="ent_name",
            label=Text("Registered name"),
            hint=Text("As it is on your business licence."),
            parse=some_text(Text("Type the registered name.")),
            longest=100,
            autocomplete="organization",
        ),
    ),
)
CONTACT: Final = Step(
    "contact",
    Text("Whom may we call about the registration?"),
    (
        Field(
            name="contact",
            label=Text("Name of a person"),
            parse=some_text(Text("Type a name.")),
            longest=60,
            autocomplete="name",
        ),
        Field(
            name="phone",
            label=Text("Telephone number"),
            hint=Text("Kept encrypted; only reviewers see it."),
            parse=_phone,
            kind="tel",
            longest=30,
            autocomplete="tel",
        ),
    ),
)
STEPS: Final = (CODE, NAME, CONTACT)
BY_SLUG: Final = {step.slug: step for step in STEPS}
PASSWORD_FIELDS: Final = (NEW_PASSWORD,)
OPINION: Final = (REASON,)
DESPITE: Final = Field(
    name="despite",
    label=Text("I approve although the registration is not checked, or differs"),
    parse=_tick,
    longest=3,
    kind="tick",
)
DECISION: Final = (REASON, PASSWORD, DESPITE)


def fill_step(step: Step, given: Mapping[str, str]) -> Filled:
    """Read one page; a code whose check character is wrong passes only if the enterprise says that it was issued so."""
    filled = fill(step.fields, given)
    code = filled.values.get("uscc")
    if code is None or not check_mismatch(code) or filled.values.get("mismatch"):
        return filled
    return filled.with_faults(
        {
            "uscc": Text(
                "The last character should be {expected}. Correct the code; if your licence really shows it so, tick the box below.",
                expected=check_character(code),
            )
        }
    )


def check_mismatch(uscc: str) -> bool:
    """Whether the check character is not what the code requires (GB 32100-2015)."""
    return check_character(uscc) != uscc[17]


def first_open(answers: Mapping[str, str]) -> str | None:
    """The first page whose answers are missing or wrong, None if all are there."""
    return next((step.slug for step in STEPS if fill_step(step, answers).faults), None)
