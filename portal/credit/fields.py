"""The forms of credit. Whether a value fits the line is the service's to say."""

from __future__ import annotations

from typing import Final

from portal.accounts.fields import REASON
from portal.applications.fields import amount_wan
from portal.credit.line import Class5
from portal.forms import Field, some_text
from portal.parsers import among, day, one_of, optional
from portal.text import Text

_AMOUNT: Final = Field(name="amount", label=Text("Amount (CNY 10,000)"), parse=amount_wan, longest=20, kind="digits")
_DAY: Final = Field(name="day", label=Text("On"), parse=day, longest=10, kind="date")
_DUE: Final = (
    Field(name="due_on", label=Text("Next repayment due on, if any"), parse=optional(day), longest=10, kind="date"),
    Field(
        name="due_amount",
        label=Text("Amount due (CNY 10,000)"),
        hint=Text("Left empty: the whole balance."),
        parse=optional(amount_wan),
        longest=20,
        kind="digits",
    ),
)
CONTRACT: Final = (
    Field(
        name="contract_no",
        label=Text("Contract number"),
        parse=some_text(Text("Give the contract's number.")),
        longest=60,
    ),
    Field(name="branch", label=Text("Branch"), parse=some_text(Text("Give the branch.")), longest=60),
    _AMOUNT,
    Field(name="signed_on", label=Text("Signed on"), parse=day, longest=10, kind="date"),
    Field(name="begins_on", label=Text("In force from"), parse=day, longest=10, kind="date"),
    Field(name="ends_on", label=Text("In force until"), parse=day, longest=10, kind="date"),
    Field(
        name="first_loan",
        label=Text("The enterprise's first loan of any bank"),
        parse=among(("0", "1")),
        longest=1,
        kind="choice",
    ),
)
DRAWDOWN: Final = (_AMOUNT, _DAY, *_DUE)
REPAYMENT: Final = (_AMOUNT, _DAY, *_DUE)
OVERDUE: Final = (_AMOUNT, _DAY)
CLASS5: Final = (
    Field(name="class5", label=Text("Class"), parse=one_of(Class5), longest=20, kind="choice"),
    REASON,
)
BECAUSE: Final = (REASON,)
