"""The form of a product, in sections of a page each, and how what was typed becomes a `Product`.

A draft keeps what was typed, section by section; only whole, and without a fault, does it become a product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import Any, Final

from consent.catalogue import Item, load_catalogue
from consent.documents import ItemMode
from consent.enterprise_size import EnterpriseSize
from portal.accounts.fields import REASON
from portal.forms import Field, Filled, Wrong, fill, some_text
from portal.parsers import day, decimal, industry, lines, one_of, optional, region, several, whole
from portal.products.eligibility import FoundedFor, IndustryOutside, Measure, Measured, Rule
from portal.products.product import (
    Guarantee,
    LoanPurpose,
    Product,
    ProductType,
    RateBasis,
    Repayment,
    RequiredItem,
    TermUnit,
    faults,
)
from portal.text import Name, Text

ITEM: Final = "item_"
_WAN: Final = decimal(0, 10_000_000, places=6)
_PERCENT: Final = decimal(0, 36, places=4)
_MEASURED: Final[Mapping[str, Measure]] = {"employees": "employees", "revenue": "revenue_wan", "assets": "assets_wan"}


@dataclass(frozen=True)
class Section:
    """One page of the form. `slug`: in its address."""

    slug: str
    title: Text
    fields: Sequence[Field]


def _ticked(text: str) -> bool:
    return bool(text)


def _mode(item: Item) -> Field:
    def parse(text: str) -> ItemMode | None:
        if text and text not in item.modes:
            raise Wrong(Text("Choose from the list."))
        return ItemMode(text) if text else None

    return Field(name=ITEM + item.id, label=Name(item.name, item.name_en), parse=parse, kind="choice", longest=1)


BASICS: Final = Section(
    "basics",
    Text("What it is"),
    (
        Field(
            name="product_name", label=Text("Name of the product"), parse=some_text(Text("Type a name.")), longest=60
        ),
        Field(
            name="branch",
            label=Text("Bank and branch"),
            hint=Text("As enterprises know them."),
            parse=some_text(Text("Type bank and branch.")),
            longest=80,
        ),
        Field(
            name="summary",
            label=Text("In plain words, what it is and for whom"),
            parse=some_text(Text("Say in a few sentences what it is.")),
            kind="area",
            longest=600,
        ),
        Field(name="product_type", label=Text("Kind"), parse=one_of(ProductType), kind="choice"),
        Field(
            name="purposes",
            label=Text("What the money may be used for"),
            hint=Text("Tick none for anything that the law allows."),
            parse=several(one_of(LoanPurpose)),
            kind="checks",
            longest=400,
        ),
    ),
)
MONEY: Final = Section(
    "money",
    Text("Amount and term"),
    (
        Field(name="amount_min", label=Text("Smallest amount (CNY 10,000)"), parse=_WAN, longest=20),
        Field(name="amount_max", label=Text("Largest amount (CNY 10,000)"), parse=_WAN, longest=20),
        Field(name="amount_step", label=Text("Amounts go in steps of (CNY 10,000)"), parse=_WAN, longest=20),
        Field(name="term_min", label=Text("Shortest term"), parse=whole(1, 10_800), longest=6, kind="digits"),
        Field(name="term_max", label=Text("Longest term"), parse=whole(1, 10_800), longest=6, kind="digits"),
        Field(name="term_unit", label=Text("Terms are in"), parse=one_of(TermUnit), kind="choice"),
        Field(
            name="revolving",
            label=Text("The limit can be used again after a repayment"),
            parse=_ticked,
            kind="tick",
            longest=3,
        ),
    ),
)
PRICE: Final = Section(
    "price",
    Text("Price, guarantee and repayment"),
    (
        Field(name="rate_min", label=Text("Lowest rate (% a year)"), parse=_PERCENT, longest=8),
        Field(name="rate_max", label=Text("Highest rate (% a year)"), parse=_PERCENT, longest=8),
        Field(name="rate_basis", label=Text("What the rate hangs on"), parse=one_of(RateBasis), kind="choice"),
        Field(
            name="spread_bp",
            label=Text("Basis points of the lowest rate above the LPR"),
            hint=Text("Only for a rate that hangs on the LPR; below it, with a minus."),
            parse=optional(whole(-1000, 3000)),
            longest=6,
        ),
        Field(
            name="guarantee_types",
            label=Text("Guarantee"),
            parse=several(one_of(Guarantee)),
            kind="checks",
            longest=400,
        ),
        Field(
            name="repayment_methods",
            label=Text("Repayment"),
            parse=several(one_of(Repayment)),
            kind="checks",
            longest=400,
        ),
    ),
)
WHO: Final = Section(
    "who",
    Text("Who may have it"),
    (
        Field(
            name="regions",
            label=Text("Regions"),
            hint=Text("Tick none for every place."),
            parse=several(region),
            kind="checks",
            longest=1000,
        ),
        Field(
            name="industries",
            label=Text("Industries"),
            hint=Text("Tick none for all of them."),
            parse=several(industry),
            kind="checks",
            longest=1000,
        ),
        Field(
            name="industries_outside",
            label=Text("Industries that cannot have it"),
            parse=several(industry),
            kind="checks",
            longest=1000,
        ),
        Field(
            name="target_sizes",
            label=Text("Sizes"),
            hint=Text("Tick none for all of them."),
            parse=several(one_of(EnterpriseSize)),
            kind="checks",
            longest=400,
        ),
        Field(
            name="founded_months",
            label=Text("Founded at least so many months ago"),
            parse=optional(whole(1, 1200)),
            longest=4,
            kind="digits",
        ),
        Field(
            name="employees_min",
            label=Text("Employees at least"),
            parse=optional(whole(0, 1_000_000)),
            longest=8,
            kind="digits",
        ),
        Field(
            name="employees_max",
            label=Text("Employees at most"),
            parse=optional(whole(0, 1_000_000)),
            longest=8,
            kind="digits",
        ),
        Field(name="revenue_min", label=Text("Revenue a year at least (CNY 10,000)"), parse=optional(_WAN), longest=20),
        Field(name="revenue_max", label=Text("Revenue a year at most (CNY 10,000)"), parse=optional(_WAN), longest=20),
        Field(name="assets_min", label=Text("Total assets at least (CNY 10,000)"), parse=optional(_WAN), longest=20),
        Field(name="assets_max", label=Text("Total assets at most (CNY 10,000)"), parse=optional(_WAN), longest=20),
    ),
)
DATA: Final = Section(
    "data",
    Text("Data that you want to use"),
    tuple(_mode(item) for item in load_catalogue().items.values() if item.provided),
)
TIME: Final = Section(
    "time",
    Text("Papers and time"),
    (
        Field(
            name="documents",
            label=Text("Papers that the enterprise hands in"),
            hint=Text("One a line. Leave out what the data above already tells."),
            parse=lines(30, 120),
            kind="area",
            longest=4000,
        ),
        Field(
            name="processing_days",
            label=Text("Working days until you decide"),
            parse=whole(1, 90),
            longest=3,
            kind="digits",
        ),
        Field(name="valid_from", label=Text("First day of applications"), parse=day, kind="date", longest=10),
        Field(
            name="valid_to",
            label=Text("Last day of applications"),
            hint=Text("Leave it empty for no end."),
            parse=optional(day),
            kind="date",
            longest=10,
        ),
    ),
)
SECTIONS: Final = (BASICS, MONEY, PRICE, WHO, DATA, TIME)
BY_SLUG: Final = {section.slug: section for section in SECTIONS}
FIELDS: Final = tuple(chain.from_iterable(section.fields for section in SECTIONS))
DECISION: Final = (REASON,)


def classes() -> Sequence[tuple[Name, Sequence[tuple[Item, Field]]]]:
    """The items that can be wanted, by the classes of the catalogue, each with its field."""
    by_name, catalogue = {each.name: each for each in DATA.fields}, load_catalogue()
    found = []
    for one in catalogue.classes:
        items = [item for item in catalogue.items.values() if item.class_id == one.id and item.provided]
        found.append((Name(one.name, one.name_en), [(item, by_name[ITEM + item.id]) for item in items]))
    return [(name, items) for name, items in found if items]


def section_of(field: str) -> Section:
    """The section where a field stands; for what is wrong with items as a whole, the one of data."""
    return next((one for one in SECTIONS if any(field == each.name for each in one.fields)), DATA)


def parse(
    answers: Mapping[str, str], product_code: str, institution: str, version: int
) -> tuple[Product | None, Filled]:
    """The product that all sections together make; None with what is wrong where they make none."""
    filled = fill(FIELDS, answers)
    if filled.faults:
        return None, filled
    values = dict(filled.values)
    items = {name: values.pop(name) for name in list(values) if name.startswith(ITEM)}
    required = tuple(RequiredItem(item_id=name[len(ITEM) :], mode=mode) for name, mode in items.items() if mode)
    conditions, wrong = _conditions(values)
    product = Product(
        product_code=product_code,
        institution=institution,
        version=version,
        conditions=conditions,
        required_items=required,
        **values,
    )
    filled = filled.with_faults({**wrong, **faults(product)})
    return (None if filled.faults else product), filled


def _conditions(values: dict[str, Any]) -> tuple[tuple[Rule, ...], Mapping[str, Text]]:
    """Take what is a condition out of the values."""
    found: list[Rule] = []
    wrong: dict[str, Text] = {}
    months, outside = values.pop("founded_months"), values.pop("industries_outside")
    if months is not None:
        found.append(FoundedFor(months=months))
    if outside:
        found.append(IndustryOutside(industries=outside))
    for name, measure in _MEASURED.items():
        low: Decimal | int | None = values.pop(f"{name}_min")
        high: Decimal | int | None = values.pop(f"{name}_max")
        if low is None and high is None:
            continue
        if low is not None and high is not None and high < low:
            wrong[f"{name}_max"] = Text("The upper bound is at least the lower one.")
        found.append(Measured(measure=measure, at_least=_exact(low), at_most=_exact(high)))
    return tuple(found), wrong


def _exact(value: Decimal | int | None) -> Decimal | None:
    return None if value is None else Decimal(value)
