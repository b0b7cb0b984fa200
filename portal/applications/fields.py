"""The forms of applications. What fits a product is the service's to say; here is only what can be read."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from portal.accounts.fields import REASON
from portal.applications.lending import AGREES, KINDS, REFUSALS
from portal.forms import Field, Wrong
from portal.parsers import among, decimal, plain, whole
from portal.products.product import MOST_RATE, MOST_WAN, Guarantee, LoanPurpose, TermUnit
from portal.text import Text

_AMOUNT: Final = decimal(0, int(MOST_WAN), places=6)
RATE: Final = decimal(0, int(MOST_RATE), places=4)


def amount_wan(text: str) -> Decimal:
    """An amount in CNY 10,000, more than 0. Raises Wrong."""
    value = _AMOUNT(text)
    if not value:
        raise Wrong(Text("Give an amount of more than 0."))
    return value


def _exchange(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise Wrong(Text("Give the exchange's id, as your node prints it: 36 characters with hyphens.")) from None


AMOUNT: Final = Field(
    name="amount",
    label=Text("How much (CNY 10,000)"),
    parse=amount_wan,
    longest=20,
    kind="digits",
)
TERM: Final = Field(name="term", label=Text("For how long"), parse=whole(1, 9999), longest=6, kind="digits")
TERM_UNIT: Final = Field(
    name="term_unit",
    label=Text("Counted in"),
    parse=among(each.value for each in TermUnit),
    longest=1,
    kind="choice",
)
PURPOSE: Final = Field(
    name="purpose",
    label=Text("What is the money for?"),
    parse=among(each.value for each in LoanPurpose),
    longest=40,
    kind="choice",
)
GUARANTEE: Final = Field(
    name="guarantee",
    label=Text("What security do you offer?"),
    parse=among(each.value for each in Guarantee),
    longest=40,
    kind="choice",
)
DEMAND: Final = (AMOUNT, TERM, TERM_UNIT, PURPOSE, GUARANTEE)
OPINION: Final = (REASON,)
ANSWER: Final = (REASON,)
CANCEL: Final = (REASON,)
FINDING: Final = (
    Field(name="kind", label=Text("What was done"), parse=among(KINDS), longest=10, kind="choice"),
    Field(
        name="exchange_id",
        label=Text("Exchange"),
        hint=Text("Its id, as your node prints it. The portal sees no data of it."),
        parse=_exchange,
        longest=40,
    ),
    Field(name="agrees", label=Text("What was told"), parse=among(AGREES), longest=3, kind="choice"),
    Field(name="note", label=Text("Note, if you want to leave one"), parse=plain, longest=300),
)
GRANT: Final = (
    Field(name="limit", label=Text("Limit (CNY 10,000)"), parse=amount_wan, longest=20, kind="digits"),
    Field(name="annual_rate", label=Text("Rate (% a year)"), parse=RATE, longest=8, kind="digits"),
    Field(name="penalty_rate", label=Text("Penalty rate (% a year)"), parse=RATE, longest=8, kind="digits"),
    TERM,
    TERM_UNIT,
)
REFUSE: Final = (
    Field(name="refusal", label=Text("Why not"), parse=among(REFUSALS), longest=20, kind="choice"),
    REASON,
)


@dataclass(frozen=True)
class Step:
    """One page of an application. `slug`: in its address."""

    slug: str
    title: Text
    fields: Sequence[Field]


LOAN: Final = Step("loan", Text("How much do you need, and for how long?"), (AMOUNT, TERM))
USE: Final = Step("use", Text("What is it for, and what secures it?"), (PURPOSE, GUARANTEE))
STEPS: Final = (LOAN, USE)
BY_SLUG: Final = {step.slug: step for step in STEPS}
