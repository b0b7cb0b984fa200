"""Statistics and alerts; moves by their time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_thresholds",
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("institution", "kind", name=op.f("pk_alert_thresholds")),
    )
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("measured", sa.BigInteger(), nullable=False),
        sa.Column("threshold", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", name=op.f("pk_alerts")),
    )
    op.create_index(
        "ix_alerts_institution_kind_opened_ms", "alerts", ["institution", "kind", "opened_ms", "alert_id"], unique=False
    )
    op.create_index("ix_alerts_institution_opened_ms", "alerts", ["institution", "opened_ms", "alert_id"], unique=False)
    op.create_index(
        "ix_alerts_institution_state_opened_ms",
        "alerts",
        ["institution", "state", "opened_ms", "alert_id"],
        unique=False,
    )
    op.create_index("ix_alerts_kind_opened_ms", "alerts", ["kind", "opened_ms", "alert_id"], unique=False)
    op.create_index("ix_alerts_opened_ms", "alerts", ["opened_ms", "alert_id"], unique=False)
    op.create_index("ix_alerts_state_opened_ms", "alerts", ["state", "opened_ms", "alert_id"], unique=False)
    op.create_index("ix_alerts_subject", "alerts", ["institution", "kind", "subject", "state"], unique=False)
    op.create_table(
        "statistics_cuts",
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=True),
        sa.Column("demand_fen", sa.BigInteger(), nullable=True),
        sa.Column("granted", sa.BigInteger(), nullable=True),
        sa.Column("granted_fen", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("institution", "dimension", "month", "value", name=op.f("pk_statistics_cuts")),
    )
    op.create_index("ix_statistics_cuts_month", "statistics_cuts", ["month"], unique=False)
    op.create_table(
        "statistics_daily",
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("product_code", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.Column("demand_fen", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("accept_ms", sa.BigInteger(), nullable=False),
        sa.Column("decided", sa.BigInteger(), nullable=False),
        sa.Column("decide_ms", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("granted_fen", sa.BigInteger(), nullable=False),
        sa.Column("interest_fen", sa.BigInteger(), nullable=False),
        sa.Column("credit_granted", sa.BigInteger(), nullable=False),
        sa.Column("credit_fen", sa.BigInteger(), nullable=False),
        sa.Column("contracts", sa.BigInteger(), nullable=False),
        sa.Column("first_loans", sa.BigInteger(), nullable=False),
        sa.Column("drawn", sa.BigInteger(), nullable=False),
        sa.Column("draw_ms", sa.BigInteger(), nullable=False),
        sa.Column("drawn_fen", sa.BigInteger(), nullable=False),
        sa.Column("repaid_fen", sa.BigInteger(), nullable=False),
        sa.Column("written_off_fen", sa.BigInteger(), nullable=False),
        sa.Column("registered", sa.BigInteger(), nullable=False),
        sa.Column("consents_given", sa.BigInteger(), nullable=False),
        sa.Column("consents_withdrawn", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("institution", "product_code", "day", name=op.f("pk_statistics_daily")),
    )
    op.create_index("ix_statistics_daily_day", "statistics_daily", ["day"], unique=False)
    op.create_index(
        "ix_statistics_daily_institutions",
        "statistics_daily",
        [
            "product_code",
            "day",
            "institution",
            "applied",
            "demand_fen",
            "decided",
            "granted",
            "granted_fen",
            "interest_fen",
            "credit_fen",
            "first_loans",
            "drawn_fen",
        ],
        unique=False,
    )
    op.create_index(
        "ix_statistics_daily_products",
        "statistics_daily",
        [
            "institution",
            "day",
            "product_code",
            "applied",
            "demand_fen",
            "decided",
            "granted",
            "granted_fen",
            "interest_fen",
            "credit_fen",
            "first_loans",
            "drawn_fen",
        ],
        unique=False,
    )
    op.create_table(
        "statistics_days",
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("closed", sa.Integer(), nullable=False),
        sa.Column("computed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_statistics_days")),
    )
    op.create_table(
        "statistics_stock",
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("product_code", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.BigInteger(), nullable=False),
        sa.Column("balance_fen", sa.BigInteger(), nullable=False),
        sa.Column("overdue_fen", sa.BigInteger(), nullable=False),
        sa.Column("npl_fen", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("institution", "product_code", "day", name=op.f("pk_statistics_stock")),
    )
    op.create_index("ix_statistics_stock_day", "statistics_stock", ["day"], unique=False)
    op.create_index("ix_application_moves_time_ms", "application_moves", ["time_ms"], unique=False)
