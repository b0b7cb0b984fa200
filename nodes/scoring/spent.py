"""What each requester has scored at this provider: read and written in the transaction that charges the uses."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from consent.identifiers import window_start_ms
from nodes.scoring.limits import PROBING_WINDOW_MS, YEAR_MS, Flag, ModelUse, SubjectSpent, probing

_SERVED = "served/"
"""Before the name of a model of this node's own member, where a subject's models are counted."""
_MODEL_COLUMNS = "model, fields, created_ms, first_ms, subjects"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A requester's model as the counts name it. `model`: its commitment; `fields`: what it reads here.

    Without fields it is no model of the requester's: this node's own member serves it (data to model), and it reads `asked` columns of
    the requester; or the sides of splits are told of it, of which the requester knows no weights.
    """

    requester: str
    model: str
    fields: frozenset[str]
    created_ms: int
    asked: int = 0

    @property
    def touch(self) -> str:
        """How it is named among the models of a subject."""
        return self.model if self.fields else _SERVED + self.model


def spent_on(connection: sqlite3.Connection, requester: str, uscc: str, now_ms: int) -> SubjectSpent:
    """What the requester has spent on a subject."""
    rows = connection.execute(
        "SELECT model, day_ms, used FROM score_touched WHERE requester = ? AND uscc = ? AND last_ms > ?",
        (requester, uscc, now_ms - YEAR_MS),
    ).fetchall()
    today = window_start_ms("day", now_ms)
    return SubjectSpent(
        models=frozenset(model for model, _, _ in rows if not model.startswith(_SERVED)),
        today=sum(used for _, day, used in rows if day == today),
    )


def spent_today(connection: sqlite3.Connection, requester: str, now_ms: int) -> int:
    """The requester's scores of this calendar day."""
    row = connection.execute(
        "SELECT used FROM score_days WHERE requester = ? AND day_ms = ?", (requester, window_start_ms("day", now_ms))
    ).fetchone()
    return row[0] if row else 0


def spent_on_model(connection: sqlite3.Connection, model: Model) -> int:
    """The requester's scores of a model, ever."""
    row = connection.execute(
        "SELECT scores FROM score_models WHERE requester = ? AND model = ?", (model.requester, model.model)
    ).fetchone()
    return row[0] if row else 0


def spend(
    connection: sqlite3.Connection, model: Model, usccs: Sequence[str], now_ms: int, *, again: bool = False
) -> None:
    """Count one score for each of these distinct subjects. `again`: of a repeated question, which the day's scores have already."""
    if not usccs:
        return
    today = window_start_ms("day", now_ms)
    (before,) = connection.execute("SELECT total_changes()").fetchone()
    connection.executemany(
        "INSERT OR IGNORE INTO score_touched (requester, uscc, model, last_ms, day_ms, used) VALUES (?, ?, ?, ?, ?, 0)",
        [(model.requester, uscc, model.touch, now_ms, today) for uscc in usccs],
    )
    (after,) = connection.execute("SELECT total_changes()").fetchone()
    connection.executemany(
        "UPDATE score_touched SET last_ms = ?, used = CASE WHEN day_ms = ? THEN used + 1 ELSE 1 END, day_ms = ?"
        " WHERE requester = ? AND uscc = ? AND model = ?",
        [(now_ms, today, today, model.requester, uscc, model.touch) for uscc in usccs],
    )
    connection.execute(
        "INSERT INTO score_days (requester, day_ms, used) VALUES (?, ?, ?)"
        " ON CONFLICT (requester, day_ms) DO UPDATE SET used = used + excluded.used",
        (model.requester, today, 0 if again else len(usccs)),
    )
    connection.execute(
        "INSERT INTO score_models (requester, model, fields, created_ms, first_ms, subjects, scores) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (requester, model) DO UPDATE SET subjects = subjects + excluded.subjects, scores = scores + excluded.scores",
        (
            model.requester,
            model.model,
            msgspec.json.encode(sorted(model.fields)),
            model.created_ms,
            now_ms,
            after - before,
            len(usccs),
        ),
    )


def forget(connection: sqlite3.Connection, now_ms: int, outcomes_before_ms: int) -> None:
    """Delete outcomes from before that time, and counts that no limit looks at any more."""
    connection.execute("DELETE FROM score_log WHERE at_ms < ?", (outcomes_before_ms,))
    connection.execute("DELETE FROM score_touched WHERE last_ms <= ?", (now_ms - YEAR_MS,))
    connection.execute("DELETE FROM score_days WHERE day_ms < ?", (now_ms - YEAR_MS,))
    connection.execute("DELETE FROM score_flags WHERE at_ms <= ?", (now_ms - PROBING_WINDOW_MS,))


def flag(connection: sqlite3.Connection, requester: str, found: Flag, now_ms: int) -> None:
    """Keep what shows in the data and not in the counts; the last time counts."""
    connection.execute(
        "INSERT INTO score_flags (requester, model, what, sentence, at_ms) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (requester, model, what) DO UPDATE SET sentence = excluded.sentence, at_ms = excluded.at_ms",
        (requester, found.models[0], found.what, found.sentence, now_ms),
    )


def flags_of(connection: sqlite3.Connection, requester: str, now_ms: int) -> tuple[Flag, ...]:
    """What looks like probing in the requester's models: by their counts, and what was kept within 30 days."""
    rows = connection.execute(
        f"SELECT {_MODEL_COLUMNS} FROM score_models WHERE requester = ?",  # noqa: S608 - a constant
        (requester,),
    )
    kept = connection.execute(
        "SELECT what, model, sentence FROM score_flags WHERE requester = ? AND at_ms > ? ORDER BY at_ms",
        (requester, now_ms - PROBING_WINDOW_MS),
    )
    return (
        *probing([_use(row) for row in rows], now_ms),
        *(Flag(what=what, models=(model,), sentence=sentence) for what, model, sentence in kept),
    )


def _use(row: tuple[str, bytes, int, int, int]) -> ModelUse:
    model, fields, created_ms, first_ms, subjects = row
    return ModelUse(
        model=model,
        fields=frozenset(msgspec.json.decode(fields, type=list[str])),
        created_ms=created_ms,
        first_ms=first_ms,
        subjects=subjects,
    )


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """One requester's account at this provider, for its operator."""

    requester: str
    today: int
    models: tuple[dict[str, int | str], ...]
    flags: tuple[str, ...]


def spending(connection: sqlite3.Connection, now_ms: int) -> Iterable[Spending]:
    """The account of every requester that ever scored here."""
    names = [row[0] for row in connection.execute("SELECT DISTINCT requester FROM score_models ORDER BY requester")]
    return [
        Spending(
            requester=name,
            today=spent_today(connection, name, now_ms),
            models=tuple(
                {"model": model, "subjects": subjects, "scores": scores}
                for model, subjects, scores in connection.execute(
                    "SELECT model, subjects, scores FROM score_models WHERE requester = ? ORDER BY first_ms", (name,)
                )
            ),
            flags=tuple(flag.sentence for flag in flags_of(connection, name, now_ms)),
        )
        for name in names
    ]
