"""Applications, their moves, findings, consents and grants; financing requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "applications",
        sa.Column("application_no", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("uscc", sa.Text(), nullable=False),
        sa.Column("ent_name", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("product_code", sa.Text(), nullable=False),
        sa.Column("product_name", sa.Text(), nullable=False),
        sa.Column("product_version", sa.Integer(), nullable=False),
        sa.Column("demand_id", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("term", sa.Integer(), nullable=False),
        sa.Column("term_unit", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("guarantee", sa.Text(), nullable=False),
        sa.Column("told_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("district", sa.Text(), nullable=False),
        sa.Column("industry", sa.Text(), nullable=False),
        sa.Column("size", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("investigator", sa.Text(), nullable=False),
        sa.Column("refusal", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("submitted_ms", sa.BigInteger(), nullable=False),
        sa.Column("pushed_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("moved_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_applications_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("application_no", name=op.f("pk_applications")),
    )
    op.create_index(op.f("ix_applications_account_id"), "applications", ["account_id"], unique=False)
    op.create_index(
        "ix_applications_bank_amount_fen",
        "applications",
        [
            "institution",
            "amount_fen",
            "application_no",
            "state",
            "product_code",
            "district",
            "industry",
            "size",
            "pushed_ms",
        ],
        unique=False,
    )
    op.create_index(
        "ix_applications_bank_district_amount_fen",
        "applications",
        [
            "institution",
            "district",
            "amount_fen",
            "application_no",
            "state",
            "product_code",
            "industry",
            "size",
            "pushed_ms",
        ],
        unique=False,
    )
    op.create_index(
        "ix_applications_bank_district_pushed_ms",
        "applications",
        [
            "institution",
            "district",
            "pushed_ms",
            "application_no",
            "state",
            "product_code",
            "industry",
            "size",
            "amount_fen",
        ],
        unique=False,
    )
    op.create_index(
        "ix_applications_bank_industry_amount_fen",
        "applications",
        [
            "institution",
            "industry",
            "amount_fen",
            "application_no",
            "state",
            "product_code",
            "district",
            "size",
            "pushed_ms",
        ],
        unique=False,
    )
    op.create_index(
        "ix_applications_bank_industry_pushed_ms",
        "applications",
        [
            "institution",
            "industry",
            "pushed_ms",
            "application_no",
            "state",
            "product_code",
            "district",
            "size",
            "amount_fen",
        ],
        unique=False,
    )
    op.create_index(
        "ix_applications_bank_product_code_amount_fen",
        "applications",
        [
            "institution",
            "product_code",
            "amount_fen",
            "application_no",
            "state",
            "district",
            "industry",
            "size",
            "pushed_ms",
        ],
        unique=False,
    )
    op.create_index(
        "ix_applications_bank_product_code_pushed_ms",
        "applications",
        [
            "institution",
            "product_code",
            "pushed_ms",
            "application_no",
            "state",
            "district",
            "industry",
            "size",
            "amount_fen",
        ],
        unique=False,
    )
    op.create_index(
        "ix_applications_bank_pushed_ms",
        "applications",
        [
            "institution",
            "pushed_ms",
            "application_no",
            "state",
            "product_code",
            "district",
            "industry",
            "size",
            "amount_fen",
        ],
        unique=False,
    )
    op.create_index(
        "ix_applications_bank_size_amount_fen",
        "applications",
        [
            "institution",
            "size",
            "amount_fen",
            "application_no",
            "state",
            "product_code",
            "district",
            "industry",
            "pushed_ms",
        ],
        unique=False,
    )
    op.create_index(
        "ix_applications_bank_size_pushed_ms",
        "applications",
        [
            "institution",
            "size",
            "pushed_ms",
            "application_no",
            "state",
            "product_code",
            "district",
            "industry",
            "amount_fen",
        ],
        unique=False,
    )
    op.create_index(
        "ix_applications_bank_state_amount_fen",
        "applications",
        [
            "institution",
            "state",
            "amount_fen",
            "application_no",
            "product_code",
            "district",
            "industry",
            "size",
            "pushed_ms",
        ],
        unique=False,
    )
    op.create_index(
        "ix_applications_bank_state_pushed_ms",
        "applications",
        [
            "institution",
            "state",
            "pushed_ms",
            "application_no",
            "product_code",
            "district",
            "industry",
            "size",
            "amount_fen",
        ],
        unique=False,
    )
    op.create_index("ix_applications_due", "applications", ["state", "due_ms"], unique=False)
    op.create_index("ix_applications_own", "applications", ["uscc", "created_ms", "application_no"], unique=False)
    op.create_index("ix_applications_review", "applications", ["state", "submitted_ms", "application_no"], unique=False)
    op.create_index(
        "uq_applications_in_flight",
        "applications",
        ["uscc", "product_code"],
        unique=True,
        sqlite_where=sa.text("in_flight = 1 AND product_code <> ''"),
        postgresql_where=sa.text("in_flight = 1 AND product_code <> ''"),
    )
    op.create_table(
        "financing_demands",
        sa.Column("demand_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("uscc", sa.Text(), nullable=False),
        sa.Column("ent_name", sa.Text(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("term", sa.Integer(), nullable=False),
        sa.Column("term_unit", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("guarantee", sa.Text(), nullable=False),
        sa.Column("told_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("district", sa.Text(), nullable=False),
        sa.Column("industry", sa.Text(), nullable=False),
        sa.Column("size", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("taken_by", sa.Text(), nullable=False),
        sa.Column("application_no", sa.Text(), nullable=False),
        sa.Column("opened_ms", sa.BigInteger(), nullable=False),
        sa.Column("lapses_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_financing_demands_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("demand_id", name=op.f("pk_financing_demands")),
    )
    op.create_index(op.f("ix_financing_demands_account_id"), "financing_demands", ["account_id"], unique=False)
    op.create_index(
        "ix_financing_demands_amount_fen", "financing_demands", ["state", "amount_fen", "demand_id"], unique=False
    )
    op.create_index(
        "ix_financing_demands_district_amount_fen",
        "financing_demands",
        ["state", "district", "amount_fen", "demand_id"],
        unique=False,
    )
    op.create_index(
        "ix_financing_demands_district_opened_ms",
        "financing_demands",
        ["state", "district", "opened_ms", "demand_id"],
        unique=False,
    )
    op.create_index(
        "ix_financing_demands_industry_amount_fen",
        "financing_demands",
        ["state", "industry", "amount_fen", "demand_id"],
        unique=False,
    )
    op.create_index(
        "ix_financing_demands_industry_opened_ms",
        "financing_demands",
        ["state", "industry", "opened_ms", "demand_id"],
        unique=False,
    )
    op.create_index("ix_financing_demands_lapses", "financing_demands", ["state", "lapses_ms"], unique=False)
    op.create_index(
        "ix_financing_demands_opened_ms", "financing_demands", ["state", "opened_ms", "demand_id"], unique=False
    )
    op.create_index(
        "ix_financing_demands_size_amount_fen",
        "financing_demands",
        ["state", "size", "amount_fen", "demand_id"],
        unique=False,
    )
    op.create_index(
        "ix_financing_demands_size_opened_ms",
        "financing_demands",
        ["state", "size", "opened_ms", "demand_id"],
        unique=False,
    )
    op.create_index(op.f("ix_financing_demands_uscc"), "financing_demands", ["uscc"], unique=False)
    op.create_table(
        "application_consents",
        sa.Column("application_no", sa.Text(), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=False),
        sa.Column("valid_to_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_no"],
            ["applications.application_no"],
            name=op.f("fk_application_consents_application_no_applications"),
        ),
        sa.PrimaryKeyConstraint("application_no", "record_id", name=op.f("pk_application_consents")),
    )
    op.create_index("ix_application_consents_record_id", "application_consents", ["record_id"], unique=False)
    op.create_table(
        "application_findings",
        sa.Column("application_no", sa.Text(), nullable=False),
        sa.Column("finding_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("exchange_id", sa.Text(), nullable=False),
        sa.Column("agrees", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("found_by", sa.Text(), nullable=False),
        sa.Column("found_ms", sa.BigInteger(), nullable=False),
        sa.Column("verified_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_no"],
            ["applications.application_no"],
            name=op.f("fk_application_findings_application_no_applications"),
        ),
        sa.PrimaryKeyConstraint("application_no", "finding_no", name=op.f("pk_application_findings")),
    )
    op.create_table(
        "application_moves",
        sa.Column("application_no", sa.Text(), nullable=False),
        sa.Column("move_no", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("mover", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_no"],
            ["applications.application_no"],
            name=op.f("fk_application_moves_application_no_applications"),
        ),
        sa.PrimaryKeyConstraint("application_no", "move_no", name=op.f("pk_application_moves")),
    )
    op.create_table(
        "grants",
        sa.Column("application_no", sa.Text(), nullable=False),
        sa.Column("limit_fen", sa.BigInteger(), nullable=False),
        sa.Column("annual_rate", sa.Text(), nullable=False),
        sa.Column("penalty_rate", sa.Text(), nullable=False),
        sa.Column("term", sa.Integer(), nullable=False),
        sa.Column("term_unit", sa.Text(), nullable=False),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("granted_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_no"], ["applications.application_no"], name=op.f("fk_grants_application_no_applications")
        ),
        sa.PrimaryKeyConstraint("application_no", name=op.f("pk_grants")),
    )


def downgrade() -> None:
    op.drop_table("grants")
    op.drop_table("application_moves")
    op.drop_table("application_findings")
    op.drop_index("ix_application_consents_record_id", table_name="application_consents")
    op.drop_table("application_consents")
    op.drop_index(op.f("ix_financing_demands_uscc"), table_name="financing_demands")
    op.drop_index("ix_financing_demands_size_opened_ms", table_name="financing_demands")
    op.drop_index("ix_financing_demands_size_amount_fen", table_name="financing_demands")
    op.drop_index("ix_financing_demands_opened_ms", table_name="financing_demands")
    op.drop_index("ix_financing_demands_lapses", table_name="financing_demands")
    op.drop_index("ix_financing_demands_industry_opened_ms", table_name="financing_demands")
    op.drop_index("ix_financing_demands_industry_amount_fen", table_name="financing_demands")
    op.drop_index("ix_financing_demands_district_opened_ms", table_name="financing_demands")
    op.drop_index("ix_financing_demands_district_amount_fen", table_name="financing_demands")
    op.drop_index("ix_financing_demands_amount_fen", table_name="financing_demands")
    op.drop_index(op.f("ix_financing_demands_account_id"), table_name="financing_demands")
    op.drop_table("financing_demands")
    op.drop_index(
        "uq_applications_in_flight",
        table_name="applications",
        sqlite_where=sa.text("in_flight = 1 AND product_code <> ''"),
        postgresql_where=sa.text("in_flight = 1 AND product_code <> ''"),
    )
    op.drop_index("ix_applications_review", table_name="applications")
    op.drop_index("ix_applications_own", table_name="applications")
    op.drop_index("ix_applications_due", table_name="applications")
    op.drop_index("ix_applications_bank_state_pushed_ms", table_name="applications")
    op.drop_index("ix_applications_bank_state_amount_fen", table_name="applications")
    op.drop_index("ix_applications_bank_size_pushed_ms", table_name="applications")
    op.drop_index("ix_applications_bank_size_amount_fen", table_name="applications")
    op.drop_index("ix_applications_bank_pushed_ms", table_name="applications")
    op.drop_index("ix_applications_bank_product_code_pushed_ms", table_name="applications")
    op.drop_index("ix_applications_bank_product_code_amount_fen", table_name="applications")
    op.drop_index("ix_applications_bank_industry_pushed_ms", table_name="applications")
    op.drop_index("ix_applications_bank_industry_amount_fen", table_name="applications")
    op.drop_index("ix_applications_bank_district_pushed_ms", table_name="applications")
    op.drop_index("ix_applications_bank_district_amount_fen", table_name="applications")
    op.drop_index("ix_applications_bank_amount_fen", table_name="applications")
    op.drop_index(op.f("ix_applications_account_id"), table_name="applications")
    op.drop_table("applications")
