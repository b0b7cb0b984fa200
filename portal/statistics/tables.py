"""Rows of statistics. `*` stands for all institutions, or all products of one: sums are kept beside what they are sums of."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, Integer, Table, Text

from portal.schema import Identifier, Int64, metadata

# What each day had: counts, amounts in fen, times in ms. interest_fen: of what was granted, a year. accept_ms, decide_ms, draw_ms: from
# arrival to acceptance, from there to the decision, from the grant to the first drawdown, summed over `accepted`, `decided`, `drawn`.
# credit_: without security (信用贷款). registered and consents_ are known of `*` only.
FLOWS: Final = (
    "applied", "demand_fen", "accepted", "accept_ms", "decided", "decide_ms", "granted", "granted_fen", "interest_fen",
    "credit_granted", "credit_fen", "contracts", "first_loans", "drawn", "draw_ms", "drawn_fen", "repaid_fen",
    "written_off_fen", "registered", "consents_given", "consents_withdrawn",
)  # fmt: skip
# What is summed by institution or product over long periods, from an index alone.
PARTS: Final = (
    "applied", "demand_fen", "decided", "granted", "granted_fen", "interest_fen", "credit_fen", "first_loans", "drawn_fen",
)  # fmt: skip
daily: Final = Table(
    "statistics_daily",
    metadata,
    Column("institution", Identifier, primary_key=True),
    Column("product_code", Identifier, primary_key=True),
    Column("day", Identifier, primary_key=True),
    *(Column(name, Int64, nullable=False) for name in FLOWS),
    Index("ix_statistics_daily_day", "day"),
    Index("ix_statistics_daily_institutions", "product_code", "day", "institution", *PARTS),
    Index("ix_statistics_daily_products", "institution", "day", "product_code", *PARTS),
)

# What stood when the day was last looked at. npl_fen: of the balance, in the classes substandard, doubtful and loss.
STOCKS: Final = ("waiting", "lines", "balance_fen", "overdue_fen", "npl_fen")
stock: Final = Table(
    "statistics_stock",
    metadata,
    Column("institution", Identifier, primary_key=True),
    Column("product_code", Identifier, primary_key=True),
    Column("day", Identifier, primary_key=True),
    *(Column(name, Int64, nullable=False) for name in STOCKS),
    Index("ix_statistics_stock_day", "day"),
)

# A day that was looked at an hour after its end is closed, and never counted again.
days: Final = Table(
    "statistics_days",
    metadata,
    Column("day", Identifier, primary_key=True),
    Column("closed", Integer, nullable=False),
    Column("computed_ms", Int64, nullable=False),
)

# A month that is over, by district, industry or size. What is hidden (`portal.statistics.cells`) is not here at all: NULL.
cuts: Final = Table(
    "statistics_cuts",
    metadata,
    Column("institution", Identifier, primary_key=True),
    Column("dimension", Identifier, primary_key=True),
    Column("month", Identifier, primary_key=True),
    Column("value", Identifier, primary_key=True),
    Column("applied", Int64, nullable=True),
    Column("demand_fen", Int64, nullable=True),
    Column("granted", Int64, nullable=True),
    Column("granted_fen", Int64, nullable=True),
    Index("ix_statistics_cuts_month", "month"),
)

# The threshold of an alert's rule where an institution has set its own, or switched it off. `portal.statistics.rules`
thresholds: Final = Table(
    "alert_thresholds",
    metadata,
    Column("institution", Identifier, primary_key=True),
    Column("kind", Identifier, primary_key=True),
    Column("threshold", Integer, nullable=False),
    Column("enabled", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_by", Identifier, nullable=False),
    Column("changed_ms", Int64, nullable=False),
)

# institution: whose alert it is; the supervisor sees all. subject: an application, a credit code or an industry; label: what it is
# called. current: what was measured, against threshold. live: 1 until it is closed; one alert at a time is live of a kind and subject.
alerts: Final = Table(
    "alerts",
    metadata,
    Column("alert_id", Identifier, primary_key=True),
    Column("institution", Identifier, nullable=False),
    Column("kind", Identifier, nullable=False),
    Column("phase", Identifier, nullable=False),
    Column("subject", Identifier, nullable=False),
    Column("label", Text, nullable=False),
    Column("measured", Int64, nullable=False),
    Column("threshold", Int64, nullable=False),
    Column("state", Identifier, nullable=False),
    Column("reason", Text, nullable=False),
    Column("changed_by", Identifier, nullable=False),
    Column("opened_ms", Int64, nullable=False),
    Column("changed_ms", Int64, nullable=False),
    Column("version", Integer, nullable=False),
    Index("ix_alerts_subject", "institution", "kind", "subject", "state"),
    Index("ix_alerts_opened_ms", "opened_ms", "alert_id"),
    Index("ix_alerts_state_opened_ms", "state", "opened_ms", "alert_id"),
    Index("ix_alerts_institution_opened_ms", "institution", "opened_ms", "alert_id"),
    Index("ix_alerts_institution_state_opened_ms", "institution", "state", "opened_ms", "alert_id"),
    Index("ix_alerts_institution_kind_opened_ms", "institution", "kind", "opened_ms", "alert_id"),
    Index("ix_alerts_kind_opened_ms", "kind", "opened_ms", "alert_id"),
)
