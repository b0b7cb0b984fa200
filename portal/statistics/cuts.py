"""A month by district, industry and size of the enterprises, with small cells hidden before anything is kept.

Only months that are over are cut: a month that still grows would tell each new application by the difference of two looks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import Connection, func, select

from consent.validators import SECTIONS
from portal.applications.tables import applications, grants, moves
from portal.facts.names import SIZES, regions
from portal.statistics.cells import ALL, Cell, Place, hidden
from portal.statistics.daily import A, M, Span, span_of

ELSEWHERE: Final = "other"
"""What was not told, or is not among the columns."""
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "district": (*(code for code in regions() if code[4:] != "00"), ELSEWHERE),
    "industry": (*SECTIONS, ELSEWHERE),
    "size": (*(each.value for each in SIZES), ELSEWHERE),
}
_MEASURES: Final = {"applied": "demand_fen", "granted": "granted_fen"}
"""A count, and the amount that is shown where the count is."""
Sums = tuple[dict[Place, Cell], dict[Place, int]]


def of_month(connection: Connection, first: date) -> Sequence[Mapping[str, Any]]:
    """The rows of a month that is over; `first`: its first day."""
    span, month = span_of(first, next_month(first)), f"{first:%Y-%m}"
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for dimension, columns in COLUMNS.items():
        for count, amount in _MEASURES.items():
            cells, amounts = _sums(connection, span, dimension, count)
            unseen = hidden(cells, columns)
            for place in {*cells, *unseen}:
                row = rows.setdefault((dimension, *place), _blank(month, dimension, place))
                seen = place not in unseen
                row[count] = (cells[place].count if place in cells else 0) if seen else None
                row[amount] = amounts.get(place, 0) if seen else None
    return list(rows.values())


def next_month(first: date) -> date:
    """The first day of the month after."""
    return (first.replace(day=1) + timedelta(days=32)).replace(day=1)


def _blank(month: str, dimension: str, place: Place) -> dict[str, Any]:
    named = {"institution": place[0], "value": place[1], "dimension": dimension, "month": month}
    return named | dict.fromkeys([each for pair in _MEASURES.items() for each in pair], 0)


def _sums(connection: Connection, span: Span, dimension: str, count: str) -> Sums:
    """Cells and amounts by bank and value, and under `ALL`, where an enterprise with several banks counts once."""
    within, joined, amount = span.holds(M.time_ms), moves.join(applications), A.amount_fen
    if count == "applied":
        within &= M.move_no == 1
    else:
        within &= M.act == "grant"
        joined, amount = joined.join(grants, grants.c.application_no == A.application_no), grants.c.limit_fen
    wanted = select(A.institution, A[dimension].label("value"), A.uscc, func.count(), func.sum(amount))
    grouped = wanted.select_from(joined).where(within).group_by(A.institution, A[dimension], A.uscc)
    counts: dict[Place, int] = defaultdict(int)
    firms: dict[Place, set[str]] = defaultdict(set)
    amounts: dict[Place, int] = defaultdict(int)
    for institution, value, uscc, number, fen in connection.execute(grouped):
        column = value if value in COLUMNS[dimension] else ELSEWHERE
        for place in ((institution, column), (ALL, column)):
            counts[place] += number
            firms[place].add(uscc)
            amounts[place] += int(fen)
    return {place: Cell(counts[place], len(firms[place])) for place in counts}, amounts
