"""Content with its search index, experts' seats and questions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "content_grams",
        sa.Column("gram", sa.Text(), nullable=False),
        sa.Column("block", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("gram", "block", name=op.f("pk_content_grams")),
    )
    op.create_table(
        "contents",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("example", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("title_en", sa.Text(), nullable=False),
        sa.Column("body_en", sa.Text(), nullable=False),
        sa.Column("plain", sa.Text(), nullable=False),
        sa.Column("plain_en", sa.Text(), nullable=False),
        sa.Column("province", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("document_no", sa.Text(), nullable=False),
        sa.Column("effective", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("entered_by", sa.Text(), nullable=False),
        sa.Column("editor", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("published_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_contents")),
        sa.UniqueConstraint("content_id", "version", name=op.f("uq_contents_content_id_version")),
    )
    op.create_index("ix_contents_changed_ms", "contents", ["changed_ms", "number"], unique=False)
    op.create_index("ix_contents_content_id_state", "contents", ["content_id", "state"], unique=False)
    op.create_index("ix_contents_kind_changed_ms", "contents", ["kind", "changed_ms", "number"], unique=False)
    op.create_index("ix_contents_state_changed_ms", "contents", ["state", "changed_ms", "number"], unique=False)
    op.create_index(
        "ix_contents_state_kind_effective", "contents", ["state", "kind", "effective", "number"], unique=False
    )
    op.create_index(
        "ix_contents_state_kind_province_effective",
        "contents",
        ["state", "kind", "province", "effective", "number"],
        unique=False,
    )
    op.create_index(
        "ix_contents_state_kind_published_ms", "contents", ["state", "kind", "published_ms", "number"], unique=False
    )
    op.create_table(
        "expert_seats",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("hours", sa.Text(), nullable=False),
        sa.Column("taking", sa.Integer(), nullable=False),
        sa.Column("ratings", sa.Integer(), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_expert_seats_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_expert_seats")),
    )
    op.create_table(
        "questions",
        sa.Column("question_id", sa.Text(), nullable=False),
        sa.Column("enterprise_id", sa.Text(), nullable=False),
        sa.Column("expert_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("subject_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("asked_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["enterprise_id"], ["accounts.account_id"], name=op.f("fk_questions_enterprise_id_accounts")
        ),
        sa.ForeignKeyConstraint(["expert_id"], ["accounts.account_id"], name=op.f("fk_questions_expert_id_accounts")),
        sa.PrimaryKeyConstraint("question_id", name=op.f("pk_questions")),
    )
    op.create_index("ix_questions_changed_ms", "questions", ["changed_ms", "question_id"], unique=False)
    op.create_index(
        "ix_questions_enterprise_id_changed_ms",
        "questions",
        ["enterprise_id", "changed_ms", "question_id"],
        unique=False,
    )
    op.create_index(
        "ix_questions_enterprise_id_state",
        "questions",
        ["enterprise_id", "state", "changed_ms", "question_id"],
        unique=False,
    )
    op.create_index(
        "ix_questions_expert_id_changed_ms", "questions", ["expert_id", "changed_ms", "question_id"], unique=False
    )
    op.create_index(
        "ix_questions_expert_id_state", "questions", ["expert_id", "state", "changed_ms", "question_id"], unique=False
    )
    op.create_index("ix_questions_state_changed_ms", "questions", ["state", "changed_ms", "question_id"], unique=False)
    op.create_table(
        "question_messages",
        sa.Column("question_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("by_expert", sa.Integer(), nullable=False),
        sa.Column("text_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["question_id"], ["questions.question_id"], name=op.f("fk_question_messages_question_id_questions")
        ),
        sa.PrimaryKeyConstraint("question_id", "place", name=op.f("pk_question_messages")),
    )


def downgrade() -> None:
    op.drop_table("question_messages")
    op.drop_index("ix_questions_state_changed_ms", table_name="questions")
    op.drop_index("ix_questions_expert_id_state", table_name="questions")
    op.drop_index("ix_questions_expert_id_changed_ms", table_name="questions")
    op.drop_index("ix_questions_enterprise_id_state", table_name="questions")
    op.drop_index("ix_questions_enterprise_id_changed_ms", table_name="questions")
    op.drop_index("ix_questions_changed_ms", table_name="questions")
    op.drop_table("questions")
    op.drop_table("expert_seats")
    op.drop_index("ix_contents_state_kind_published_ms", table_name="contents")
    op.drop_index("ix_contents_state_kind_province_effective", table_name="contents")
    op.drop_index("ix_contents_state_kind_effective", table_name="contents")
    op.drop_index("ix_contents_state_changed_ms", table_name="contents")
    op.drop_index("ix_contents_kind_changed_ms", table_name="contents")
    op.drop_index("ix_contents_content_id_state", table_name="contents")
    op.drop_index("ix_contents_changed_ms", table_name="contents")
    op.drop_table("contents")
    op.drop_table("content_grams")
