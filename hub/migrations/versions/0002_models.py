"""The registry of scoring models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("model_id", name=op.f("pk_models")),
        sa.UniqueConstraint("owner", "name", "version", name=op.f("uq_models_owner_name_version")),
    )
    op.create_table(
        "model_parties",
        sa.Column("member_id", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("member_id", "model_id", name=op.f("pk_model_parties")),
    )
    op.create_table(
        "model_documents",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("payload_sm3", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_model_documents")),
        sa.UniqueConstraint("payload_sm3", name=op.f("uq_model_documents_payload_sm3")),
    )
    op.create_index("ix_model_documents_model_id_seq", "model_documents", ["model_id", "seq"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_model_documents_model_id_seq", table_name="model_documents")
    op.drop_table("model_documents")
    op.drop_table("model_parties")
    op.drop_table("models")
