"""Sums of what is kept, for pages: a period of an institution and product, by day or month, by bank or product, by cuts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Table, func, select

from portal.statistics.cells import ALL
from portal.statistics.tables import FLOWS, PARTS, STOCKS, cuts, daily, stock

MOST_DAYS: Final = 400
BY_DAY: Final = 62
"""Periods of up to so many days are drawn by day, longer ones by month."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked for; `ALL` for every institution or product. `until` is the last day, included."""

    institution: str = ALL
    product_code: str = ALL
    since: date
    until: date

    @property
    def by_day(self) -> bool:
        """Whether the period is drawn by day."""
        return (self.until - self.since).days < BY_DAY


@dataclass(frozen=True)
class Figures:
    """Sums of flows, and what stood at the end of the last day that has it. What cannot be told is None."""

    sums: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys((*FLOWS, *STOCKS), 0))

    def __getitem__(self, name: str) -> int:
        return self.sums[name]

    @property
    def approval_rate(self) -> float | None:
        """Granted of decided, in %."""
        return _ratio(100 * self["granted"], self["decided"])

    @property
    def weighted_rate(self) -> float | None:
        """% a year, weighted by what was granted."""
        return _ratio(100 * self["interest_fen"], self["granted_fen"])

    @property
    def credit_share(self) -> float | None:
        """Of the granted amount, what has no security (信用贷款), in %."""
        return _ratio(100 * self["credit_fen"], self["granted_fen"])

    @property
    def overdue_rate(self) -> float | None:
        """Overdue amounts of the balance, in %."""
        return _ratio(100 * self["overdue_fen"], self["balance_fen"])

    @property
    def npl_rate(self) -> float | None:
        """Balance in the three non-performing classes, in %."""
        return _ratio(100 * self["npl_fen"], self["balance_fen"])

    def days(self, spent: str, count: str) -> float | None:
        """Average days of something, as `accept_ms` over `accepted`."""
        return _ratio(self[spent] / 86_400_000, self[count])


@dataclass(frozen=True)
class Cut:
    """One value of a cut. None is hidden; `more`: of some months the cell is hidden, so it is at least this."""

    value: str
    sums: Mapping[str, int | None]
    more: Mapping[str, bool]


def whole(connection: Connection, asked: Asked) -> Figures:
    """The whole period."""
    sums = [func.coalesce(func.sum(daily.c[name]), 0).label(name) for name in FLOWS]
    row = connection.execute(select(*sums).where(_within(daily, asked))).one()
    standing = list(_standing(connection, asked).values())
    last = standing[-1] if standing else dict.fromkeys(STOCKS, 0)
    return Figures({name: int(value) for name, value in row._mapping.items()} | last)


def series(connection: Connection, asked: Asked) -> Mapping[str, Figures]:
    """Each day or month of the period, also those that had nothing, in their order; flows, and stock where it was looked at."""
    length = 10 if asked.by_day else 7
    count = (asked.until - asked.since).days + 1
    named = dict.fromkeys((asked.since + timedelta(days=each)).isoformat()[:length] for each in range(count))
    found: dict[str, dict[str, int]] = {each: dict.fromkeys((*FLOWS, *STOCKS), 0) for each in named}
    period = func.substr(daily.c.day, 1, length)
    sums = [func.sum(daily.c[name]).label(name) for name in FLOWS]
    for row in connection.execute(select(period.label("period"), *sums).where(_within(daily, asked)).group_by(period)):
        found[row.period] |= {name: int(getattr(row, name)) for name in FLOWS}
    for day, standing in _standing(connection, asked).items():
        found[day[:length]] |= standing
    return {each: Figures(values) for each, values in found.items()}


def parts(connection: Connection, asked: Asked) -> Sequence[tuple[str, Figures]]:
    """By institution, or within one by product, the largest grants first; of the flows `PARTS` only."""
    of_all = asked.institution == ALL
    column = daily.c.institution if of_all else daily.c.product_code
    sums = [func.sum(daily.c[name]).label(name) for name in PARTS]
    wanted = select(column.label("part"), *sums).where(
        daily.c.day.between(asked.since.isoformat(), asked.until.isoformat()) & (column != ALL)
    )
    own = daily.c.product_code == ALL if of_all else daily.c.institution == asked.institution
    rows = connection.execute(
        wanted.where(own).group_by(column).order_by(func.sum(daily.c.granted_fen).desc(), column)
    ).all()
    none = dict.fromkeys((*FLOWS, *STOCKS), 0)
    return [(row.part, Figures(none | {name: int(getattr(row, name)) for name in PARTS})) for row in rows]


def cut_by(connection: Connection, asked: Asked, dimension: str) -> Sequence[Cut]:
    """The months that are over and begin and end within the period, by district, industry or size; the largest first."""
    first, last = asked.since.isoformat(), (asked.until + timedelta(days=1)).isoformat()
    from_month = first[:7] if first.endswith("-01") else _month_after(asked.since)
    own = (cuts.c.institution == asked.institution) & (cuts.c.dimension == dimension)
    rows = connection.execute(select(cuts).where(own & (cuts.c.month >= from_month) & (cuts.c.month < last[:7])))
    sums: dict[str, dict[str, int | None]] = defaultdict(
        lambda: dict.fromkeys(("applied", "demand_fen", "granted", "granted_fen"))
    )
    more: dict[str, dict[str, bool]] = defaultdict(lambda: {"applied": False, "granted": False})
    for row in rows:
        for name in ("applied", "demand_fen", "granted", "granted_fen"):
            value = getattr(row, name)
            if value is not None:
                sums[row.value][name] = (sums[row.value][name] or 0) + value
            elif name in more[row.value]:
                more[row.value][name] = True
        sums[row.value]
    found = [Cut(value, dict(each), dict(more[value])) for value, each in sums.items()]
    return sorted(found, key=lambda each: (-(each.sums["applied"] or 0), each.value))


def _within(table: Table, asked: Asked) -> Any:  # noqa: ANN401 (a condition)
    own = (table.c.institution == asked.institution) & (table.c.product_code == asked.product_code)
    return own & table.c.day.between(asked.since.isoformat(), asked.until.isoformat())


def _standing(connection: Connection, asked: Asked) -> Mapping[str, dict[str, int]]:
    """What stood on each day that was looked at, in their order: nothing where there is no row of what is asked for."""
    everything = Asked(since=asked.since, until=asked.until)
    looked = connection.execute(select(stock.c.day).where(_within(stock, everything)).order_by(stock.c.day)).scalars()
    rows = {row.day: row for row in connection.execute(select(stock).where(_within(stock, asked)))}
    return {day: {name: getattr(rows[day], name) if day in rows else 0 for name in STOCKS} for day in looked}


def _month_after(day: date) -> str:
    return (day.replace(day=1) + timedelta(days=32)).isoformat()[:7]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
