"""Lists: whatever the order and the size of a page, the pages together are the whole list, once."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine, insert, select

from portal.forms import Field, Wrong
from portal.text import Text as Sentence
from portal.web.listing import Listing, Order

THINGS = Table("things", MetaData(), Column("name", Text, primary_key=True), Column("size", Integer, nullable=False))


def _number(text: str) -> int | None:
    if text and not text.isdigit():
        raise Wrong(Sentence("A number."))
    return int(text) if text else None


LISTING = Listing(
    path="/things",
    filters=[Field(name="least", label=Sentence("At least"), parse=_number)],
    orders=[
        Order(name="size", title=Sentence("Size"), column=THINGS.c.size),
        Order(name="name", title=Sentence("Name"), column=THINGS.c.name),
    ],
    key=THINGS.c.name,
    first="-size",
)


def walk(things: dict[str, int], url: str, rows: int) -> list[Sequence[tuple[str, int]]]:
    engine = create_engine("sqlite://")
    THINGS.create(engine)
    pages = []
    with engine.connect() as connection:
        if things:
            connection.execute(insert(THINGS), [{"name": name, "size": size} for name, size in things.items()])
        while url:
            asked = LISTING.asked(dict(parse_qsl(urlsplit(url).query)))
            wanted = select(THINGS)
            if (least := asked.values.get("least")) is not None:
                wanted = wanted.where(THINGS.c.size >= least)
            found = LISTING.page(connection, wanted, asked, rows=rows)
            pages.append([(row.name, row.size) for row in found.rows])
            url = found.following
    return pages


@given(
    things=st.dictionaries(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=3), st.integers(0, 4)),
    order=st.sampled_from(["size", "-size", "name", "-name"]),
    least=st.integers(0, 4),
    rows=st.integers(1, 5),
)
def test_the_pages_together_are_the_whole_list_once(things: dict[str, int], order: str, least: int, rows: int) -> None:
    pages = walk(things, f"/things?least={least}&sort={order}", rows)
    by_size = "size" in order
    whole = sorted(
        ((name, size) for name, size in things.items() if size >= least),
        key=lambda thing: (thing[1], thing[0]) if by_size else (thing[0], 0),
        reverse=order.startswith("-"),
    )
    assert [thing for page in pages for thing in page] == whole
    assert all(len(page) == rows for page in pages[:-1])


def test_a_heading_turns_its_own_order_round_and_keeps_the_filters() -> None:
    asked = LISTING.asked({"least": "2", "sort": "size", "after": "x"})
    assert asked.url(sort="size") == "/things?least=2&sort=-size"
    assert asked.url(sort="name") == "/things?least=2&sort=name"


def test_a_filter_that_makes_no_sense_has_its_fault_beside_it_and_does_not_count() -> None:
    asked = LISTING.asked({"least": "many", "sort": "weight"})
    assert "least" in asked.filled.faults and asked.filled.given["least"] == "many"
    assert asked.values == {} and (asked.order, asked.descending) == ("size", True)


@pytest.mark.parametrize("after", ["x", "@@@", "W10", "W251bGxd", "A" * 700, "WyJhIl0"])
def test_a_place_that_is_none_of_ours_is_the_beginning(after: str) -> None:
    assert walk({"a": 1}, f"/things?after={after}", 5) == [[("a", 1)]]
