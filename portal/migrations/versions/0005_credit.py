"""Lines of credit and what was entered about them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "credit_lines",
        sa.Column("application_no", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("contract_no", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=False),
        sa.Column("uscc", sa.Text(), nullable=False),
        sa.Column("ent_name", sa.Text(), nullable=False),
        sa.Column("product_code", sa.Text(), nullable=False),
        sa.Column("product_name", sa.Text(), nullable=False),
        sa.Column("loan_type", sa.Text(), nullable=False),
        sa.Column("repayment", sa.Text(), nullable=False),
        sa.Column("guarantee", sa.Text(), nullable=False),
        sa.Column("consent_ids", sa.Text(), nullable=False),
        sa.Column("revolving", sa.Integer(), nullable=False),
        sa.Column("limit_fen", sa.BigInteger(), nullable=False),
        sa.Column("drawn_fen", sa.BigInteger(), nullable=False),
        sa.Column("repaid_fen", sa.BigInteger(), nullable=False),
        sa.Column("balance_fen", sa.BigInteger(), nullable=False),
        sa.Column("overdue_fen", sa.BigInteger(), nullable=False),
        sa.Column("annual_rate", sa.Text(), nullable=False),
        sa.Column("penalty_rate", sa.Text(), nullable=False),
        sa.Column("signed_on", sa.Text(), nullable=False),
        sa.Column("begins_on", sa.Text(), nullable=False),
        sa.Column("ends_on", sa.Text(), nullable=False),
        sa.Column("first_loan", sa.Integer(), nullable=False),
        sa.Column("credit_loan", sa.Integer(), nullable=False),
        sa.Column("size", sa.Text(), nullable=False),
        sa.Column("industry", sa.Text(), nullable=False),
        sa.Column("district", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("class5", sa.Text(), nullable=False),
        sa.Column("due_on", sa.Text(), nullable=False),
        sa.Column("due_fen", sa.BigInteger(), nullable=False),
        sa.Column("overdue_since", sa.Text(), nullable=False),
        sa.Column("accepted_ms", sa.BigInteger(), nullable=False),
        sa.Column("decided_ms", sa.BigInteger(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("first_drawn_ms", sa.BigInteger(), nullable=False),
        sa.Column("reported_ms", sa.BigInteger(), nullable=False),
        sa.Column("pending", sa.Text(), nullable=False),
        sa.Column("pending_by", sa.Text(), nullable=False),
        sa.Column("pending_reason", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_credit_lines_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(
            ["application_no"],
            ["applications.application_no"],
            name=op.f("fk_credit_lines_application_no_applications"),
        ),
        sa.PrimaryKeyConstraint("application_no", name=op.f("pk_credit_lines")),
    )
    op.create_index(op.f("ix_credit_lines_account_id"), "credit_lines", ["account_id"], unique=False)
    op.create_index("ix_credit_lines_balance_fen", "credit_lines", ["balance_fen", "application_no"], unique=False)
    op.create_index(
        "ix_credit_lines_bank_balance_fen",
        "credit_lines",
        ["institution", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_branch_balance_fen",
        "credit_lines",
        ["institution", "branch", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_branch_opened_ms",
        "credit_lines",
        ["institution", "branch", "opened_ms", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_credit_loan_balance_fen",
        "credit_lines",
        ["institution", "credit_loan", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_credit_loan_opened_ms",
        "credit_lines",
        ["institution", "credit_loan", "opened_ms", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_district_balance_fen",
        "credit_lines",
        ["institution", "district", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_district_opened_ms",
        "credit_lines",
        ["institution", "district", "opened_ms", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_first_loan_balance_fen",
        "credit_lines",
        ["institution", "first_loan", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_first_loan_opened_ms",
        "credit_lines",
        ["institution", "first_loan", "opened_ms", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_industry_balance_fen",
        "credit_lines",
        ["institution", "industry", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_industry_opened_ms",
        "credit_lines",
        ["institution", "industry", "opened_ms", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_opened_ms", "credit_lines", ["institution", "opened_ms", "application_no"], unique=False
    )
    op.create_index(
        "ix_credit_lines_bank_pending_balance_fen",
        "credit_lines",
        ["institution", "pending", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_pending_opened_ms",
        "credit_lines",
        ["institution", "pending", "opened_ms", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_product_code_balance_fen",
        "credit_lines",
        ["institution", "product_code", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_product_code_opened_ms",
        "credit_lines",
        ["institution", "product_code", "opened_ms", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_size_balance_fen",
        "credit_lines",
        ["institution", "size", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_size_opened_ms",
        "credit_lines",
        ["institution", "size", "opened_ms", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_state_balance_fen",
        "credit_lines",
        ["institution", "state", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_bank_state_opened_ms",
        "credit_lines",
        ["institution", "state", "opened_ms", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_branch_balance_fen", "credit_lines", ["branch", "balance_fen", "application_no"], unique=False
    )
    op.create_index(
        "ix_credit_lines_branch_opened_ms", "credit_lines", ["branch", "opened_ms", "application_no"], unique=False
    )
    op.create_index(
        "ix_credit_lines_credit_loan_balance_fen",
        "credit_lines",
        ["credit_loan", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_credit_loan_opened_ms",
        "credit_lines",
        ["credit_loan", "opened_ms", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_district_balance_fen",
        "credit_lines",
        ["district", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_district_opened_ms", "credit_lines", ["district", "opened_ms", "application_no"], unique=False
    )
    op.create_index("ix_credit_lines_due", "credit_lines", ["state", "due_on"], unique=False)
    op.create_index("ix_credit_lines_ends", "credit_lines", ["state", "ends_on"], unique=False)
    op.create_index(
        "ix_credit_lines_ent_name", "credit_lines", ["ent_name", "opened_ms", "application_no"], unique=False
    )
    op.create_index(
        "ix_credit_lines_first_loan_balance_fen",
        "credit_lines",
        ["first_loan", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_first_loan_opened_ms",
        "credit_lines",
        ["first_loan", "opened_ms", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_industry_balance_fen",
        "credit_lines",
        ["industry", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_industry_opened_ms", "credit_lines", ["industry", "opened_ms", "application_no"], unique=False
    )
    op.create_index("ix_credit_lines_opened_ms", "credit_lines", ["opened_ms", "application_no"], unique=False)
    op.create_index(
        "ix_credit_lines_pending_balance_fen",
        "credit_lines",
        ["pending", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_pending_opened_ms", "credit_lines", ["pending", "opened_ms", "application_no"], unique=False
    )
    op.create_index(
        "ix_credit_lines_product_code_balance_fen",
        "credit_lines",
        ["product_code", "balance_fen", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_product_code_opened_ms",
        "credit_lines",
        ["product_code", "opened_ms", "application_no"],
        unique=False,
    )
    op.create_index(
        "ix_credit_lines_size_balance_fen", "credit_lines", ["size", "balance_fen", "application_no"], unique=False
    )
    op.create_index(
        "ix_credit_lines_size_opened_ms", "credit_lines", ["size", "opened_ms", "application_no"], unique=False
    )
    op.create_index(
        "ix_credit_lines_state_balance_fen", "credit_lines", ["state", "balance_fen", "application_no"], unique=False
    )
    op.create_index(
        "ix_credit_lines_state_opened_ms", "credit_lines", ["state", "opened_ms", "application_no"], unique=False
    )
    op.create_index("ix_credit_lines_uscc", "credit_lines", ["uscc", "opened_ms", "application_no"], unique=False)
    op.create_index("uq_credit_lines_contract", "credit_lines", ["institution", "contract_no"], unique=True)
    op.create_table(
        "credit_entries",
        sa.Column("application_no", sa.Text(), nullable=False),
        sa.Column("entry_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("entered_by", sa.Text(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_no"],
            ["credit_lines.application_no"],
            name=op.f("fk_credit_entries_application_no_credit_lines"),
        ),
        sa.PrimaryKeyConstraint("application_no", "entry_no", name=op.f("pk_credit_entries")),
    )
    op.create_index("ix_credit_entries_time", "credit_entries", ["time_ms"], unique=False)
