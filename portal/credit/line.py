"""A line of credit as figures: what was granted, drawn and repaid, and what follows. Pure; amounts in fen.

Invariants, whatever is done in whatever order (dictionary 4):
1. available = limit - drawn, plus what was repaid if the line revolves; never below 0.
2. What is outstanding never exceeds the limit; what was drawn in all does not either, unless the line revolves.
3. balance = drawn - repaid; never below 0.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from portal.applications.application import Grant
from portal.applications.lending import in_wan
from portal.errors import form_fault
from portal.products.product import TermUnit
from portal.text import Text

FIRST_DAYS: Final = 90
"""A grant that is not under contract by then has expired."""


class Class5(StrEnum):
    """贷款五级分类: 正常, 关注, 次级, 可疑, 损失. The last three are non-performing (NPL)."""

    NORMAL = "normal"
    MENTION = "mention"
    SUBSTANDARD = "substandard"
    DOUBTFUL = "doubtful"
    LOSS = "loss"


NON_PERFORMING: Final = (Class5.SUBSTANDARD, Class5.DOUBTFUL, Class5.LOSS)


@dataclass(frozen=True, kw_only=True)
class Line:
    """The figures of a line. `overdue_fen`: of the balance, what should have been repaid."""

    limit_fen: int
    drawn_fen: int = 0
    repaid_fen: int = 0
    overdue_fen: int = 0
    revolving: bool = False

    @property
    def balance_fen(self) -> int:
        """What is outstanding."""
        return self.drawn_fen - self.repaid_fen

    @property
    def used_fen(self) -> int:
        """What counts against the limit."""
        return self.balance_fen if self.revolving else self.drawn_fen

    @property
    def available_fen(self) -> int:
        """What may still be drawn."""
        return self.limit_fen - self.used_fen


def draw(line: Line, amount_fen: int) -> Line:
    """Draw. Raises PortalError INVALID_ARGUMENT for more than is available."""
    if not 0 < amount_fen <= line.available_fen:
        raise form_fault(
            "amount",
            Text("At most {most} (CNY 10,000) of the limit can still be drawn.", most=in_wan(line.available_fen)),
        )
    return replace(line, drawn_fen=line.drawn_fen + amount_fen)


def repay(line: Line, amount_fen: int) -> Line:
    """Repay; what is overdue is repaid first. Raises PortalError INVALID_ARGUMENT for more than the balance."""
    if not 0 < amount_fen <= line.balance_fen:
        raise form_fault("amount", Text("The balance is {most} (CNY 10,000).", most=in_wan(line.balance_fen)))
    overdue = max(0, line.overdue_fen - amount_fen)
    return replace(line, repaid_fen=line.repaid_fen + amount_fen, overdue_fen=overdue)


def fall_overdue(line: Line, amount_fen: int) -> Line:
    """Mark what should have been repaid. Raises PortalError INVALID_ARGUMENT for more than the balance."""
    if not 0 < amount_fen <= line.balance_fen:
        raise form_fault("amount", Text("The balance is {most} (CNY 10,000).", most=in_wan(line.balance_fen)))
    return replace(line, overdue_fen=amount_fen)


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What was signed. `first_loan`: the enterprise's first loan of any bank (首贷), as this bank found."""

    contract_no: str
    branch: str
    amount_fen: int
    signed_on: date
    begins_on: date
    ends_on: date
    first_loan: bool


def contract_faults(contract: Contract, grant: Grant, today: date) -> Mapping[str, Text]:
    """What of a contract does not fit the grant, by field."""
    faults: dict[str, Text] = {}
    if not 0 < contract.amount_fen <= grant.limit_fen:
        faults["amount"] = Text(
            "The contract is for more than 0 and at most {most} (CNY 10,000), what was granted.",
            most=in_wan(grant.limit_fen),
        )
    if contract.signed_on > today:
        faults["signed_on"] = Text("A contract is recorded after it was signed; this day is yet to come.")
    if contract.begins_on < contract.signed_on:
        faults["begins_on"] = Text("It is in force from the day of signing at the earliest.")
    latest = after(contract.begins_on, grant.term, TermUnit(grant.term_unit))
    if not contract.begins_on < contract.ends_on <= latest:
        faults["ends_on"] = Text(
            "It ends after it begins, and by the term that was granted on {latest} at the latest.", latest=latest
        )
    return faults


def after(day: date, term: int, unit: TermUnit) -> date:
    """The day on which a term ends; the last day of a month that is too short."""
    if unit is TermUnit.D:
        return day + timedelta(days=term)
    months = day.month - 1 + term * (12 if unit is TermUnit.Y else 1)
    year, month = day.year + months // 12, months % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1]))


def overdue_days(since: str, today: date) -> int:
    """For how many days something is overdue; `since`: the day it was due, empty for nothing overdue."""
    return (today - date.fromisoformat(since)).days if since else 0
