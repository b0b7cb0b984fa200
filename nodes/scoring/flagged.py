"""What looks like probing at this node, for its operator: read from the node's database, whether its agent runs or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from nodes.doctor_local import Finding
from nodes.scoring.limits import Flag
from nodes.scoring.spent import flags_of, spending

_FIX = (
    "See `xinqiao score limits`, and ask the requester what its models are for. `refuse_probing = true` under [scoring] in node.toml "
    "refuses such models, `xinqiao model withdraw` ends one."
)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One requester: scores of the day, models that it ever scored with here, what was flagged."""

    requester: str
    today: int
    models: int
    flags: tuple[Flag, ...]


def watched(database: Path, now_ms: int) -> tuple[Watched, ...]:
    """Every requester that ever scored here; none of a database without scores. Raises sqlite3.Error if it cannot be read."""
    if not database.exists():
        return ()
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return tuple(_watched(connection, now_ms))


def _watched(connection: sqlite3.Connection, now_ms: int) -> Iterator[Watched]:
    (tables,) = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE name IN ('score_models', 'score_flags')"
    ).fetchone()
    if tables < 2:  # no agent of this release has opened it yet
        return
    for account in spending(connection, now_ms):
        yield Watched(
            requester=account.requester,
            today=account.today,
            models=len(account.models),
            flags=flags_of(connection, account.requester, now_ms),
        )


def check_probing(database: Path, now_ms: int) -> Finding:
    """The doctor's check: whether any requester's models look as if they were made to read the data."""
    try:
        found = watched(database, now_ms)
    except sqlite3.Error as error:
        return Finding(
            "probing", False, f"{database} cannot be read: {error}.", "Check the disk, and who owns the file."
        )
    told = [f"{each.requester}: {flag.sentence}" for each in found for flag in each.flags]
    if told:
        return Finding("probing", False, f"Requesters may be probing. {' '.join(told)}", _FIX)
    return Finding("probing", True, f"{len(found)} requesters have scored here; nothing looks like probing.")
