"""Rows about applications. Facts are sealed; district, industry and size stand beside them, because banks filter by them.

Every filter of a list comes with every order of it in one index (`portal.applications.listings`), and the bank's have all other filters
behind them: whatever is combined is decided within the index, and only the rows of the page are read, in a table of millions, too.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, Table, Text, text

from portal.schema import Identifier, Int64, metadata

_IN_FLIGHT: Final = text("in_flight = 1 AND product_code <> ''")

# state: `portal.states.APPLICATION`. Amounts in fen; times in ms, 0 for not yet. industry: the section letter; district: GB/T 2260.
# in_flight: 1 until an end; one application at a time is in flight of an enterprise for a product. demand_id: the financing request
# that it began as, or empty. refusal: a code of the bank's reasons.
applications: Final = Table(
    "applications",
    metadata,
    Column("application_no", Identifier, primary_key=True),
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), nullable=False, index=True),
    Column("uscc", Identifier, nullable=False),
    Column("ent_name", Text, nullable=False),
    Column("institution", Identifier, nullable=False),
    Column("product_code", Identifier, nullable=False),
    Column("product_name", Text, nullable=False),
    Column("product_version", Integer, nullable=False),
    Column("demand_id", Identifier, nullable=False),
    Column("amount_fen", Int64, nullable=False),
    Column("term", Integer, nullable=False),
    Column("term_unit", Identifier, nullable=False),
    Column("purpose", Identifier, nullable=False),
    Column("guarantee", Identifier, nullable=False),
    Column("told_sealed", LargeBinary, nullable=False),
    Column("district", Identifier, nullable=False),
    Column("industry", Identifier, nullable=False),
    Column("size", Identifier, nullable=False),
    Column("state", Identifier, nullable=False),
    Column("in_flight", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("reviewer", Identifier, nullable=False),
    Column("investigator", Identifier, nullable=False),
    Column("refusal", Identifier, nullable=False),
    Column("created_ms", Int64, nullable=False),
    Column("submitted_ms", Int64, nullable=False),
    Column("pushed_ms", Int64, nullable=False),
    Column("due_ms", Int64, nullable=False),
    Column("moved_ms", Int64, nullable=False),
    Index("ix_applications_own", "uscc", "created_ms", "application_no"),
    Index("ix_applications_review", "state", "submitted_ms", "application_no"),
    Index("ix_applications_due", "state", "due_ms"),
    Index(
        "uq_applications_in_flight",
        "uscc",
        "product_code",
        unique=True,
        sqlite_where=_IN_FLIGHT,
        postgresql_where=_IN_FLIGHT,
    ),
)
BANK_FILTERS: Final = ("state", "product_code", "district", "industry", "size")
BANK_ORDERS: Final = ("pushed_ms", "amount_fen")
for _order in BANK_ORDERS:
    for _filter in ("", *BANK_FILTERS):
        _first = ("institution", *([_filter] if _filter else []), _order, "application_no")
        _rest = [each for each in (*BANK_FILTERS, *BANK_ORDERS) if each not in _first]
        _name = f"ix_applications_bank_{_filter}_{_order}" if _filter else f"ix_applications_bank_{_order}"
        Index(_name, *(applications.c[each] for each in (*_first, *_rest)))

moves: Final = Table(
    "application_moves",
    metadata,
    Column("application_no", Identifier, ForeignKey("applications.application_no"), primary_key=True),
    Column("move_no", Integer, primary_key=True, autoincrement=False),
    Column("act", Identifier, nullable=False),
    Column("state", Identifier, nullable=False),
    Column("mover", Identifier, nullable=False),
    Column("actor", Identifier, nullable=False),
    Column("institution", Identifier, nullable=False),
    Column("reason", Text, nullable=False),
    Column("time_ms", Int64, nullable=False),
    Index("ix_application_moves_time_ms", "time_ms"),
)

# The consents under which the bank may use data for it, as the enterprise's session last saw them at the hub. ended_ms: 0 in force.
covering: Final = Table(
    "application_consents",
    metadata,
    Column("application_no", Identifier, ForeignKey("applications.application_no"), primary_key=True),
    Column("record_id", Identifier, primary_key=True),
    Column("valid_to_ms", Int64, nullable=False),
    Column("ended_ms", Int64, nullable=False),
    Index("ix_application_consents_record_id", "record_id"),
)

# agrees: yes, no, or empty where the bank compared nothing. verified_ms: when the enterprise's verified record of use had the exchange.
findings: Final = Table(
    "application_findings",
    metadata,
    Column("application_no", Identifier, ForeignKey("applications.application_no"), primary_key=True),
    Column("finding_no", Integer, primary_key=True, autoincrement=False),
    Column("kind", Identifier, nullable=False),
    Column("exchange_id", Identifier, nullable=False),
    Column("agrees", Identifier, nullable=False),
    Column("note", Text, nullable=False),
    Column("found_by", Identifier, nullable=False),
    Column("found_ms", Int64, nullable=False),
    Column("verified_ms", Int64, nullable=False),
)

# Rates in percent a year, as decimals are written.
grants: Final = Table(
    "grants",
    metadata,
    Column("application_no", Identifier, ForeignKey("applications.application_no"), primary_key=True),
    Column("limit_fen", Int64, nullable=False),
    Column("annual_rate", Identifier, nullable=False),
    Column("penalty_rate", Identifier, nullable=False),
    Column("term", Integer, nullable=False),
    Column("term_unit", Identifier, nullable=False),
    Column("granted_by", Identifier, nullable=False),
    Column("granted_ms", Int64, nullable=False),
)

# state: `portal.states.FINANCING`. Who asks is shown to a bank only when it has taken the request.
demands: Final = Table(
    "financing_demands",
    metadata,
    Column("demand_id", Identifier, primary_key=True),
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), nullable=False, index=True),
    Column("uscc", Identifier, nullable=False, index=True),
    Column("ent_name", Text, nullable=False),
    Column("amount_fen", Int64, nullable=False),
    Column("term", Integer, nullable=False),
    Column("term_unit", Identifier, nullable=False),
    Column("purpose", Identifier, nullable=False),
    Column("guarantee", Identifier, nullable=False),
    Column("told_sealed", LargeBinary, nullable=False),
    Column("district", Identifier, nullable=False),
    Column("industry", Identifier, nullable=False),
    Column("size", Identifier, nullable=False),
    Column("state", Identifier, nullable=False),
    Column("taken_by", Identifier, nullable=False),
    Column("application_no", Identifier, nullable=False),
    Column("opened_ms", Int64, nullable=False),
    Column("lapses_ms", Int64, nullable=False),
    Index("ix_financing_demands_lapses", "state", "lapses_ms"),
)
DEMAND_FILTERS: Final = ("district", "industry", "size")
DEMAND_ORDERS: Final = ("opened_ms", "amount_fen")
for _order in DEMAND_ORDERS:
    Index(f"ix_financing_demands_{_order}", *(demands.c[each] for each in ("state", _order, "demand_id")))
    for _filter in DEMAND_FILTERS:
        _columns = ("state", _filter, _order, "demand_id")
        Index(f"ix_financing_demands_{_filter}_{_order}", *(demands.c[each] for each in _columns))
