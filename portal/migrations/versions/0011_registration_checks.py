"""Registrations beside what is registered; what notices are left of once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "registration_checks",
        sa.Column("registration_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.Column("ent_name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("industry", sa.Text(), nullable=False),
        sa.Column("founded", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("exchange_id", sa.Text(), nullable=False),
        sa.Column("checked_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registrations.registration_id"],
            name=op.f("fk_registration_checks_registration_id_registrations"),
        ),
        sa.PrimaryKeyConstraint("registration_id", name=op.f("pk_registration_checks")),
    )
    op.create_index("ix_registration_checks_state_due_ms", "registration_checks", ["state", "due_ms"], unique=False)
    # What waits for a decision now is checked, too.
    op.execute(
        "INSERT INTO registration_checks (registration_id, state, tries, due_ms, failure, ent_name, status, region, industry, "
        "founded, provider, exchange_id) SELECT registration_id, 'waiting', 0, 0, '', '', '', '', '', '', '', '' "
        "FROM registrations WHERE state IN ('submitted', 'endorsed', 'objected')"
    )
    op.create_table(
        "registered_facts",
        sa.Column("uscc", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("industry", sa.Text(), nullable=False),
        sa.Column("founded", sa.Text(), nullable=False),
        sa.Column("checked_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uscc", name=op.f("pk_registered_facts")),
    )
    op.create_table(
        "notices_left",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_notices_left_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("account_id", "kind", "about", name=op.f("pk_notices_left")),
    )
    op.create_table(
        "watched_consents",
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("valid_to_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_watched_consents_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_watched_consents")),
    )
    op.create_index(op.f("ix_watched_consents_account_id"), "watched_consents", ["account_id"], unique=False)
    op.create_index(op.f("ix_watched_consents_valid_to_ms"), "watched_consents", ["valid_to_ms"], unique=False)


def downgrade() -> None:
    op.drop_table("watched_consents")
    op.drop_table("notices_left")
    op.drop_table("registered_facts")
    op.drop_table("registration_checks")
