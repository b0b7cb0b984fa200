"""Finding products: what is on offer today, by filters that stay in the URL, a page at a time.

An enterprise looks for one place and one industry: a product that names none is for all, one that names a region is for every place
within it; whoever looks for a whole city or section also finds what is offered in a part of it. Free text is words, each of which
occurs in name, bank or summary.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, or_, select

from portal.forms import Field
from portal.parsers import decimal, industry, one_of, optional, plain, region, whole
from portal.products.eligibility import all_of
from portal.products.product import DAYS, Guarantee, Product, TermUnit
from portal.products.tables import offers
from portal.text import Text
from portal.web.listing import Asked, Found, Listing, Order

ROWS: Final = 24
ENDLESS: Final = "9999-12-31"
_FEN: Final = 1_000_000
_E4: Final = 10_000
_MOST_WORDS: Final = 6


FILTERS: Final = (
    Field(name="words", label=Text("Words"), parse=plain, longest=100),
    Field(
        name="amount", label=Text("Amount (CNY 10,000)"), parse=optional(decimal(0, 10_000_000, places=6)), longest=20
    ),
    Field(name="months", label=Text("Term (months)"), parse=optional(whole(1, 360)), longest=4, kind="digits"),
    Field(name="rate", label=Text("Rate at most (% a year)"), parse=optional(decimal(0, 36, places=4)), longest=8),
    Field(name="guarantee", label=Text("Guarantee"), parse=optional(one_of(Guarantee)), kind="choice"),
    Field(name="region", label=Text("Region"), parse=optional(region), kind="choice"),
    Field(name="industry", label=Text("Industry"), parse=optional(industry), kind="choice"),
    Field(name="institution", label=Text("Bank"), parse=plain, longest=41, kind="choice"),
)
LISTING: Final = Listing(
    path="/products",
    filters=FILTERS,
    orders=(
        Order(name="rate", title=Text("Lowest rate"), column=offers.c.rate_min_e4),
        Order(name="amount", title=Text("Largest amount"), column=offers.c.amount_max_fen),
        Order(name="term", title=Text("Longest term"), column=offers.c.term_max_days),
        Order(name="days", title=Text("Days until the decision"), column=offers.c.processing_days),
        Order(name="published", title=Text("Day of publication"), column=offers.c.published_ms),
    ),
    key=offers.c.product_code,
    first="rate",
)


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A product in a list."""

    product_code: str
    product_name: str
    institution: str
    branch: str
    summary: str
    amount_min: Decimal
    amount_max: Decimal
    term_min: int
    term_max: int
    term_unit: TermUnit
    rate_min: Decimal
    rate_max: Decimal
    guarantee_types: tuple[Guarantee, ...]
    processing_days: int


def published(connection: Connection, asked: Asked, day: date) -> tuple[Sequence[Offer], Found]:
    """One page of what enterprises can apply for on a day, and how the list goes on."""
    now = day.isoformat()
    wanted = select(offers).where(offers.c.valid_from <= now, offers.c.valid_to >= now)
    for name, value in asked.values.items():
        wanted = wanted.where(*_CONDITIONS[name](value))
    found = LISTING.page(connection, wanted, asked, rows=ROWS)
    return [_offer(row) for row in found.rows], found


def banks(connection: Connection) -> Sequence[str]:
    """The institutions that offer something."""
    rows = connection.execute(select(offers.c.institution).distinct().order_by(offers.c.institution))
    return [row.institution for row in rows]


def put(connection: Connection, product: Product, now_ms: int) -> None:
    """Offer this version in place of the one before. Only inside `Database.write`."""
    remove(connection, product.product_code)
    connection.execute(insert(offers), _row(product) | {"published_ms": now_ms})


def remove(connection: Connection, product_code: str) -> None:
    """Offer a product no longer. Only inside `Database.write`."""
    connection.execute(delete(offers).where(offers.c.product_code == product_code))


def _row(product: Product) -> dict[str, Any]:
    searched = " ".join((product.product_name, product.branch, product.institution, product.summary))
    return {
        "product_code": product.product_code,
        "version": product.version,
        "institution": product.institution,
        "branch": product.branch,
        "product_name": product.product_name,
        "summary": product.summary,
        "amount_min_fen": int(product.amount_min * _FEN),
        "amount_max_fen": int(product.amount_max * _FEN),
        "term_min": product.term_min,
        "term_max": product.term_max,
        "term_unit": product.term_unit.value,
        "term_min_days": product.term_min_days,
        "term_max_days": product.term_max_days,
        "rate_min_e4": int(product.rate_min * _E4),
        "rate_max_e4": int(product.rate_max * _E4),
        "guarantee_types": _listed(product.guarantee_types),
        "industries": _listed(product.industries),
        "regions": _listed(product.regions),
        "processing_days": product.processing_days,
        "valid_from": product.valid_from.isoformat(),
        "valid_to": product.valid_to.isoformat() if product.valid_to else ENDLESS,
        "searched": searched.casefold(),
    }


def _offer(row: Row[Any]) -> Offer:
    return Offer(
        product_code=row.product_code,
        product_name=row.product_name,
        institution=row.institution,
        branch=row.branch,
        summary=row.summary,
        amount_min=Decimal(row.amount_min_fen) / _FEN,
        amount_max=Decimal(row.amount_max_fen) / _FEN,
        term_min=row.term_min,
        term_max=row.term_max,
        term_unit=TermUnit(row.term_unit),
        rate_min=Decimal(row.rate_min_e4) / _E4,
        rate_max=Decimal(row.rate_max_e4) / _E4,
        guarantee_types=tuple(Guarantee(each) for each in row.guarantee_types.split("|") if each),
        processing_days=row.processing_days,
    )


def _listed(values: Sequence[str]) -> str:
    return f"|{'|'.join(values)}|" if values else ""


def _amount(wan: Decimal) -> Sequence[ColumnElement[bool]]:
    fen = int(wan * _FEN)
    return offers.c.amount_min_fen <= fen, offers.c.amount_max_fen >= fen


def _months(months: int) -> Sequence[ColumnElement[bool]]:
    days = months * DAYS[TermUnit.M]
    return offers.c.term_min_days <= days, offers.c.term_max_days >= days


def _rate(most: Decimal) -> Sequence[ColumnElement[bool]]:
    return (offers.c.rate_min_e4 <= int(most * _E4),)


def _guarantee(kind: Guarantee) -> Sequence[ColumnElement[bool]]:
    return (offers.c.guarantee_types.contains(f"|{kind.value}|"),)


def _region(code: str) -> Sequence[ColumnElement[bool]]:
    around = {f"{code[:2]}0000", f"{code[:4]}00", code}
    return (_for_all_or(offers.c.regions, around, all_of(code)),)


def _industry(code: str) -> Sequence[ColumnElement[bool]]:
    around = {code[:1], *(code[:length] for length in range(3, len(code) + 1))}
    return (_for_all_or(offers.c.industries, around, code),)


def _for_all_or(column: ColumnElement[str], around: Collection[str], within: str) -> ColumnElement[bool]:
    """It names nothing, something around what is looked for, or something within it."""
    named = [column.contains(f"|{code}|") for code in sorted(around)]
    return or_(column == "", column.contains(f"|{within}"), *named)


def _words(text: str) -> Sequence[ColumnElement[bool]]:
    words = text.casefold().split()
    return [offers.c.searched.contains(word, autoescape=True) for word in words[:_MOST_WORDS]]


def _institution(institution: str) -> Sequence[ColumnElement[bool]]:
    return (offers.c.institution == institution,)


_CONDITIONS: Final[Mapping[str, Callable[[Any], Sequence[ColumnElement[bool]]]]] = {
    "words": _words,
    "amount": _amount,
    "months": _months,
    "rate": _rate,
    "guarantee": _guarantee,
    "region": _region,
    "industry": _industry,
    "institution": _institution,
}
