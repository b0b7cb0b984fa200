"""Lists that filter, sort and page, with their whole state in the URL: what is seen can be bookmarked, sent on and gone back to.

Pages go by the place after the last row (keyset), not by number, so that the thousandth costs what the first does: every column that is
sorted by is indexed together with the key, and has no NULL.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, tuple_

from consent.identifiers import CHINA_TIME
from portal.forms import Field, Filled, fill
from portal.parsers import day, optional
from portal.text import Text

ROWS: Final = 50
_AFTER, _SORT = "after", "sort"
_LONGEST_AFTER: Final = 600
SINCE: Final = Field(name="since", label=Text("From (day)"), parse=optional(day), longest=10, kind="date")
UNTIL: Final = Field(name="until", label=Text("To (day)"), parse=optional(day), longest=10, kind="date")


@dataclass(frozen=True, kw_only=True)
class Heading:
    """Something that a list can be sorted by. `title` heads its column."""

    name: str
    title: Text


@dataclass(frozen=True, kw_only=True)
class Order(Heading):
    """The same in the database."""

    column: ColumnElement[Any]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a URL asks for. `given`: filters as typed, back into the form; `values`: those that were filled in and are right."""

    path: str
    filled: Filled
    order: str
    descending: bool
    after: str

    @property
    def values(self) -> Mapping[str, Any]:
        """The filters that count."""
        return {name: value for name, value in self.filled.values.items() if value not in {None, ""}}

    @property
    def query(self) -> str:
        """The same filters and order, for another path."""
        return self.url().partition("?")[2]

    def url(self, *, sort: str = "", after: str = "") -> str:
        """The same filters, sorted by another column (the same one: the other way round), or the page after a place."""
        order, descending = self.order, self.descending
        if sort:
            order, descending = sort, not descending if sort == order else False
        given = {name: value for name, value in self.filled.given.items() if value}
        given[_SORT] = f"-{order}" if descending else order
        if after:
            given[_AFTER] = after
        return f"{self.path}?{urlencode(given)}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """One page of rows. `following`: the URL of the next page, empty on the last one."""

    rows: Sequence[Row[Any]]
    following: str


@dataclass(frozen=True, kw_only=True)
class Asking:
    """A list: where it is, what it filters and sorts by. `first`: the order that nobody asked for, as in a URL.

    A filter is a form's field whose parser returns None or "" for "any".
    """

    path: str
    filters: Sequence[Field]
    orders: Sequence[Heading]
    first: str

    def asked(self, query: Mapping[str, str]) -> Asked:
        """Read a URL. A filter that makes no sense has its fault beside it and does not count."""
        sort = query.get(_SORT, "")
        if sort.removeprefix("-") not in {one.name for one in self.orders}:
            sort = self.first
        return Asked(
            path=self.path,
            filled=fill(self.filters, query),
            order=sort.removeprefix("-"),
            descending=sort.startswith("-"),
            after=query.get(_AFTER, ""),
        )


@dataclass(frozen=True, kw_only=True)
class Listing(Asking):
    """A list of the database's rows. `key` is unique."""

    orders: Sequence[Order]
    key: ColumnElement[Any]

    def page(self, connection: Connection, wanted: Select[Any], asked: Asked, *, rows: int = ROWS) -> Found:
        """One page of `wanted`, to which the caller has added the filters; it selects `key` and the columns of `orders`."""
        column = next(one.column for one in self.orders if one.name == asked.order)
        place = tuple_(column, self.key)
        last = _place(asked.after)
        if last is not None:
            wanted = wanted.where(place < tuple_(*last) if asked.descending else place > tuple_(*last))
        ways = [each.desc() if asked.descending else each.asc() for each in (column, self.key)]
        found = connection.execute(wanted.order_by(*ways).limit(rows + 1)).all()
        if len(found) <= rows:
            return Found(rows=found, following="")
        end = found[rows - 1]._mapping
        return Found(rows=found[:rows], following=asked.url(after=_cursor(end[column], end[self.key])))


def within_days(wanted: Select[Any], moment: ColumnElement[Any], values: Mapping[str, Any]) -> Select[Any]:
    """What happened on the days of the filters `SINCE` and `UNTIL`, both included, as days are in China."""
    if "since" in values:
        wanted = wanted.where(moment >= _midnight(values["since"]))
    if "until" in values:
        wanted = wanted.where(moment < _midnight(values["until"] + timedelta(days=1)))
    return wanted


def _midnight(day: date) -> int:
    return 1000 * int(datetime(day.year, day.month, day.day, tzinfo=CHINA_TIME).timestamp())


def _cursor(value: object, key: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([value, key])).decode().rstrip("=")


def _place(cursor: str) -> tuple[str | int | float, str | int] | None:
    """The place that a cursor stands for; None, the beginning, for one that was not ours."""
    if not cursor or len(cursor) > _LONGEST_AFTER:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(text, type=tuple[str | int | float, str | int])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
