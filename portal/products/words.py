"""What the kinds of products are called on pages."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from portal.facts.names import number
from portal.products.eligibility import Answer
from portal.products.product import (
    Guarantee,
    LoanPurpose,
    Product,
    ProductType,
    RateBasis,
    Repayment,
    TermUnit,
)
from portal.text import Text

TYPES: Final[Mapping[ProductType, Text]] = {
    ProductType.WORKING_CAPITAL: Text("Working capital loan"),
    ProductType.FIXED_ASSET: Text("Fixed asset loan"),
    ProductType.SUPPLY_CHAIN: Text("Supply chain finance"),
    ProductType.TRADE: Text("Trade finance"),
    ProductType.OWNER: Text("Business loan to the owner"),
    ProductType.OTHER: Text("Other"),
}
UNITS: Final[Mapping[TermUnit, Text]] = {
    TermUnit.D: Text("days"),
    TermUnit.M: Text("months"),
    TermUnit.Y: Text("years"),
}
BASES: Final[Mapping[RateBasis, Text]] = {
    RateBasis.FIXED: Text("Fixed"),
    RateBasis.LPR_1Y: Text("One-year LPR"),
    RateBasis.LPR_5Y: Text("LPR of more than five years"),
}
GUARANTEES: Final[Mapping[Guarantee, Text]] = {
    Guarantee.CREDIT: Text("None (credit)"),
    Guarantee.MORTGAGE: Text("Mortgage"),
    Guarantee.PLEDGE: Text("Pledge"),
    Guarantee.GUARANTOR: Text("Guarantor"),
}
REPAYMENTS: Final[Mapping[Repayment, Text]] = {
    Repayment.EQUAL_INSTALMENTS: Text("Equal instalments"),
    Repayment.EQUAL_PRINCIPAL: Text("Equal parts of the principal"),
    Repayment.INTEREST_FIRST: Text("Interest first, the principal at the end"),
    Repayment.BULLET: Text("All at the end"),
    Repayment.AT_WILL: Text("Borrow and repay at any time"),
}
PURPOSES: Final[Mapping[LoanPurpose, Text]] = {
    LoanPurpose.TURNOVER: Text("Daily operation"),
    LoanPurpose.MATERIALS: Text("Buying goods and materials"),
    LoanPurpose.EQUIPMENT: Text("Equipment"),
    LoanPurpose.RESEARCH: Text("Research and development"),
    LoanPurpose.PREMISES: Text("Premises"),
    LoanPurpose.WAGES: Text("Wages and rent"),
    LoanPurpose.ORDERS: Text("Carrying out orders"),
    LoanPurpose.OTHER: Text("Other"),
}
STATES: Final[Mapping[str, Text]] = {
    "draft": Text("Draft"),
    "pending_review": Text("Waits for review"),
    "published": Text("Published"),
    "rejected": Text("Rejected"),
    "offline": Text("No longer offered"),
}
ANSWERS: Final[Mapping[Answer, Text]] = {
    Answer.YES: Text("Met"),
    Answer.NO: Text("Not met"),
    Answer.UNKNOWN: Text("Not known"),
}
FREQUENCIES: Final[Mapping[str, Text]] = {
    "daily": Text("daily"),
    "T+1": Text("on the next working day"),
    "weekly": Text("weekly"),
    "7 working days": Text("within 7 working days"),
    "monthly": Text("monthly"),
    "quarterly": Text("quarterly"),
    "yearly": Text("yearly"),
    "on request": Text("on request"),
    "per application": Text("with each application"),
}


def amounts(low: Decimal, high: Decimal) -> Text:
    """Amounts in CNY 10,000."""
    return Text("{low} to {high} × CNY 10,000", low=number(low), high=number(high))


def rates(low: Decimal, high: Decimal) -> Text:
    """Rates, % a year."""
    if low == high:
        return Text("{rate} % a year", rate=number(low))
    return Text("{low} to {high} % a year", low=number(low), high=number(high))


def terms(low: int, high: int, unit: TermUnit) -> Text:
    """How long a loan runs."""
    if low == high:
        return Text("{number} {unit}", number=high, unit=UNITS[unit])
    return Text("{low} to {high} {unit}", low=low, high=high, unit=UNITS[unit])


def lpr_basis(product: Product) -> Text | None:
    """How a rate hangs on the LPR, None for a fixed one."""
    if product.lpr is None:
        return None
    low, high = number(product.spread_bp), number(product.spread_bp_max)
    spread = (
        Text("{low} basis points", low=low) if low == high else Text("{low} to {high} basis points", low=low, high=high)
    )
    return Text(
        "{basis} of {lpr} %, and {spread}; when the LPR moves, so does the rate",
        basis=BASES[product.rate_basis],
        lpr=number(product.lpr),
        spread=spread,
    )


def costs(product: Product) -> Text:
    """What the interest on 100,000 a year comes to, for people who do not reckon in per cent."""
    low, high = number(product.rate_min * 1000), number(product.rate_max * 1000)
    if low == high:
        return Text("For CNY 100,000 borrowed for a year you pay CNY {high} in interest.", high=high)
    return Text("For CNY 100,000 borrowed for a year you pay CNY {low} to {high} in interest.", low=low, high=high)
