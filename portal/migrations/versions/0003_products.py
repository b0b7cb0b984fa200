"""Products as they are entered, reviewed and offered, and the facts that enterprises told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002_consents"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "enterprise_facts",
        sa.Column("uscc", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("industry", sa.Text(), nullable=False),
        sa.Column("founded", sa.Text(), nullable=False),
        sa.Column("size", sa.Text(), nullable=False),
        sa.Column("figures_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uscc", name=op.f("pk_enterprise_facts")),
    )
    for column in ("region", "industry", "size"):
        op.create_index(op.f(f"ix_enterprise_facts_{column}"), "enterprise_facts", [column], unique=False)
    op.create_table(
        "product_versions",
        sa.Column("version_id", sa.Text(), nullable=False),
        sa.Column("product_code", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("product_name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("answers", sa.Text(), nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("edition", sa.Integer(), nullable=False),
        sa.Column("entered_by", sa.Text(), nullable=False),
        sa.Column("submitted_by", sa.Text(), nullable=False),
        sa.Column("reviewed_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version_id", name=op.f("pk_product_versions")),
        sa.UniqueConstraint("product_code", "version", name=op.f("uq_product_versions_product_code_version")),
    )
    for name, columns in (
        ("changed_ms", []),
        ("state_changed_ms", ["state"]),
        ("institution_changed_ms", ["institution"]),
        ("institution_state_changed_ms", ["institution", "state"]),
    ):
        columns += ["changed_ms", "version_id"]
        op.create_index(f"ix_product_versions_{name}", "product_versions", columns, unique=False)
    op.create_table(
        "product_offers",
        sa.Column("product_code", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=False),
        sa.Column("product_name", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("amount_min_fen", sa.BigInteger(), nullable=False),
        sa.Column("amount_max_fen", sa.BigInteger(), nullable=False),
        sa.Column("term_min", sa.Integer(), nullable=False),
        sa.Column("term_max", sa.Integer(), nullable=False),
        sa.Column("term_unit", sa.Text(), nullable=False),
        sa.Column("term_min_days", sa.Integer(), nullable=False),
        sa.Column("term_max_days", sa.Integer(), nullable=False),
        sa.Column("rate_min_e4", sa.BigInteger(), nullable=False),
        sa.Column("rate_max_e4", sa.BigInteger(), nullable=False),
        sa.Column("guarantee_types", sa.Text(), nullable=False),
        sa.Column("industries", sa.Text(), nullable=False),
        sa.Column("regions", sa.Text(), nullable=False),
        sa.Column("processing_days", sa.Integer(), nullable=False),
        sa.Column("valid_from", sa.Text(), nullable=False),
        sa.Column("valid_to", sa.Text(), nullable=False),
        sa.Column("searched", sa.Text(), nullable=False),
        sa.Column("published_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("product_code", name=op.f("pk_product_offers")),
    )
    for column in (
        "rate_min_e4",
        "amount_max_fen",
        "term_max_days",
        "processing_days",
        "published_ms",
        "institution",
    ):
        op.create_index(f"ix_product_offers_{column}", "product_offers", [column, "product_code"], unique=False)


def downgrade() -> None:
    op.drop_table("product_offers")
    op.drop_table("product_versions")
    op.drop_table("enterprise_facts")
