"""Keys that sessions have opened: in this process's memory only, for as long as the session is used.

An enterprise's key is opened by the password at login, because every call that it makes to the hub is signed. It is dropped at
logout, when the session ends, and after half an hour without a signature; then the password opens it again.

An enterprise that keeps its key outside signs its questions there (`portal.consents.outside`); what the hub answered is held here for
the same half hour, so that a question is not signed for every page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from trust.sm2 import PrivateKey

IDLE_MS: Final = 30 * 60 * 1000


@dataclass
class _Held:
    key: PrivateKey = field(repr=False)
    used_ms: int
    signing: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeyRing:
    """Keys by session. `clock`: milliseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """Begin without any."""
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._answers: dict[str, dict[str, tuple[object, int]]] = {}

    def hold(self, session_id: str, key: PrivateKey) -> None:
        """Keep a key for a session."""
        self._forget_idle()
        self._held[session_id] = _Held(key, self._clock())

    def get(self, session_id: str) -> PrivateKey | None:
        """A session's key, None if it was never opened or is dropped."""
        self._forget_idle()
        found = self._held.get(session_id)
        if found is None:
            return None
        found.used_ms = self._clock()
        return found.key

    def signing(self, session_id: str) -> asyncio.Lock:
        """Held while something is decided and signed, so that a page sent twice at once signs once."""
        found = self._held.get(session_id)
        return asyncio.Lock() if found is None else found.signing

    def drop(self, session_id: str) -> None:
        """Forget a session's key."""
        self._held.pop(session_id, None)
        self._answers.pop(session_id, None)

    def remember(self, session_id: str, question: str, answer: object) -> None:
        """Hold what the hub answered to a question that was signed outside."""
        now_ms = self._clock()
        self._answers = {
            one: left
            for one, held in self._answers.items()
            if (left := {name: kept for name, kept in held.items() if kept[1] > now_ms - IDLE_MS})
        }
        self._answers.setdefault(session_id, {})[question] = (answer, now_ms)

    def answered(self, session_id: str, question: str) -> object | None:
        """The answer that is held, None if there is none or it is too old."""
        answer, time_ms = self._answers.get(session_id, {}).get(question, (None, 0))
        return answer if time_ms > self._clock() - IDLE_MS else None

    def forget_answers(self, session_id: str) -> None:
        """Ask anew: something was changed."""
        self._answers.pop(session_id, None)

    def _forget_idle(self) -> None:
        oldest_ms = self._clock() - IDLE_MS
        self._held = {one: kept for one, kept in self._held.items() if kept.used_ms > oldest_ms}
