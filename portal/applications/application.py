"""What an application is made of, as other subjects see it. Amounts are fen (CNY 0.01); rates are percent a year."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from portal.facts.facts import Facts
from portal.text import Text

WAN: Final = 1_000_000
"""CNY 10,000, in fen."""


@dataclass(frozen=True, kw_only=True)
class Application:
    """An application. `product_code` is empty where it began as a financing request; a time that is not yet is 0.

    `told`: the facts as they were told when it was submitted; `due_ms`: until when the bank answers; `term_unit`: D, M or Y;
    `version` grows with every change.
    """

    application_no: str
    uscc: str
    ent_name: str
    institution: str
    product_code: str
    product_name: str
    product_version: int
    demand_id: str
    amount_fen: int
    term: int
    term_unit: str
    purpose: str
    guarantee: str
    told: Facts
    state: str
    version: int
    created_ms: int
    submitted_ms: int
    pushed_ms: int
    due_ms: int
    moved_ms: int
    reviewer: str
    investigator: str
    refusal: str


@dataclass(frozen=True, kw_only=True)
class Move:
    """One line of the timeline. `mover`: see `portal.states.Mover`; `actor`: the login, or of others' people the institution."""

    act: str
    state: str
    mover: str
    actor: str
    reason: str
    time_ms: int


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a bank granted: the most that may be drawn, at which rates, for how long. `guarantee`, `product_code` as applied for."""

    application_no: str
    institution: str
    uscc: str
    product_code: str
    limit_fen: int
    annual_rate: Decimal
    penalty_rate: Decimal
    term: int
    term_unit: str
    guarantee: str
    granted_by: str
    granted_ms: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A self-reported value beside what is known from elsewhere. `source`: where it is known from."""

    field: Text
    told: Text
    known: Text
    source: Text


@dataclass(frozen=True, kw_only=True)
class Finding:
    """That the bank used data in an exchange at its own node, and what it says came of it; never the data.

    `agrees`: yes, no, or "" where nothing was compared. `verified_ms`: when the enterprise's own verified record of use had it, else 0.
    """

    finding_no: int
    kind: str
    exchange_id: str
    agrees: str
    note: str
    found_by: str
    found_ms: int
    verified_ms: int
