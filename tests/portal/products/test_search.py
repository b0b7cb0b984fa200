from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import ColumnElement, Connection, select, text

from portal.products import search
from portal.products.product import Guarantee, Product, RateBasis, TermUnit
from portal.products.tables import offers
from portal.today import today
from tests.portal.products.offer import offer, product
from tests.portal.world import World


def made(code: str, **changes: object) -> Product:
    return product(product_code=code, product_name=code, regions=(), industries=(), **changes)


PRODUCTS = (
    made("small", amount_min=Decimal(1), amount_max=Decimal(50), rate_min=Decimal("4.00"), rate_max=Decimal(5)),
    made("large", amount_min=Decimal(50), amount_max=Decimal(5000), rate_min=Decimal("3.20"), institution="bank-b"),
    made("long", term_min=1, term_max=10, term_unit=TermUnit.Y, rate_min=Decimal("3.90")),
    made("days", term_min=30, term_max=360, term_unit=TermUnit.D, guarantee_types=(Guarantee.PLEDGE,)),
    product(product_code="haidian", product_name="haidian", regions=("110108",), industries=("I65", "M")),
    product(product_code="beijing", product_name="beijing", regions=("110000",), industries=("C",)),
    product(product_code="shanghai", product_name="shanghai 50%_off", regions=("310000",), industries=("C3921",)),
)


def found(world: World, query: dict[str, str]) -> set[str]:
    asked = search.LISTING.asked(query)
    day = today(world.now_ms[0])
    return {each.product_code for each in world.portal.db.read_now(lambda c: search.published(c, asked, day)[0])}


ALL = {each.product_code for each in PRODUCTS}
PLACES = {"haidian", "beijing", "shanghai"}
CASES: list[tuple[dict[str, str], set[str]]] = [
    ({}, ALL),
    ({"amount": "5"}, {"small"}),
    ({"amount": "50"}, ALL),
    ({"amount": "50.000001"}, ALL - {"small"}),
    ({"amount": "5,000"}, {"large"}),
    ({"months": "12"}, ALL),
    ({"months": "2"}, {"days"}),
    ({"months": "120"}, {"long"}),
    ({"rate": "3.2"}, {"large"}),
    ({"rate": "3.19"}, set()),
    ({"guarantee": "pledge"}, {"days"}),
    ({"guarantee": "credit"}, ALL - {"days"}),
    ({"region": "110108"}, ALL - {"shanghai"}),
    ({"region": "110105"}, ALL - {"shanghai", "haidian"}),
    ({"region": "110000"}, ALL - {"shanghai"}),
    ({"region": "310115"}, ALL - {"haidian", "beijing"}),
    ({"industry": "I65"}, ALL - {"beijing", "shanghai"}),
    ({"industry": "I651"}, ALL - {"beijing", "shanghai"}),
    ({"industry": "I"}, ALL - {"beijing", "shanghai"}),
    ({"industry": "I63"}, ALL - PLACES),
    ({"industry": "C39"}, ALL - {"haidian"}),
    ({"industry": "C40"}, ALL - {"haidian", "shanghai"}),
    ({"institution": "bank-b"}, {"large"}),
    ({"words": "SHANGHAI"}, {"shanghai"}),
    ({"words": "50%_"}, {"shanghai"}),
    ({"words": "%"}, {"shanghai"}),
    ({"words": "纳税 bank-b"}, {"large"}),
    ({"words": "' OR 1=1 --"}, set()),
    ({"amount": "50", "rate": "3.3", "region": "110108", "words": "large"}, {"large"}),
]


@pytest.fixture
def market(world: World) -> World:
    offer(world, *PRODUCTS)
    return world


def test_each_filter_finds_what_fits_and_nothing_else(market: World) -> None:
    assert [(query, found(market, query) ^ wanted) for query, wanted in CASES if found(market, query) != wanted] == []


def test_each_order_sorts_both_ways(market: World) -> None:
    def sorted_by(name: str) -> list[str]:
        asked, day = search.LISTING.asked({"sort": name}), today(market.now_ms[0])
        return [each.product_code for each in market.portal.db.read_now(lambda c: search.published(c, asked, day)[0])]

    for order in search.LISTING.orders:
        assert sorted_by(order.name) == list(reversed(sorted_by(f"-{order.name}")))
    assert sorted_by("rate")[0] == "large" and sorted_by("amount")[0] == "small" and sorted_by("term")[-1] == "long"


def test_what_is_shown_of_an_offer_is_what_was_put(market: World) -> None:
    asked, day = search.LISTING.asked({"words": "small"}), today(market.now_ms[0])
    (one,) = market.portal.db.read_now(lambda c: search.published(c, asked, day)[0])
    whole = PRODUCTS[0]
    names = list(search.Offer.__dataclass_fields__)
    assert {name: getattr(one, name) for name in names} == {name: getattr(whole, name) for name in names}


def test_a_new_version_takes_the_place_of_the_one_before(market: World) -> None:
    offer(market, made("small", version=2, rate_min=Decimal(2), rate_basis=RateBasis.FIXED, spread_bp=None))
    assert found(market, {"rate": "2"}) == {"small"} and found(market, {}) == ALL


def test_every_order_has_an_index_to_walk_along(market: World) -> None:
    def plan(connection: Connection, column: ColumnElement[Any]) -> str:
        wanted = select(offers).order_by(column, offers.c.product_code).limit(51)
        return " ".join(row[3] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {wanted}"), {"param_1": 51}))

    for order in search.LISTING.orders:
        read = market.portal.db.read_now(lambda c, column=order.column: plan(c, column))  # type: ignore[misc]
        assert "USING INDEX" in read and "TEMP B-TREE" not in read
