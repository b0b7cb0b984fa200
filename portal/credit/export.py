"""The ledger as a file: CSV in UTF-8, in pieces, so that a million rows need no memory; with a watermark, and recorded.

A cell that a spreadsheet would read as a formula is written with an apostrophe before it (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io
import re
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Row, Select

from consent.identifiers import CHINA_TIME
from portal import events
from portal.applications.application import WAN
from portal.credit.keeping import figures
from portal.credit.line import overdue_days
from portal.credit.tables import lines
from portal.principal import Principal
from portal.state import Portal
from portal.today import today

PIECE: Final = 2000
"""Rows read and written at a time."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
COLUMNS: Final = (
    "application_no", "institution", "branch", "uscc", "ent_name", "product_code", "product_name", "loan_type",
    "limit_wan", "used_wan", "available_wan", "balance_wan", "overdue_wan", "annual_rate", "penalty_rate",
    "repayment", "guarantee", "contract_no", "signed_on", "begins_on", "ends_on", "state", "consent_ids", "first_loan",
    "credit_loan", "size", "industry", "district", "accepted_at", "decided_at", "first_drawn_at", "overdue_days",
    "class5", "reported_at",
)  # fmt: skip
_BOM: Final = "\ufeff"


@dataclass(frozen=True, kw_only=True)
class Export:
    """One export. `request_id` names it in the file, in the file's name and in the record of acts."""

    request_id: str
    login: str
    institution: str
    time_ms: int

    @property
    def file_name(self) -> str:
        """Who, when and which, in characters that every system takes."""
        who = re.sub(r"[^A-Za-z0-9_-]", "_", self.login)[:40]
        return f"credit-{who}-{_moment(self.time_ms, '%Y%m%dT%H%M%S')}-{self.request_id}.csv"

    @property
    def watermark(self) -> str:
        """The file's first line."""
        return f"# {self.login}, {self.institution}, {_moment(self.time_ms)}, {self.request_id}"


async def begin(portal: Portal, who: Principal, query: str, reason: str) -> Export:
    """Record that somebody exports, with the filters and the reason; before anything is sent."""
    one = Export(request_id=uuid.uuid4().hex[:12], login=who.login, institution=who.institution, time_ms=portal.clock())
    text = f"{reason} ({query})" if query else reason
    await portal.db.write(lambda c: events.record(c, one.time_ms, who.login, "credit_exported", one.request_id, text))
    return one


async def pieces(portal: Portal, one: Export, wanted: Select[Any]) -> AsyncIterator[str]:
    """The file, piece by piece: watermark, heading, rows in the order of their numbers."""
    yield _BOM + written([[one.watermark], COLUMNS])
    last = ""
    while True:
        ordered = wanted.where(lines.c.application_no > last).order_by(lines.c.application_no).limit(PIECE)
        rows = await portal.db.read(lambda c, ordered=ordered: c.execute(ordered).all())  # type: ignore[misc]
        if rows:
            last = rows[-1].application_no
            yield written([_cells(row, one.time_ms) for row in rows])
        if len(rows) < PIECE:
            return


def written(rows: Sequence[Sequence[str]]) -> str:
    """Rows as CSV (RFC 4180), no cell of which is a formula."""
    into = io.StringIO()
    csv.writer(into).writerows([[safe(cell) for cell in row] for row in rows])
    return into.getvalue()


def safe(cell: str) -> str:
    """A cell that no spreadsheet reads as a formula; also after blanks, which some strip."""
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA) else cell


def _cells(row: Row[Any], now_ms: int) -> list[str]:
    line = figures(row)
    values = dict(row._mapping) | {
        "limit_wan": _wan(row.limit_fen),
        "used_wan": _wan(line.used_fen),
        "available_wan": _wan(line.available_fen),
        "balance_wan": _wan(row.balance_fen),
        "overdue_wan": _wan(row.overdue_fen),
        "overdue_days": overdue_days(row.overdue_since, today(now_ms)),
        "accepted_at": _moment(row.accepted_ms),
        "decided_at": _moment(row.decided_ms),
        "first_drawn_at": _moment(row.first_drawn_ms),
        "reported_at": _moment(row.reported_ms),
    }
    return [str(values[name]) for name in COLUMNS]


def _wan(amount_fen: int) -> str:
    return f"{Decimal(amount_fen) / WAN:f}"


def _moment(time_ms: int, form: str = "%Y-%m-%dT%H:%M:%S%z") -> str:
    return datetime.fromtimestamp(time_ms / 1000, CHINA_TIME).strftime(form) if time_ms else ""
