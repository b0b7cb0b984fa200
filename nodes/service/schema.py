"""The tables of service.db, as a list of migrations (rules as in nodes/schema.py). Open it by `open_store`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from nodes.store import Store

DATABASE: Final = "service.db"

_FIRST: Final = (
    # secret_sm3: of 32 random bytes, which need no slow hash. rights, models: JSON arrays.
    """CREATE TABLE api_keys (
        key_id TEXT PRIMARY KEY, name TEXT NOT NULL, secret_sm3 BLOB NOT NULL, rights TEXT NOT NULL, models TEXT NOT NULL,
        per_minute INTEGER NOT NULL, created_ms INTEGER NOT NULL, expires_ms INTEGER, user TEXT NOT NULL,
        revoked_ms INTEGER, revoked_reason TEXT) WITHOUT ROWID""",
    # Answers as they were given, for whoever asks again with the same idempotency key.
    """CREATE TABLE answers (
        key_id TEXT NOT NULL, idempotency_key TEXT NOT NULL, question_sm3 BLOB NOT NULL, answer BLOB NOT NULL,
        at_ms INTEGER NOT NULL, PRIMARY KEY (key_id, idempotency_key)) WITHOUT ROWID""",
    "CREATE INDEX answers_by_time ON answers (at_ms)",
    # Who was champion and challenger when: the newest row of a role counts. model_id "" ends one.
    """CREATE TABLE roles (
        role_no INTEGER PRIMARY KEY, role TEXT NOT NULL, model_id TEXT NOT NULL, share REAL NOT NULL,
        since_ms INTEGER NOT NULL, user TEXT NOT NULL, reason TEXT NOT NULL)""",
    # A subject that champion and challenger scored has one score_id and two rows.
    """CREATE TABLE scores (
        score_id TEXT NOT NULL, model_id TEXT NOT NULL, role TEXT NOT NULL, at_ms INTEGER NOT NULL, probability REAL,
        band TEXT NOT NULL, refused TEXT NOT NULL, latency_ms REAL NOT NULL,
        PRIMARY KEY (score_id, model_id)) WITHOUT ROWID""",
    "CREATE INDEX scores_by_model ON scores (model_id, at_ms, probability, refused)",
    "CREATE INDEX scores_by_time ON scores (at_ms)",
    """CREATE TABLE outcomes (
        score_id TEXT PRIMARY KEY, defaulted INTEGER NOT NULL, observed TEXT NOT NULL, at_ms INTEGER NOT NULL,
        key_id TEXT NOT NULL) WITHOUT ROWID""",
    # Whom a model was made on: modeling.monitoring.Population as JSON; the newest row of a model counts.
    """CREATE TABLE populations (
        population_no INTEGER PRIMARY KEY, model_id TEXT NOT NULL, document BLOB NOT NULL, set_ms INTEGER NOT NULL,
        user TEXT NOT NULL)""",
    # Own columns by day (UTC), over the bins of a population; population_no 0: of the model's own references.
    """CREATE TABLE column_counts (
        model_id TEXT NOT NULL, population_no INTEGER NOT NULL, day INTEGER NOT NULL, name TEXT NOT NULL,
        bin INTEGER NOT NULL, rows INTEGER NOT NULL,
        PRIMARY KEY (model_id, population_no, day, name, bin)) WITHOUT ROWID""",
)

MIGRATIONS: Final = (_FIRST,)


def open_store(home: Path) -> Store:
    """Open service.db of a node's home, beside whoever has it open. Raises StoreFailed."""
    return Store.open(home / DATABASE, migrations=MIGRATIONS, shared=True)
