"""Withdrawals, while nodes confirm them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_consents"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "withdrawals",
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("confirmed", sa.Text(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_withdrawals_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_withdrawals")),
    )
    op.create_index(op.f("ix_withdrawals_account_id"), "withdrawals", ["account_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_withdrawals_account_id"), table_name="withdrawals")
    op.drop_table("withdrawals")
