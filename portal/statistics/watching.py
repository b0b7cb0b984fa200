"""What the portal knows that may be a risk: measured from applications, findings under consents, withdrawals and the ledger.

No data of a provider is here: a finding says only whether what was told agrees. Each measure gives values from a least one on, so that
an index does the work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, func, select

from portal.applications.tables import applications, covering, findings, moves
from portal.consents.tables import withdrawals
from portal.credit.keeping import RUNNING
from portal.credit.line import overdue_days
from portal.credit.tables import lines
from portal.statistics.rules import HUB, RULES, Settings, setting
from portal.today import today

SPAN_MS: Final = 30 * 24 * 3600 * 1000
A, L = applications.c, lines.c


@dataclass(frozen=True, kw_only=True)
class Risk:
    """One thing that was measured. `label`: what its subject is called, empty where its code says it."""

    institution: str
    kind: str
    subject: str
    label: str
    measured: int
    threshold: int = 0


Measure = Callable[[Connection, int, int], Iterator[Risk]]
"""From the time in ms and the least value that anybody asks for."""


def risks(connection: Connection, now_ms: int, given: Settings) -> Sequence[Risk]:
    """Everything that reaches its institution's threshold now."""
    found = []
    for kind, measure in MEASURES.items():
        rule = RULES[kind]
        asked = [rule.threshold, *(each.threshold for (_, of), each in given.items() if of == kind)]
        for risk in measure(connection, now_ms, min(asked)):
            own = setting(rule, risk.institution, given)
            if own.enabled and risk.measured >= own.threshold:
                found.append(
                    Risk(
                        institution=risk.institution,
                        kind=kind,
                        subject=risk.subject,
                        label=risk.label,
                        measured=risk.measured,
                        threshold=own.threshold,
                    )
                )
    return found


def _many_banks(connection: Connection, now_ms: int, least: int) -> Iterator[Risk]:
    banks = func.count(A.institution.distinct())
    recent = (moves.c.time_ms > now_ms - SPAN_MS) & (moves.c.move_no == 1) & (A.product_code != "")
    wanted = select(A.uscc, func.max(A.ent_name).label("name"), banks.label("banks")).join_from(moves, applications)
    for row in connection.execute(wanted.where(recent).group_by(A.uscc).having(banks >= least)):
        yield Risk(institution=HUB, kind="many_banks", subject=row.uscc, label=row.name, measured=row.banks)


def _finding_differs(connection: Connection, _now_ms: int, least: int) -> Iterator[Risk]:
    count = func.count()
    wanted = select(A.institution, A.application_no, A.ent_name, count.label("number")).join_from(
        applications, findings
    )
    differs = (A.state == "due_diligence") & (findings.c.agrees == "no")
    grouped = wanted.where(differs).group_by(A.institution, A.application_no, A.ent_name).having(count >= least)
    for row in connection.execute(grouped):
        yield Risk(
            institution=row.institution,
            kind="finding_differs",
            subject=row.application_no,
            label=row.ent_name,
            measured=row.number,
        )


def _consent_withdrawn(connection: Connection, _now_ms: int, least: int) -> Iterator[Risk]:
    count = func.count()
    joined = withdrawals.join(covering, covering.c.record_id == withdrawals.c.record_id).join(
        lines, L.application_no == covering.c.application_no
    )
    wanted = select(L.institution, L.application_no, L.ent_name, count.label("number")).select_from(joined)
    grouped = wanted.where(L.state.in_(RUNNING)).group_by(L.institution, L.application_no, L.ent_name)
    for row in connection.execute(grouped.having(count >= least)):
        yield Risk(
            institution=row.institution,
            kind="consent_withdrawn",
            subject=row.application_no,
            label=row.ent_name,
            measured=row.number,
        )


def _overdue_days(connection: Connection, now_ms: int, least: int) -> Iterator[Risk]:
    now = today(now_ms)
    latest = (now - timedelta(days=least)).isoformat()
    wanted = select(L.institution, L.application_no, L.ent_name, L.overdue_since)
    for row in connection.execute(wanted.where((L.state == "overdue") & L.overdue_since.between("0", latest))):
        yield Risk(
            institution=row.institution,
            kind="overdue_days",
            subject=row.application_no,
            label=row.ent_name,
            measured=overdue_days(row.overdue_since, now),
        )


def _near_limit(connection: Connection, _now_ms: int, least: int) -> Iterator[Risk]:
    wanted = select(L.institution, L.application_no, L.ent_name, L.balance_fen, L.limit_fen)
    running = L.state.in_(RUNNING) & (L.revolving == 1) & (100 * L.balance_fen >= least * L.limit_fen)
    for row in connection.execute(wanted.where(running)):
        yield Risk(
            institution=row.institution,
            kind="near_limit",
            subject=row.application_no,
            label=row.ent_name,
            measured=100 * row.balance_fen // row.limit_fen,
        )


def _concentration(connection: Connection, _now_ms: int, least: int) -> Iterator[Risk]:
    balance = func.sum(L.balance_fen)
    wanted = select(L.institution, L.industry, balance.label("balance")).where(L.state.in_(RUNNING))
    rows = connection.execute(wanted.group_by(L.institution, L.industry)).all()
    wholes: dict[str, int] = {}
    for row in rows:
        wholes[row.institution] = wholes.get(row.institution, 0) + int(row.balance)
    for row in rows:
        share = 100 * int(row.balance) // max(1, wholes[row.institution])
        if row.industry and share >= least:
            yield Risk(
                institution=row.institution, kind="concentration", subject=row.industry, label="", measured=share
            )


MEASURES: Final[Mapping[str, Measure]] = {
    "many_banks": _many_banks,
    "finding_differs": _finding_differs,
    "consent_withdrawn": _consent_withdrawn,
    "overdue_days": _overdue_days,
    "near_limit": _near_limit,
    "concentration": _concentration,
}
