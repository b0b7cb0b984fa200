"""Lists of the back office: what acts, accounts and registrations are filtered and sorted by."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0010"
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


def downgrade() -> None:
    op.drop_index("ix_registrations_uscc", "registrations")
    _change(_INDEXES, _BEFORE)


def _change(old: dict[str, dict[str, list[str]]], new: dict[str, dict[str, list[str]]]) -> None:
    for table, indexes in old.items():
        for name in indexes:
            op.drop_index(name, table)
    for table, indexes in new.items():
        for name, columns in indexes.items():
            op.create_index(name, table, columns)
