"""What figures of statistics are called, and how they are written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from portal.applications.application import WAN
from portal.facts.names import SIZES, industry_name, number, region_name
from portal.statistics.cuts import ELSEWHERE
from portal.statistics.reading import Figures
from portal.text import Name, Text

NOTHING: Final = "–"


def wan(fen: int) -> str:
    """An amount in CNY 10,000, to the second place."""
    return number((Decimal(fen) / WAN).quantize(Decimal("0.01")))


def ratio(value: float | None) -> str:
    """A rate or an average, to the second place."""
    return NOTHING if value is None else f"{value:,.2f}"


def _plain(name: str) -> Callable[[Figures], str]:
    return lambda found: number(found[name])


def _wan(name: str) -> Callable[[Figures], str]:
    return lambda found: wan(found[name])


FIGURES: Final[Sequence[tuple[str, Text, Callable[[Figures], str]]]] = (
    ("applied", Text("Applications"), _plain("applied")),
    ("demand_wan", Text("Demand (CNY 10,000)"), _wan("demand_fen")),
    ("waiting", Text("Waiting at present"), _plain("waiting")),
    ("decided", Text("Decisions"), _plain("decided")),
    ("granted", Text("Granted"), _plain("granted")),
    ("granted_wan", Text("Granted amount (CNY 10,000)"), _wan("granted_fen")),
    ("approval_rate", Text("Approval rate (%)"), lambda found: ratio(found.approval_rate)),
    ("weighted_rate", Text("Weighted rate (% a year)"), lambda found: ratio(found.weighted_rate)),
    ("credit_wan", Text("Unsecured (CNY 10,000)"), _wan("credit_fen")),
    ("credit_share", Text("Share of unsecured (%)"), lambda found: ratio(found.credit_share)),
    ("first_loans", Text("First loans"), _plain("first_loans")),
    ("days_to_accept", Text("Days to accept, average"), lambda found: ratio(found.days("accept_ms", "accepted"))),
    ("days_to_decide", Text("Days to decide, average"), lambda found: ratio(found.days("decide_ms", "decided"))),
    ("days_to_draw", Text("Days to draw, average"), lambda found: ratio(found.days("draw_ms", "drawn"))),
    ("drawn_wan", Text("Drawn (CNY 10,000)"), _wan("drawn_fen")),
    ("repaid_wan", Text("Repaid (CNY 10,000)"), _wan("repaid_fen")),
    ("balance_wan", Text("Balance (CNY 10,000)"), _wan("balance_fen")),
    ("overdue_rate", Text("Overdue rate (%)"), lambda found: ratio(found.overdue_rate)),
    ("npl_rate", Text("NPL rate (%)"), lambda found: ratio(found.npl_rate)),
)
OF_THE_PLATFORM: Final[Sequence[tuple[str, Text, Callable[[Figures], str]]]] = (
    ("registered", Text("Enterprises registered"), _plain("registered")),
    ("consents_given", Text("Consents given"), _plain("consents_given")),
    ("consents_withdrawn", Text("Consents withdrawn"), _plain("consents_withdrawn")),
)
"""What the platform knows of itself, and no bank is told."""
PART: Final = (
    "applied", "demand_wan", "decided", "granted", "granted_wan", "approval_rate", "weighted_rate", "credit_share",
    "first_loans", "drawn_wan",
)  # fmt: skip
"""The columns of the tables by institution or product, and by day or month."""
DIMENSIONS: Final[Mapping[str, Text]] = {
    "district": Text("By district"),
    "industry": Text("By industry"),
    "size": Text("By size"),
}


def value_name(dimension: str, value: str) -> Text | Name:
    """What a value of a cut is called."""
    if value == ELSEWHERE:
        return Text("Others and not told")
    if dimension == "size":
        return next(title for size, title in SIZES.items() if size.value == value)
    return region_name(value) if dimension == "district" else industry_name(value)
