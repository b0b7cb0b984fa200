"""Rows of the ledger: a line of credit each, and everything that was entered about it.

Every filter of the ledger comes with every order of it in one index, a bank's and all banks' (`portal.credit.ledger`).
Days are ISO dates, empty for none.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, Table, Text

from portal.schema import Identifier, Int64, metadata

# state: `portal.states.APPLICATION` from "granted" (the contract waits to be confirmed) on. pending: contract or write_off, until an
# approver has confirmed what pending_by entered. due_on, due_fen: the next repayment that is due. Times in ms, 0 for not yet.
lines: Final = Table(
    "credit_lines",
    metadata,
    Column("application_no", Identifier, ForeignKey("applications.application_no"), primary_key=True),
    Column("account_id", Identifier, ForeignKey("accounts.account_id"), nullable=False, index=True),
    Column("contract_no", Identifier, nullable=False),
    Column("institution", Identifier, nullable=False),
    Column("branch", Text, nullable=False),
    Column("uscc", Identifier, nullable=False),
    Column("ent_name", Text, nullable=False),
    Column("product_code", Identifier, nullable=False),
    Column("product_name", Text, nullable=False),
    Column("loan_type", Identifier, nullable=False),
    Column("repayment", Identifier, nullable=False),
    Column("guarantee", Identifier, nullable=False),
    Column("consent_ids", Text, nullable=False),
    Column("revolving", Integer, nullable=False),
    Column("limit_fen", Int64, nullable=False),
    Column("drawn_fen", Int64, nullable=False),
    Column("repaid_fen", Int64, nullable=False),
    Column("balance_fen", Int64, nullable=False),
    Column("overdue_fen", Int64, nullable=False),
    Column("annual_rate", Identifier, nullable=False),
    Column("penalty_rate", Identifier, nullable=False),
    Column("signed_on", Identifier, nullable=False),
    Column("begins_on", Identifier, nullable=False),
    Column("ends_on", Identifier, nullable=False),
    Column("first_loan", Integer, nullable=False),
    Column("credit_loan", Integer, nullable=False),
    Column("size", Identifier, nullable=False),
    Column("industry", Identifier, nullable=False),
    Column("district", Identifier, nullable=False),
    Column("state", Identifier, nullable=False),
    Column("class5", Identifier, nullable=False),
    Column("due_on", Identifier, nullable=False),
    Column("due_fen", Int64, nullable=False),
    Column("overdue_since", Identifier, nullable=False),
    Column("accepted_ms", Int64, nullable=False),
    Column("decided_ms", Int64, nullable=False),
    Column("opened_ms", Int64, nullable=False),
    Column("first_drawn_ms", Int64, nullable=False),
    Column("reported_ms", Int64, nullable=False),
    Column("pending", Identifier, nullable=False),
    Column("pending_by", Identifier, nullable=False),
    Column("pending_reason", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Index("uq_credit_lines_contract", "institution", "contract_no", unique=True),
    Index("ix_credit_lines_uscc", "uscc", "opened_ms", "application_no"),
    Index("ix_credit_lines_ent_name", "ent_name", "opened_ms", "application_no"),
    Index("ix_credit_lines_due", "state", "due_on"),
    Index("ix_credit_lines_ends", "state", "ends_on"),
)
FILTERS: Final = (
    "state",
    "pending",
    "product_code",
    "branch",
    "district",
    "industry",
    "size",
    "first_loan",
    "credit_loan",
)
ORDERS: Final = ("opened_ms", "balance_fen")
for _order in ORDERS:
    Index(f"ix_credit_lines_{_order}", lines.c[_order], lines.c.application_no)
    Index(f"ix_credit_lines_bank_{_order}", lines.c.institution, lines.c[_order], lines.c.application_no)
    for _filter in FILTERS:
        _columns = (lines.c[_filter], lines.c[_order], lines.c.application_no)
        Index(f"ix_credit_lines_{_filter}_{_order}", *_columns)
        Index(f"ix_credit_lines_bank_{_filter}_{_order}", lines.c.institution, *_columns)

# What happened to a line, one after the other. kind: contract, draw, repay, overdue, recover, class5, settle, write_off, expire,
# terminate. day: the one that it is about; detail: a class, or a note.
entries: Final = Table(
    "credit_entries",
    metadata,
    Column("application_no", Identifier, ForeignKey("credit_lines.application_no"), primary_key=True),
    Column("entry_no", Integer, primary_key=True, autoincrement=False),
    Column("kind", Identifier, nullable=False),
    Column("amount_fen", Int64, nullable=False),
    Column("day", Identifier, nullable=False),
    Column("detail", Text, nullable=False),
    Column("entered_by", Identifier, nullable=False),
    Column("time_ms", Int64, nullable=False),
    Index("ix_credit_entries_time", "time_ms"),
)
