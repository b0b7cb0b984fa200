"""Idempotency: an answer is kept 24 hours for who asks again with the same key, and the key serves no other question."""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nodes.service.problems import CallFailed
from nodes.store import Store

KEPT_MS: Final = 24 * 3_600_000
LONGEST_KEY: Final = 128


@dataclass(frozen=True)
class Question:
    """A question under a caller's idempotency key. `key_id`: the API key; `digest`: of what is asked."""

    key_id: str
    idempotency_key: str
    digest: bytes

    def require_same(self, digest: bytes) -> None:
        """Raises CallFailed ALREADY_EXISTS if the key served another question."""
        if not hmac.compare_digest(self.digest, digest):
            raise CallFailed(
                "ALREADY_EXISTS",
                f"Idempotency key {self.idempotency_key} was used with another body within 24 hours; choose a new key for a new "
                "question.",
            )


def check_idempotency_key(text: str) -> None:
    """Raises CallFailed INVALID_ARGUMENT."""
    if len(text) > LONGEST_KEY or not text.isascii() or not text.isprintable():
        raise CallFailed("INVALID_ARGUMENT", f"An idempotency key has 1 to {LONGEST_KEY} printable ASCII characters.")


class Answers:
    """The kept answers."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def find(self, question: Question) -> bytes | None:
        """The answer that was given. Raises CallFailed ALREADY_EXISTS if it was to another question."""
        row = await self._store.read(
            lambda connection: connection.execute(
                "SELECT question_sm3, answer, at_ms FROM answers WHERE key_id = ? AND idempotency_key = ?",
                (question.key_id, question.idempotency_key),
            ).fetchone()
        )
        if row is None or row[2] + KEPT_MS <= self._clock():
            return None
        question.require_same(row[0])
        answer: bytes = row[1]
        return answer

    def keep(self, connection: sqlite3.Connection, question: Question, answer: bytes) -> None:
        """Keep an answer within a transaction, and forget those whose time is over."""
        now_ms = self._clock()
        connection.execute("DELETE FROM answers WHERE at_ms <= ?", (now_ms - KEPT_MS,))
        connection.execute(
            "INSERT OR REPLACE INTO answers (key_id, idempotency_key, question_sm3, answer, at_ms) VALUES (?,?,?,?,?)",
            (question.key_id, question.idempotency_key, question.digest, answer, now_ms),
        )
