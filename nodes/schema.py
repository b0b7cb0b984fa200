"""The tables of a node's database, as a list of migrations.

The rules of this module:
1. A migration that was released is never changed; a change is a new migration at the end of `MIGRATIONS`.
2. Each migration is applied in one transaction together with its number (`PRAGMA user_version`).
3. Times are integer milliseconds since the epoch, identifiers lower-case UUID text, digests and roots raw
   bytes.

Which table belongs to whom: logs, consents and alarms to `nodes.replica_store`; outbox tables to
`nodes.outbox`; uses, queries and approvals to `nodes.policy` and `nodes.approvals`; transfers to
`nodes.exchanges`; jobs of joint modelling to `nodes.joint`; comparisons of sets to `nodes.psi`; scores to
`nodes.scoring`.
"""

from __future__ import annotations

from typing import Final

_LOGS: Final = (
    # Leaves as they were sent: the evidence, and the source from which everything else can be built again.
    """CREATE TABLE log_entries (
        origin TEXT NOT NULL, idx INTEGER NOT NULL, leaf BLOB NOT NULL,
        PRIMARY KEY (origin, idx))""",
    # frontier: trust.merkle.Frontier.encode(); checkpoint: the newest verified document, as it travelled.
    """CREATE TABLE log_heads (
        origin TEXT PRIMARY KEY, size INTEGER NOT NULL, frontier BLOB NOT NULL, recent_roots BLOB NOT NULL,
        checkpoint BLOB, verified_ms INTEGER) WITHOUT ROWID""",
    # Entries of other members' logs that name this member, under its own numbering.
    """CREATE TABLE grantee_entries (
        seq INTEGER PRIMARY KEY, origin TEXT NOT NULL, idx INTEGER NOT NULL, leaf BLOB NOT NULL)""",
    """CREATE TABLE alarms (
        alarm_no INTEGER PRIMARY KEY, kind TEXT NOT NULL, origin TEXT NOT NULL, detail TEXT NOT NULL,
        raised_ms INTEGER NOT NULL, cleared_ms INTEGER, cleared_reason TEXT)""",
)

_CONSENTS: Final = (
    # Terms are shared by many consents and stored once, as JSON.
    "CREATE TABLE consent_terms (terms_id INTEGER PRIMARY KEY, terms BLOB NOT NULL UNIQUE)",
    # One row a consent, in the form in which the book loads it without looking at a signature again.
    """CREATE TABLE consent_rows (
        origin TEXT NOT NULL, record_id TEXT NOT NULL, uscc TEXT NOT NULL, terms_id INTEGER NOT NULL,
        record_version INTEGER NOT NULL, payload_sm3 BLOB NOT NULL,
        valid_from_ms INTEGER NOT NULL, valid_to_ms INTEGER NOT NULL,
        status INTEGER NOT NULL, revoked_ms INTEGER, log_index INTEGER NOT NULL,
        PRIMARY KEY (origin, record_id)) WITHOUT ROWID""",
    # The date of the newest document that was taken into a book: a replaced key cannot sign into the past.
    "CREATE TABLE consent_books (origin TEXT PRIMARY KEY, newest_ms INTEGER NOT NULL) WITHOUT ROWID",
)

_USES: Final = (
    "CREATE TABLE uses (record_id TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID",
    """CREATE TABLE use_windows (
        record_id TEXT NOT NULL, window_start_ms INTEGER NOT NULL, used INTEGER NOT NULL,
        PRIMARY KEY (record_id, window_start_ms)) WITHOUT ROWID""",
    # A request key never counts twice: the first outcome, an encoded Permit or Denial, is the outcome.
    """CREATE TABLE query_log (
        request_key TEXT PRIMARY KEY, exchange_id TEXT NOT NULL, request_no INTEGER NOT NULL,
        request_digest BLOB NOT NULL, decision TEXT NOT NULL, outcome BLOB, response_digest BLOB,
        receipt_id TEXT, at_ms INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX query_log_by_exchange ON query_log (exchange_id, request_no)",
    """CREATE TABLE approvals (
        exchange_id TEXT PRIMARY KEY, requester TEXT NOT NULL, product_id TEXT NOT NULL, mode TEXT NOT NULL,
        purpose TEXT NOT NULL, reason TEXT NOT NULL, user TEXT NOT NULL, request BLOB NOT NULL, ticket BLOB
        NOT NULL, state TEXT NOT NULL, asked_ms INTEGER NOT NULL, decided_ms INTEGER, decided_reason TEXT)
        WITHOUT ROWID""",
)

_TRANSFERS: Final = (
    # What this node gives: the permitted set and the pinned snapshot, so that a resumed transfer is the
    # same transfer.
    """CREATE TABLE transfers_out (
        exchange_id TEXT PRIMARY KEY, requester TEXT NOT NULL, state TEXT NOT NULL, request BLOB NOT NULL,
        plan BLOB, snapshots BLOB, permitted BLOB, subjects INTEGER NOT NULL DEFAULT 0,
        rows INTEGER NOT NULL DEFAULT 0, receipt_id TEXT, delete_by_ms INTEGER,
        created_ms INTEGER NOT NULL, ended_ms INTEGER) WITHOUT ROWID""",
    # What this node received, and when it has to be gone.
    """CREATE TABLE transfers_in (
        exchange_id TEXT PRIMARY KEY, provider TEXT NOT NULL, directory TEXT NOT NULL, state TEXT NOT NULL,
        request BLOB NOT NULL, parts INTEGER NOT NULL DEFAULT 0, rows INTEGER NOT NULL DEFAULT 0,
        digest TEXT, receipt_id TEXT, delete_by_ms INTEGER, created_ms INTEGER NOT NULL,
        ended_ms INTEGER, deleted_ms INTEGER) WITHOUT ROWID""",
)

_OUTBOX: Final = (
    # state: waiting (to be signed), signed (to be sent), sent (has an index), included (proved in the log).
    # `signed`, the leaf as it is sent, is kept until then.
    """CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, receipt_id TEXT NOT NULL UNIQUE, payload BLOB NOT NULL,
        state TEXT NOT NULL DEFAULT 'waiting', signed BLOB, leaf_hash BLOB, log_index INTEGER,
        subject_count INTEGER NOT NULL DEFAULT 0, subjects_sent INTEGER NOT NULL DEFAULT 0,
        created_ms INTEGER NOT NULL, sent_ms INTEGER, included_ms INTEGER)""",
    "CREATE INDEX outbox_open ON outbox (state, seq)",
    "CREATE INDEX outbox_subjects ON outbox (seq) WHERE subjects_sent < subject_count",
    "CREATE INDEX outbox_included ON outbox (included_ms) WHERE included_ms IS NOT NULL",
    # Encoded SubjectUse values of a batch receipt, in the order of its commitment.
    """CREATE TABLE batch_subjects (
        receipt_id TEXT NOT NULL, position INTEGER NOT NULL, subject_use BLOB NOT NULL,
        PRIMARY KEY (receipt_id, position)) WITHOUT ROWID""",
    """CREATE TABLE outbox_deletions (
        exchange_id TEXT PRIMARY KEY, attestation BLOB NOT NULL, state TEXT NOT NULL DEFAULT 'waiting',
        log_index INTEGER, created_ms INTEGER NOT NULL) WITHOUT ROWID""",
)

_PARTS: Final = (
    # Where each part of a transfer that this node gives begins and ends, and the digest of its frames: written before the part's
    # end is told, so that a transfer goes on from there after `kill -9`.
    """CREATE TABLE transfer_parts (
        exchange_id TEXT NOT NULL, part_no INTEGER NOT NULL, ordinal INTEGER NOT NULL, end_row INTEGER NOT NULL,
        table_done INTEGER NOT NULL, rows INTEGER NOT NULL, digest BLOB NOT NULL,
        PRIMARY KEY (exchange_id, part_no)) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX transfers_in_directory ON transfers_in (directory) WHERE state <> 'deleted'",
)

_JOINT: Final = (
    # Jobs of this node. `exchanges`: JSON by provider, the exchange and its signed request.
    """CREATE TABLE joint_jobs (
        job_id TEXT PRIMARY KEY, name TEXT NOT NULL, directory TEXT NOT NULL, state TEXT NOT NULL, job BLOB NOT NULL,
        base TEXT NOT NULL, user TEXT NOT NULL, exchanges BLOB NOT NULL, created_ms INTEGER NOT NULL,
        ended_ms INTEGER, failure TEXT, commitment TEXT) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX joint_jobs_directory ON joint_jobs (directory) WHERE state = 'running'",
    # Jobs of other members that this node takes part in: what was decided, never changed.
    """CREATE TABLE joint_out (
        exchange_id TEXT PRIMARY KEY, job_id TEXT NOT NULL, requester TEXT NOT NULL, name TEXT NOT NULL,
        state TEXT NOT NULL, plan BLOB NOT NULL, subjects INTEGER NOT NULL, created_ms INTEGER NOT NULL,
        ended_ms INTEGER, failure TEXT, commitment TEXT) WITHOUT ROWID""",
    # Which receipts of an exchange of a job were written: begun (0), model made (1).
    "CREATE TABLE joint_receipts (place TEXT PRIMARY KEY, receipt_id TEXT NOT NULL) WITHOUT ROWID",
)

_PSI: Final = (
    # Comparisons of sets that this node asked for. `targets`: JSON, what was compared with whom; `outcome`: JSON, once there is one.
    """CREATE TABLE psi_runs (
        run_id TEXT PRIMARY KEY, mode TEXT NOT NULL, state TEXT NOT NULL, targets BLOB NOT NULL, exchanges BLOB NOT NULL,
        directory TEXT NOT NULL, outcome BLOB, failure TEXT, created_ms INTEGER NOT NULL, ended_ms INTEGER) WITHOUT ROWID""",
    # Comparisons that this node took part in, by its own rules; a refused one too.
    """CREATE TABLE psi_out (
        exchange_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, requester TEXT NOT NULL, product_id TEXT NOT NULL, item_id TEXT NOT NULL,
        mode TEXT NOT NULL, state TEXT NOT NULL, legal_basis TEXT NOT NULL, receipt_id TEXT NOT NULL, size INTEGER, failure TEXT,
        created_ms INTEGER NOT NULL, ended_ms INTEGER) WITHOUT ROWID""",
    "CREATE INDEX psi_out_of_a_day ON psi_out (requester, product_id, mode, created_ms)",
)

_SCORING: Final = (
    # What each requester has scored here (`nodes.scoring.spent`), by model, by subject and model, by calendar day. `used`: that day.
    """CREATE TABLE score_models (
        requester TEXT NOT NULL, model TEXT NOT NULL, fields BLOB NOT NULL, created_ms INTEGER NOT NULL, first_ms INTEGER NOT NULL,
        subjects INTEGER NOT NULL, scores INTEGER NOT NULL, PRIMARY KEY (requester, model)) WITHOUT ROWID""",
    """CREATE TABLE score_touched (
        requester TEXT NOT NULL, uscc TEXT NOT NULL, model TEXT NOT NULL, last_ms INTEGER NOT NULL,
        day_ms INTEGER NOT NULL, used INTEGER NOT NULL, PRIMARY KEY (requester, uscc, model)) WITHOUT ROWID""",
    """CREATE TABLE score_days (
        requester TEXT NOT NULL, day_ms INTEGER NOT NULL, used INTEGER NOT NULL,
        PRIMARY KEY (requester, day_ms)) WITHOUT ROWID""",
    # The first outcome of a request is its outcome: nothing is counted twice.
    """CREATE TABLE score_log (
        request_key TEXT PRIMARY KEY, digest BLOB NOT NULL, outcome BLOB NOT NULL, at_ms INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX score_log_by_age ON score_log (at_ms)",
    # Batches of this node's own. `asked`: JSON, what is scored; `exchanges`: JSON by provider, the exchange and its signed request.
    """CREATE TABLE score_batches (
        batch_id TEXT PRIMARY KEY, directory TEXT NOT NULL, state TEXT NOT NULL, asked BLOB NOT NULL, exchanges BLOB NOT NULL,
        failure TEXT, created_ms INTEGER NOT NULL, ended_ms INTEGER) WITHOUT ROWID""",
    "CREATE UNIQUE INDEX score_batches_directory ON score_batches (directory) WHERE state = 'running'",
)

_MODELS: Final = (
    # Verified documents of the model registry, in the order in which they came. `sent`: whether the hub has it.
    """CREATE TABLE model_documents (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, payload_sm3 TEXT NOT NULL UNIQUE, document BLOB NOT NULL, sent INTEGER NOT NULL,
        kept_ms INTEGER NOT NULL)""",
)

_SESSIONS: Final = (
    # Evidence of what was sent in sessions of scoring (`nodes.models.sessions`): the seeds of this node's own sessions, and what the
    # owners of others' signed.
    """CREATE TABLE score_seeds (
        session TEXT PRIMARY KEY, model_id TEXT NOT NULL, seed BLOB NOT NULL, at_ms INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX score_seeds_by_model ON score_seeds (model_id, at_ms)",
    # No key: an owner that names a session twice is told on by both.
    "CREATE TABLE score_sent (model_id TEXT NOT NULL, document BLOB NOT NULL, at_ms INTEGER NOT NULL)",
    "CREATE INDEX score_sent_by_model ON score_sent (model_id, at_ms)",
    # Digest of the ciphertexts that a question was last computed with.
    "ALTER TABLE score_log ADD COLUMN brought BLOB NOT NULL DEFAULT x''",
    # What was flagged in a requester's rows: of what shows in counts nothing is kept.
    """CREATE TABLE score_flags (
        requester TEXT NOT NULL, model TEXT NOT NULL, what TEXT NOT NULL, sentence TEXT NOT NULL, at_ms INTEGER NOT NULL,
        PRIMARY KEY (requester, model, what)) WITHOUT ROWID""",
)

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    _LOGS + _CONSENTS + _USES + _TRANSFERS + _OUTBOX,
    _PARTS,
    _JOINT,
    _PSI,
    _SCORING,
    _MODELS,
    _SESSIONS,
)
"""SQL statements by migration; the database's version is the number of migrations that were applied."""
