"""The first tables of the portal: accounts, registrations, what enterprises saw, the record of acts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("name_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("phone_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("totp_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("totp_confirmed", sa.Integer(), nullable=False),
        sa.Column("totp_step", sa.BigInteger(), nullable=False),
        sa.Column("key_pem", sa.LargeBinary(), nullable=False),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("login", name=op.f("uq_accounts_login")),
    )
    op.create_index(op.f("ix_accounts_role"), "accounts", ["role"], unique=False)
    op.create_index(op.f("ix_accounts_institution"), "accounts", ["institution"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("login_digest", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("login_digest", name=op.f("pk_attempts")),
    )
    op.create_index(op.f("ix_attempts_time_ms"), "attempts", ["time_ms"], unique=False)
    op.create_table(
        "events",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_events")),
    )
    op.create_index(op.f("ix_events_actor"), "events", ["actor"], unique=False)
    op.create_index(op.f("ix_events_subject"), "events", ["subject"], unique=False)
    op.create_index(op.f("ix_events_time_ms"), "events", ["time_ms"], unique=False)
    op.create_table(
        "invitations",
        sa.Column("token_sm3", sa.Text(), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("invited_by", sa.Text(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token_sm3", name=op.f("pk_invitations")),
    )
    op.create_index(op.f("ix_invitations_institution"), "invitations", ["institution"], unique=False)
    op.create_table(
        "registration_drafts",
        sa.Column("visitor_digest", sa.Text(), nullable=False),
        sa.Column("answers_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("visitor_digest", name=op.f("pk_registration_drafts")),
    )
    op.create_index(op.f("ix_registration_drafts_time_ms"), "registration_drafts", ["time_ms"], unique=False)
    op.create_table(
        "sent_forms",
        sa.Column("form_id", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("form_id", name=op.f("pk_sent_forms")),
    )
    op.create_index(op.f("ix_sent_forms_time_ms"), "sent_forms", ["time_ms"], unique=False)
    op.create_table(
        "login_sources",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_login_sources_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("account_id", "source", name=op.f("pk_login_sources")),
    )
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("read_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_notices_account_id_accounts")),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_notices")),
    )
    op.create_index(op.f("ix_notices_account_id"), "notices", ["account_id"], unique=False)
    op.create_table(
        "registrations",
        sa.Column("registration_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("uscc", sa.Text(), nullable=False),
        sa.Column("ent_name", sa.Text(), nullable=False),
        sa.Column("check_mismatch", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("first_reviewer", sa.Text(), nullable=False),
        sa.Column("first_reason", sa.Text(), nullable=False),
        sa.Column("second_reviewer", sa.Text(), nullable=False),
        sa.Column("second_reason", sa.Text(), nullable=False),
        sa.Column("directory_index", sa.BigInteger(), nullable=True),
        sa.Column("submitted_ms", sa.BigInteger(), nullable=False),
        sa.Column("decided_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_registrations_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint("registration_id", name=op.f("pk_registrations")),
    )
    op.create_index(op.f("ix_registrations_account_id"), "registrations", ["account_id"], unique=False)
    op.create_index(op.f("ix_registrations_uscc"), "registrations", ["uscc"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("refresh_sm3", sa.Text(), nullable=False),
        sa.Column("previous_sm3", sa.Text(), nullable=False),
        sa.Column("renewed_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("second_factor", sa.Integer(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_sessions_account_id_accounts")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_account_id"), "sessions", ["account_id"], unique=False)
    op.create_index("ix_registrations_state_submitted_ms", "registrations", ["state", "submitted_ms"], unique=False)
    op.create_table(
        "seen",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_seen_account_id_accounts")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_seen")),
    )


def downgrade() -> None:
    op.drop_table("seen")
    op.drop_index("ix_registrations_state_submitted_ms", table_name="registrations")
    op.drop_index(op.f("ix_accounts_role"), table_name="accounts")
    op.drop_index(op.f("ix_sessions_account_id"), table_name="sessions")
    op.drop_table("sessions")
    op.drop_index(op.f("ix_registrations_uscc"), table_name="registrations")
    op.drop_index(op.f("ix_registrations_account_id"), table_name="registrations")
    op.drop_table("registrations")
    op.drop_index(op.f("ix_notices_account_id"), table_name="notices")
    op.drop_table("notices")
    op.drop_table("login_sources")
    op.drop_index(op.f("ix_sent_forms_time_ms"), table_name="sent_forms")
    op.drop_table("sent_forms")
    op.drop_index(op.f("ix_registration_drafts_time_ms"), table_name="registration_drafts")
    op.drop_table("registration_drafts")
    op.drop_index(op.f("ix_invitations_institution"), table_name="invitations")
    op.drop_table("invitations")
    op.drop_index(op.f("ix_events_time_ms"), table_name="events")
    op.drop_index(op.f("ix_events_subject"), table_name="events")
    op.drop_index(op.f("ix_events_actor"), table_name="events")
    op.drop_table("events")
    op.drop_index(op.f("ix_attempts_time_ms"), table_name="attempts")
    op.drop_table("attempts")
    op.drop_index(op.f("ix_accounts_institution"), table_name="accounts")
    op.drop_table("accounts")
