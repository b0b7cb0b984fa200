"""API keys: `xqs_<id>_<secret>`. The secret, 32 random bytes, is shown once; what is kept is its SM3.

The rules of this module, in the order in which a key is checked:
1. A key that is malformed, unknown, or whose secret is wrong gets one answer; the comparison takes the same time for each.
2. A revoked or expired key is told so: whoever holds it holds the secret.
3. A key may do what its rights name, with the models that it names.
4. It may do so `per_minute` times a minute, in bursts of a sixth of that.

A secret of 256 random bits cannot be guessed, so that a slow hash would only slow down calls. A revocation holds from the next call
on: keys are read at each.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from nodes.errors import NodeError
from nodes.service.problems import CallFailed
from nodes.store import Store
from trust.suite import sm3

RIGHTS: Final = ("score", "outcomes", "monitor")
"""score: ask for scores and see models; outcomes: report what became of them; monitor: figures, page and metrics."""
ALL_MODELS: Final = "*"
DEFAULT_PER_MINUTE: Final = 600
_PREFIX: Final = "xqs"
_CONTEXT: Final = b"xinqiao api key\x00"
_NOBODY: Final = sm3(_CONTEXT)
_COLUMNS: Final = (
    "key_id, name, secret_sm3, rights, models, per_minute, created_ms, expires_ms, user, revoked_ms, revoked_reason"
)


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """A key as it is kept. `models`: names or identifiers, or ALL_MODELS. Times in milliseconds, None for never."""

    key_id: str
    name: str
    rights: tuple[str, ...]
    models: tuple[str, ...]
    per_minute: int
    created_ms: int
    expires_ms: int | None
    user: str
    revoked_ms: int | None
    revoked_reason: str | None

    def require(self, right: str) -> None:
        """Raises CallFailed PERMISSION_DENIED without that right."""
        if right not in self.rights:
            raise CallFailed("PERMISSION_DENIED", f"Key {self.key_id} has no right to {right}; it may {self._may()}.")

    def covers(self, model_id: str, name: str) -> bool:
        """Whether the key may use a model."""
        return ALL_MODELS in self.models or model_id in self.models or name in self.models

    def _may(self) -> str:
        return ", ".join(self.rights) or "nothing"


@dataclass(frozen=True)
class NewKey:
    """A key that was just made; `text` is nowhere else."""

    key: ApiKey
    text: str


class KeyStore:
    """The keys in service.db."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        """`clock`: milliseconds since the epoch."""
        self._store = store
        self._clock = clock

    async def create(
        self,
        name: str,
        *,
        rights: tuple[str, ...],
        models: tuple[str, ...] = (ALL_MODELS,),
        per_minute: int = DEFAULT_PER_MINUTE,
        days: int | None = None,
        user: str,
    ) -> NewKey:
        """Make a key. Raises NodeError for a right that there is not, or numbers out of their range."""
        if not name.strip() or not rights or not set(rights) <= set(RIGHTS) or not models:
            raise NodeError(
                f"A key has a name, rights out of {', '.join(RIGHTS)}, and models.", code="INVALID_ARGUMENT"
            )
        if not 1 <= per_minute <= 1_000_000 or (days is not None and not 1 <= days <= 3650):
            raise NodeError("A key allows 1 to 1,000,000 calls a minute, for 1 to 3,650 days.", code="INVALID_ARGUMENT")
        now_ms = self._clock()
        key = ApiKey(
            key_id=secrets.token_hex(6),
            name=name.strip(),
            rights=tuple(right for right in RIGHTS if right in rights),
            models=models,
            per_minute=per_minute,
            created_ms=now_ms,
            expires_ms=None if days is None else now_ms + days * 86_400_000,
            user=user,
            revoked_ms=None,
            revoked_reason=None,
        )
        secret = secrets.token_urlsafe(32)
        row = (
            key.key_id,
            key.name,
            _digest(secret),
            json.dumps(key.rights),
            json.dumps(key.models),
            per_minute,
            now_ms,
            key.expires_ms,
            user,
        )
        await self._store.write(
            lambda connection: (
                connection.execute(
                    f"INSERT INTO api_keys ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,NULL,NULL)",  # noqa: S608 (own names)
                    row,
                )
                and None
            )
        )
        return NewKey(key, f"{_PREFIX}_{key.key_id}_{secret}")

    async def list(self) -> tuple[ApiKey, ...]:
        """All keys, the newest first."""
        return await self._store.read(
            lambda connection: tuple(
                _key(row)
                for row in connection.execute(
                    f"SELECT {_COLUMNS} FROM api_keys ORDER BY created_ms DESC, key_id"  # noqa: S608 (own names)
                )
            )
        )

    async def revoke(self, key_id: str, reason: str) -> ApiKey:
        """End a key for good; a second time changes nothing. Raises NodeError NOT_FOUND."""
        now_ms = self._clock()

        def work(connection: sqlite3.Connection) -> ApiKey | None:
            connection.execute(
                "UPDATE api_keys SET revoked_ms = ?, revoked_reason = ? WHERE key_id = ? AND revoked_ms IS NULL",
                (now_ms, reason, key_id),
            )
            found = _find(connection, key_id)
            return None if found is None else found[0]

        key = await self._store.write(work)
        if key is None:
            raise NodeError(f"There is no key {key_id}; `xinqiao score key list` shows them.", code="NOT_FOUND")
        return key

    async def check(self, text: str) -> ApiKey:
        """The key that a caller presented. Raises CallFailed UNAUTHENTICATED."""
        prefix, _, rest = text.partition("_")
        key_id, _, secret = rest.partition("_")
        found = await self._store.read(lambda connection: _find(connection, key_id))
        key, kept = (None, _NOBODY) if found is None else found
        right = hmac.compare_digest(_digest(secret), kept)
        if key is None or not right or prefix != _PREFIX:
            raise unauthenticated("The API key is not known.")
        if key.revoked_ms is not None:
            raise unauthenticated(f"Key {key.key_id} was revoked: {key.revoked_reason}.")
        if key.expires_ms is not None and self._clock() >= key.expires_ms:
            raise unauthenticated(f"Key {key.key_id} has expired.")
        return key


def unauthenticated(what: str) -> CallFailed:
    """No valid key, and what to do."""
    return CallFailed("UNAUTHENTICATED", f"{what} Send a valid one as `Authorization: Bearer KEY`.")


@dataclass(slots=True)
class _Bucket:
    level: float
    at_s: float


class RateLimit:
    """A bucket for each key that fills with its calls a minute. `clock`: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """All buckets are full."""
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: ApiKey) -> None:
        """Take one call. Raises CallFailed RATE_LIMITED with the time until the next."""
        rate, capacity = key.per_minute / 60, max(1.0, key.per_minute / 6)
        now_s = self._clock()
        bucket = self._buckets.setdefault(key.key_id, _Bucket(capacity, now_s))
        bucket.level = min(capacity, bucket.level + (now_s - bucket.at_s) * rate)
        bucket.at_s = now_s
        if bucket.level < 1.0:
            wait_ms = max(1, round((1.0 - bucket.level) / rate * 1000))
            raise CallFailed(
                "RATE_LIMITED",
                f"Key {key.key_id} allows {key.per_minute:,} calls a minute; wait {wait_ms} ms.",
                retry_after_ms=wait_ms,
            )
        bucket.level -= 1.0


def _digest(secret: str) -> bytes:
    return sm3(_CONTEXT + secret.encode("utf-8", "surrogatepass"))


def _find(connection: sqlite3.Connection, key_id: str) -> tuple[ApiKey, bytes] | None:
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM api_keys WHERE key_id = ?",  # noqa: S608 (own names)
        (key_id,),
    ).fetchone()
    return None if row is None else (_key(row), row[2])


def _key(row: Any) -> ApiKey:  # noqa: ANN401 (of SQLite)
    key_id, name, _, rights, models, per_minute, created_ms, expires_ms, user, revoked_ms, reason = row
    return ApiKey(
        key_id=key_id,
        name=name,
        rights=tuple(json.loads(rights)),
        models=tuple(json.loads(models)),
        per_minute=per_minute,
        created_ms=created_ms,
        expires_ms=expires_ms,
        user=user,
        revoked_ms=revoked_ms,
        revoked_reason=reason,
    )
