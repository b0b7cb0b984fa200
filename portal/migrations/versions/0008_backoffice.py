"""The back office: institutions, narrowed roles, hidden menu entries; what acts, accounts and registrations are filtered by."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_INDEXES = {
    "events": {
        "ix_events_time": ["time_ms", "event_id"],
        **{f"ix_events_{each}_time": [each, "time_ms", "event_id"] for each in ("actor", "action", "subject")},
    },
    "accounts": {
        f"ix_accounts_{name}": columns
        for order in ("login", "created_ms")
        for name, columns in {
            f"{order}_account_id": [order, "account_id"],
            **{f"{each}_{order}": [each, order, "account_id"] for each in ("role", "institution", "state")},
        }.items()
    },
    "registrations": {
        "ix_registrations_queue": ["state", "submitted_ms", "registration_id", "ent_name"],
        "ix_registrations_all": ["submitted_ms", "registration_id", "ent_name"],
    },
}
_BEFORE = {
    "events": {f"ix_events_{each}": [each] for each in ("time_ms", "actor", "subject")},
    "accounts": {f"ix_accounts_{each}": [each] for each in ("role", "institution")},
    "registrations": {
        "ix_registrations_uscc": ["uscc"],
        "ix_registrations_state_submitted_ms": ["state", "submitted_ms"],
    },
}


def upgrade() -> None:
    _change(_BEFORE, _INDEXES)
    op.create_index("ix_registrations_uscc", "registrations", ["uscc", "submitted_ms", "registration_id"])
    _create_institutions()
    _create_roles()


def downgrade() -> None:
    for table in ("hidden_entries", "role_holders", "narrowed_roles", "institution_changes", "institutions"):
        op.drop_table(table)
    op.drop_index("ix_registrations_uscc", "registrations")
    _change(_INDEXES, _BEFORE)


def _create_institutions() -> None:
    op.create_table(
        "institutions",
        sa.Column("institution", sa.Text(), nullable=False),
        *_about(),
        sa.PrimaryKeyConstraint("institution", name=op.f("pk_institutions")),
    )
    op.create_table(
        "institution_changes",
        sa.Column("change_id", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        *_about(),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("entered_by", sa.Text(), nullable=False),
        sa.Column("entered_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decision_reason", sa.Text(), nullable=False),
        sa.Column("decided_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_institution_changes")),
    )
    op.create_index("ix_institution_changes_history", "institution_changes", ["institution", "entered_ms"])
    op.create_index("ix_institution_changes_state", "institution_changes", ["state", "institution"])


def _about() -> list[sa.Column[Any]]:
    texts = [sa.Column(name, sa.Text(), nullable=False) for name in ("name_zh", "name_en", "kind", "contact")]
    marks = [sa.Column(name, sa.Integer(), nullable=False) for name in ("publishes", "lends", "suspended")]
    return [*texts, *marks, sa.Column("version", sa.BigInteger(), nullable=False)]


def _create_roles() -> None:
    op.create_table(
        "narrowed_roles",
        sa.Column("role_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("role_id", name=op.f("pk_narrowed_roles")),
    )
    op.create_index(op.f("ix_narrowed_roles_institution"), "narrowed_roles", ["institution"])
    op.create_table(
        "role_holders",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("role_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.account_id"], name=op.f("fk_role_holders_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(
            ["role_id"], ["narrowed_roles.role_id"], name=op.f("fk_role_holders_role_id_narrowed_roles")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_role_holders")),
    )
    op.create_index(op.f("ix_role_holders_role_id"), "role_holders", ["role_id"])
    op.create_table(
        "hidden_entries",
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("role", "path", name=op.f("pk_hidden_entries")),
    )


def _change(old: dict[str, dict[str, list[str]]], new: dict[str, dict[str, list[str]]]) -> None:
    for table, indexes in old.items():
        for name in indexes:
            op.drop_index(name, table)
    for table, indexes in new.items():
        for name, columns in indexes.items():
            op.create_index(name, table, columns)
