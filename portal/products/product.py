"""A loan product: what a member offers, to whom, against what, and which data of the enterprise it wants for it.

A product has versions. One that enterprises see is never changed: an edit makes the next version, which is reviewed while the one
before stays. `faults` says what is wrong with a product; one that was submitted has none.

Amounts are CNY 10,000, rates % a year, a term its number and unit. A year has 12 months, a month 30 days, where terms are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from consent.catalogue import load_catalogue
from consent.documents import ItemMode, Purpose
from consent.enterprise_size import EnterpriseSize
from consent.errors import IdentifierInvalid
from consent.rules import load_rules
from consent.validators import parse_industry, parse_region
from portal.products.eligibility import IndustryAmong, RegionAmong, Rule, SizeAmong
from portal.text import Text

MOST_WAN: Final = Decimal(10_000_000)
MOST_RATE: Final = Decimal(36)
MOST_ITEMS: Final = 40


class ProductType(StrEnum):
    """What the loan is for by its kind."""

    WORKING_CAPITAL = "working_capital"
    FIXED_ASSET = "fixed_asset"
    SUPPLY_CHAIN = "supply_chain"
    TRADE = "trade"
    OWNER = "owner"
    OTHER = "other"


class TermUnit(StrEnum):
    """Days, months, years."""

    D = "D"
    M = "M"
    Y = "Y"


DAYS: Final = {TermUnit.D: 1, TermUnit.M: 30, TermUnit.Y: 360}


class RateBasis(StrEnum):
    """A rate of its own, or the loan prime rate (LPR) of one or five years and so many basis points."""

    FIXED = "fixed"
    LPR_1Y = "lpr_1y"
    LPR_5Y = "lpr_5y"


class Guarantee(StrEnum):
    """信用, 抵押, 质押, 保证."""

    CREDIT = "credit"
    MORTGAGE = "mortgage"
    PLEDGE = "pledge"
    GUARANTOR = "guarantor"


class Repayment(StrEnum):
    """等额本息, 等额本金, 先息后本, 到期一次还本付息, 随借随还."""

    EQUAL_INSTALMENTS = "equal_instalments"
    EQUAL_PRINCIPAL = "equal_principal"
    INTEREST_FIRST = "interest_first"
    BULLET = "bullet"
    AT_WILL = "at_will"


class LoanPurpose(StrEnum):
    """What the money may be used for."""

    TURNOVER = "turnover"
    MATERIALS = "materials"
    EQUIPMENT = "equipment"
    RESEARCH = "research"
    PREMISES = "premises"
    WAGES = "wages"
    ORDERS = "orders"
    OTHER = "other"


class RequiredItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item of the catalogue that the member wants to use, and how."""

    item_id: str
    mode: ItemMode

    @property
    def purpose(self) -> Purpose:
        """For what a consent must be: assessing the application, or scoring, where an item is only computed on (J)."""
        allowed = load_rules().mode_allowed(Purpose.PRE_LOAN, self.mode)
        return Purpose.PRE_LOAN if allowed else Purpose.SCORING


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a product. A tuple of sizes, industries, regions or purposes that is empty does not limit them.

    `spread_bp`: what is added to the LPR for the lowest rate; None for a fixed rate. `publish_state`: `portal.states.PRODUCT`.
    `valid_to`: the last day on which enterprises can apply, None for no end.
    """

    product_code: str
    product_name: str
    institution: str
    branch: str = ""
    summary: str = ""
    product_type: ProductType
    amount_min: Decimal
    amount_max: Decimal
    amount_step: Decimal
    term_min: int
    term_max: int
    term_unit: TermUnit
    rate_min: Decimal
    rate_max: Decimal
    rate_basis: RateBasis = RateBasis.FIXED
    spread_bp: int | None = None
    guarantee_types: tuple[Guarantee, ...]
    repayment_methods: tuple[Repayment, ...]
    revolving: bool = False
    purposes: tuple[LoanPurpose, ...] = ()
    target_sizes: tuple[EnterpriseSize, ...] = ()
    industries: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    conditions: tuple[Rule, ...] = ()
    documents: tuple[str, ...] = ()
    required_items: tuple[RequiredItem, ...] = ()
    processing_days: Annotated[int, msgspec.Meta(ge=1, le=90)]
    valid_from: date
    valid_to: date | None = None
    publish_state: str = "draft"
    version: int = 1

    @property
    def eligibility(self) -> tuple[Rule, ...]:
        """Every rule that decides who may have it: those of regions, industries and sizes, and its further conditions."""
        among: list[Rule] = []
        if self.regions:
            among.append(RegionAmong(regions=self.regions))
        if self.industries:
            among.append(IndustryAmong(industries=self.industries))
        if self.target_sizes:
            among.append(SizeAmong(sizes=self.target_sizes))
        return (*among, *self.conditions)

    @property
    def term_min_days(self) -> int:
        """The shortest term, for comparisons."""
        return self.term_min * DAYS[self.term_unit]

    @property
    def term_max_days(self) -> int:
        """The longest term, for comparisons."""
        return self.term_max * DAYS[self.term_unit]

    @property
    def lpr(self) -> Decimal | None:
        """The LPR, % a year, with which the rates were stated; None for fixed ones."""
        return None if self.spread_bp is None else self.rate_min - Decimal(self.spread_bp) / 100

    @property
    def spread_bp_max(self) -> Decimal | None:
        """What is added to the LPR for the highest rate."""
        return None if self.spread_bp is None else self.spread_bp + 100 * (self.rate_max - self.rate_min)

    def takes_applications(self, today: date) -> bool:
        """Whether enterprises can apply for it today."""
        from_then_on = self.valid_from <= today and (self.valid_to is None or today <= self.valid_to)
        return self.publish_state == "published" and from_then_on

    def term_fits(self, term: int, unit: TermUnit) -> bool:
        """Whether a loan may run so long."""
        return self.term_min_days <= term * DAYS[unit] <= self.term_max_days

    def amount_fits(self, amount: Decimal) -> bool:
        """Whether a loan may be so large (CNY 10,000): within the bounds, a whole number of steps above the smallest."""
        within = self.amount_min <= amount <= self.amount_max
        return within and (amount - self.amount_min) % self.amount_step == 0


def faults(product: Product) -> Mapping[str, Text]:
    """What is wrong, by the field that has to change; empty if nothing is."""
    return {
        **_money_faults(product),
        **_rate_faults(product),
        **_list_faults(product),
        **_item_faults(product.required_items),
    }


def _money_faults(one: Product) -> Mapping[str, Text]:
    found: dict[str, Text] = {}
    if not one.product_name.strip():
        found["product_name"] = Text("Give the product a name.")
    if not 0 < one.amount_min <= MOST_WAN:
        found["amount_min"] = Text("An amount is more than 0 and at most {most} (CNY 10,000).", most=MOST_WAN)
    if not one.amount_min <= one.amount_max <= MOST_WAN:
        found["amount_max"] = Text("The largest amount is at least the smallest one.")
    elif not 0 < one.amount_step <= one.amount_max:
        found["amount_step"] = Text("The step is more than 0 and at most the largest amount.")
    if one.term_min < 1:
        found["term_min"] = Text("A term is 1 or more.")
    if one.term_max < one.term_min or one.term_max_days > 30 * DAYS[TermUnit.Y]:
        found["term_max"] = Text("The longest term is at least the shortest one, and at most 30 years.")
    if one.valid_to is not None and one.valid_to < one.valid_from:
        found["valid_to"] = Text("The last day is not before the first one.")
    return found


def _rate_faults(one: Product) -> Mapping[str, Text]:
    found: dict[str, Text] = {}
    if not 0 < one.rate_min <= MOST_RATE:
        found["rate_min"] = Text("A rate is more than 0 and at most {most} % a year.", most=MOST_RATE)
    if not one.rate_min <= one.rate_max <= MOST_RATE:
        found["rate_max"] = Text(
            "The highest rate is at least the lowest one, and at most {most} % a year.", most=MOST_RATE
        )
    if one.rate_basis is RateBasis.FIXED and one.spread_bp is not None:
        found["spread_bp"] = Text("A fixed rate has no basis points; leave them out.")
    if one.rate_basis is not RateBasis.FIXED and (one.spread_bp is None or (one.lpr or 0) <= 0):
        found["spread_bp"] = Text(
            "Say how many basis points the lowest rate is above the LPR (below: with a minus), so that what is left is the LPR."
        )
    return found


def _list_faults(one: Product) -> Mapping[str, Text]:
    found: dict[str, Text] = {}
    if not one.guarantee_types:
        found["guarantee_types"] = Text("Choose at least one.")
    if not one.repayment_methods:
        found["repayment_methods"] = Text("Choose at least one.")
    if not _all(parse_region, one.regions):
        found["regions"] = Text("Choose regions from the list.")
    if not _all(parse_industry, one.industries):
        found["industries"] = Text("Choose industries from the list.")
    return found


def _all(parse: Callable[[str], object], codes: Sequence[str]) -> bool:
    try:
        for code in codes:
            parse(code)
    except IdentifierInvalid:
        return False
    return True


def _item_faults(items: Sequence[RequiredItem]) -> Mapping[str, Text]:
    """Each item once, provided, and in a mode that the catalogue and a purpose of lending allow."""
    catalogue, rules = load_catalogue(), load_rules()
    if len({each.item_id for each in items}) != len(items) or len(items) > MOST_ITEMS:
        return {"required_items": Text("Choose each item once, and at most {most}.", most=MOST_ITEMS)}
    for each in items:
        item = catalogue.find(each.item_id)
        if item is None or not item.provided or each.mode not in item.modes:
            return {
                "required_items": Text("{item} cannot be had in mode {mode}.", item=each.item_id, mode=each.mode.value)
            }
        if not rules.mode_allowed(each.purpose, each.mode):
            return {"required_items": Text("No loan may be decided with mode {mode}.", mode=each.mode.value)}
    return {}
