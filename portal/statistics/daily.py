"""What happened on one day, counted from the moves of applications, the ledger's entries and the record of acts.

Every count is of acts by their time, which nothing changes afterwards: a day that is over gives the same figures for ever.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Float, Select, and_, case, cast, func, select

from consent.identifiers import CHINA_TIME
from portal.applications.tables import applications, grants, moves
from portal.credit.keeping import RUNNING
from portal.credit.line import NON_PERFORMING
from portal.credit.tables import entries, lines
from portal.events import events
from portal.statistics.cells import ALL
from portal.statistics.tables import FLOWS, STOCKS

Key = tuple[str, str]
"""Institution and product."""
Rows = Mapping[Key, Mapping[str, int]]
A, M, L = applications.c, moves.c, lines.c
WAITING: Final = ("pushed", "accepted", "due_diligence")
_RECORDED: Final = {
    "registration_approve": "registered",
    "consent_given": "consents_given",
    "consent_withdrawn": "consents_withdrawn",
}


@dataclass(frozen=True)
class Span:
    """From a time in ms to another, not included."""

    from_ms: int
    to_ms: int

    def holds(self, column: ColumnElement[int]) -> ColumnElement[bool]:
        """Whether a column's time is within."""
        return and_(column >= self.from_ms, column < self.to_ms)


def span_of(first: date, following: date) -> Span:
    """From a day in China to another, not included."""
    return Span(midnight(first), midnight(following))


def midnight(day: date) -> int:
    """The beginning of a day in China, in ms."""
    return 1000 * int(datetime(day.year, day.month, day.day, tzinfo=CHINA_TIME).timestamp())


def flows(connection: Connection, day: date) -> Rows:
    """What a day had, by institution and product, and their sums under `ALL`."""
    span = span_of(day, day + timedelta(days=1))
    found: dict[Key, dict[str, int]] = defaultdict(lambda: dict.fromkeys(FLOWS, 0))
    for wanted in (_arrived(span), _accepted(span), _decided(span), _granted(span), _entered(span), _drawn(span)):
        _add(found, connection.execute(wanted))
    recorded = select(events.c.action, func.count()).where(
        span.holds(events.c.time_ms) & events.c.action.in_(list(_RECORDED))
    )
    for action, count in connection.execute(recorded.group_by(events.c.action)):
        found[(ALL, ALL)][_RECORDED[action]] += count
    return found


def stocks(connection: Connection) -> Rows:
    """What stands now; the row of all is there even if that is nothing, and says that the day was looked at."""
    found: dict[Key, dict[str, int]] = defaultdict(lambda: dict.fromkeys(STOCKS, 0))
    found[(ALL, ALL)]["lines"] = 0
    waiting = select(A.institution, A.product_code, func.count().label("waiting")).where(A.state.in_(WAITING))
    _add(found, connection.execute(waiting.group_by(A.institution, A.product_code)))
    bad = case((L.class5.in_([each.value for each in NON_PERFORMING]), L.balance_fen), else_=0)
    standing = select(
        L.institution,
        L.product_code,
        func.count().label("lines"),
        func.sum(L.balance_fen).label("balance_fen"),
        func.sum(L.overdue_fen).label("overdue_fen"),
        func.sum(bad).label("npl_fen"),
    ).where(L.state.in_(RUNNING))
    _add(found, connection.execute(standing.group_by(L.institution, L.product_code)))
    return found


def _add(found: dict[Key, dict[str, int]], rows: Iterable[Any]) -> None:
    """Add figures by name to their product, to its bank and to all."""
    for row in rows:
        values = dict(row._mapping)
        institution, product = values.pop("institution"), values.pop("product_code")
        for key in ((institution, product), (institution, ALL), (ALL, ALL)):
            for name, value in values.items():
                found[key][name] += round(value or 0)


def _by_product(joined: Any, *figures: ColumnElement[Any]) -> Select[Any]:  # noqa: ANN401 (a join)
    wanted = select(A.institution, A.product_code, *figures).select_from(joined)
    return wanted.group_by(A.institution, A.product_code)


def _arrived(span: Span) -> Select[Any]:
    """First moves: what was sent again after it was returned counts once."""
    joined = moves.join(applications)
    figures = func.count().label("applied"), func.sum(A.amount_fen).label("demand_fen")
    return _by_product(joined, *figures).where(span.holds(M.time_ms) & (M.move_no == 1))


def _accepted(span: Span) -> Select[Any]:
    figures = func.count().label("accepted"), func.sum(M.time_ms - A.pushed_ms).label("accept_ms")
    return _by_product(moves.join(applications), *figures).where(span.holds(M.time_ms) & (M.act == "accept"))


def _decided(span: Span) -> Select[Any]:
    before = moves.alias("before")
    joined = moves.join(applications).join(
        before, and_(before.c.application_no == M.application_no, before.c.act.in_(("accept", "take")))
    )
    figures = func.count().label("decided"), func.sum(M.time_ms - before.c.time_ms).label("decide_ms")
    return _by_product(joined, *figures).where(span.holds(M.time_ms) & M.act.in_(("grant", "refuse")))


def _granted(span: Span) -> Select[Any]:
    joined = moves.join(applications).join(grants, grants.c.application_no == A.application_no)
    limit, unsecured = grants.c.limit_fen, A.guarantee == "credit"
    figures = (
        func.count().label("granted"),
        func.sum(limit).label("granted_fen"),
        func.sum(limit * cast(grants.c.annual_rate, Float) / 100).label("interest_fen"),
        func.sum(case((unsecured, 1), else_=0)).label("credit_granted"),
        func.sum(case((unsecured, limit), else_=0)).label("credit_fen"),
    )
    return _by_product(joined, *figures).where(span.holds(M.time_ms) & (M.act == "grant"))


def _entered(span: Span) -> Select[Any]:
    kind, amount = entries.c.kind, entries.c.amount_fen
    figures = (
        func.sum(case((kind == "contract", 1), else_=0)).label("contracts"),
        func.sum(case((kind == "contract", L.first_loan), else_=0)).label("first_loans"),
        func.sum(case((kind == "draw", amount), else_=0)).label("drawn_fen"),
        func.sum(case((kind == "repay", amount), else_=0)).label("repaid_fen"),
        func.sum(case((kind == "write_off", amount), else_=0)).label("written_off_fen"),
    )
    wanted = select(L.institution, L.product_code, *figures).select_from(entries.join(lines))
    return wanted.where(span.holds(entries.c.time_ms)).group_by(L.institution, L.product_code)


def _drawn(span: Span) -> Select[Any]:
    """First drawdowns."""
    joined = moves.join(applications).join(grants, grants.c.application_no == A.application_no)
    figures = func.count().label("drawn"), func.sum(M.time_ms - grants.c.granted_ms).label("draw_ms")
    return _by_product(joined, *figures).where(span.holds(M.time_ms) & (M.act == "draw"))
