"""Secrets at rest: SM4-GCM under a data key for each blob, wrapped by a key-encryption key of the operator.

Rules:
1. Every blob has a data key and a nonce of its own; the key-encryption key (KEK) only ever wraps data keys.
2. The id of its KEK stands beside each ciphertext: a vault seals under its first KEK and opens under any that
   it has, so that KEKs are rotated by re-wrapping the data key (`rewrap`), without touching the data.
3. A blob opens only in the context that it was sealed for (which table, which row): it cannot be moved
   elsewhere.
4. KEKs come from a file, from an environment variable, or from whatever implements `KeyEncryptionKey` (a
   PKCS#11 token or a key management service, which then never lets go of the key).

Blob: `XQV1` | 1 B length, id of the KEK | 2 B length, wrapped data key | 12 B nonce | SM4-GCM ciphertext and
tag.
"""

from __future__ import annotations

import re
import secrets
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from trust.errors import DecryptionFailed, KeyFileError
from trust.keyfile import secret_from_file
from trust.suite import KEY_SIZE, NONCE_SIZE, TAG_SIZE, hkdf_sm3, open_sealed, seal

MIN_SECRET: Final = 16

_MAGIC: Final = b"XQV1"
_KEY_INFO: Final = b"xinqiao/vault/kek/v1"
_ID_INFO: Final = b"xinqiao/vault/kek-id/v1"
_KEY_ID: Final = re.compile(r"[A-Za-z0-9:._/-]{1,128}", re.ASCII)


class KeyEncryptionKey(Protocol):
    """What the operator's key can do.

    Implement it over PKCS#11 or a key management service to keep the key there.
    """

    @property
    def key_id(self) -> str:
        """Name of the key, stored beside what it wrapped: 1 to 128 of A-Z a-z 0-9 : . _ / and -."""

    def wrap(self, data_key: bytes) -> bytes:
        """Encrypt and authenticate a data key of 16 bytes; at most 65,535 bytes come back."""

    def unwrap(self, blob: bytes) -> bytes:
        """Return the data key that `wrap` encrypted. Raises DecryptionFailed."""


class _LocalKek:
    """A key-encryption key in this process, derived from a secret; its id is derived from the same secret."""

    def __init__(self, secret: bytes, random: Callable[[int], bytes]) -> None:
        self._key = hkdf_sm3(secret, b"", _KEY_INFO, KEY_SIZE)
        self._key_id = "kek:" + hkdf_sm3(secret, b"", _ID_INFO, 8).hex()
        self._random = random

    @property
    def key_id(self) -> str:
        """See KeyEncryptionKey."""
        return self._key_id

    def wrap(self, data_key: bytes) -> bytes:
        """See KeyEncryptionKey. Source: SM4-GCM with a random nonce, the key id as associated data."""
        nonce = self._random(NONCE_SIZE)
        return nonce + seal(self._key, nonce, data_key, self._key_id.encode())

    def unwrap(self, blob: bytes) -> bytes:
        """See KeyEncryptionKey. Raises DecryptionFailed."""
        return open_sealed(self._key, blob[:NONCE_SIZE], blob[NONCE_SIZE:], self._key_id.encode())


class FileKek(_LocalKek):
    """The key-encryption key in a file of at least 16 random bytes that only its owner may read.

    Raises KeyFileError.
    """

    def __init__(self, path: Path, *, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        super().__init__(secret_from_file(path), random)


class EnvironmentKek(_LocalKek):
    """The key-encryption key in a variable of an environment: hex of at least 16 bytes.

    The caller passes the environment. Raises KeyFileError.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        variable: str,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        try:
            secret = bytes.fromhex(environment.get(variable, ""))
        except ValueError:
            secret = b""
        if len(secret) < MIN_SECRET:
            raise KeyFileError(f"the variable {variable} is not set to at least {2 * MIN_SECRET} hex digits; set it")
        super().__init__(secret, random)


@dataclass(frozen=True, slots=True)
class _Blob:
    key_id: str
    wrapped: bytes
    nonce: bytes
    sealed: bytes

    def encode(self) -> bytes:
        name = self.key_id.encode()
        parts = (_MAGIC, bytes((len(name),)), name, struct.pack(">H", len(self.wrapped)), self.wrapped)
        return b"".join((*parts, self.nonce, self.sealed))

    @classmethod
    def decode(cls, encoded: bytes) -> _Blob:
        view, at = memoryview(encoded), len(_MAGIC)
        if bytes(view[:at]) != _MAGIC or len(view) <= at:
            raise _malformed()
        name_end = at + 1 + view[at]
        wrapped_at = name_end + 2
        if len(view) < wrapped_at:
            raise _malformed()
        nonce_at = wrapped_at + int.from_bytes(view[name_end:wrapped_at], "big")
        sealed_at = nonce_at + NONCE_SIZE
        if len(view) < sealed_at + TAG_SIZE:
            raise _malformed()
        name = bytes(view[at + 1 : name_end]).decode("ascii", "replace")
        if not _KEY_ID.fullmatch(name):
            raise _malformed()
        wrapped, nonce = bytes(view[wrapped_at:nonce_at]), bytes(view[nonce_at:sealed_at])
        return cls(name, wrapped, nonce, bytes(view[sealed_at:]))


def _malformed() -> DecryptionFailed:
    return DecryptionFailed("bytes at rest are not a vault blob or are cut short; restore them from a backup")


class Vault:
    """Seals under `kek`, opens under `kek` and any of `older` (kept until everything is re-wrapped)."""

    def __init__(
        self,
        kek: KeyEncryptionKey,
        *older: KeyEncryptionKey,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        for each in (kek, *older):
            if not _KEY_ID.fullmatch(each.key_id):
                raise KeyFileError(f"the key id {each.key_id[:64]!r} cannot be stored; use letters, digits and :._/-")
        self._kek = kek
        self._keks = {each.key_id: each for each in (*older, kek)}
        self._random = random

    def seal_at_rest(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt bytes for storage in the place that `context` names; the blob is about 100 bytes longer."""
        data_key, nonce = self._random(KEY_SIZE), self._random(NONCE_SIZE)
        sealed = seal(data_key, nonce, plaintext, _MAGIC + context)
        return _Blob(self._kek.key_id, self._kek.wrap(data_key), nonce, sealed).encode()

    def open_at_rest(self, blob: bytes, context: bytes) -> bytes:
        """Decrypt a blob from the place that it was sealed for.

        Raises DecryptionFailed if it was altered, belongs elsewhere, or its KEK is not here (the message
        names the KEK).
        """
        parsed = _Blob.decode(blob)
        kek = self._keks.get(parsed.key_id)
        if kek is None:
            raise DecryptionFailed(
                f"data at rest is sealed under the key {parsed.key_id}, which is not configured; add it as an older key"
            )
        data_key = kek.unwrap(parsed.wrapped)
        if len(data_key) != KEY_SIZE:
            raise DecryptionFailed(
                f"the key {parsed.key_id} unwrapped something that is no data key; check its service"
            )
        return open_sealed(data_key, parsed.nonce, parsed.sealed, _MAGIC + context)


def key_id_of(blob: bytes) -> str:
    """Return the id of the KEK that a blob needs, for finding what remains to be re-wrapped.

    Raises DecryptionFailed.
    """
    return _Blob.decode(blob).key_id


def rewrap(blob: bytes, old: KeyEncryptionKey, new: KeyEncryptionKey) -> bytes:
    """Move a blob from one KEK to another: the data key is wrapped anew, the data stays as it is.

    A blob that is already under the new one comes back unchanged, so that an interrupted rotation can be run
    again. Raises DecryptionFailed if it is under neither.
    """
    parsed = _Blob.decode(blob)
    if parsed.key_id == new.key_id:
        return blob
    if parsed.key_id != old.key_id:
        raise DecryptionFailed(
            f"data at rest is sealed under {parsed.key_id}, not under {old.key_id}; name its own key"
        )
    return _Blob(new.key_id, new.wrap(old.unwrap(parsed.wrapped)), parsed.nonce, parsed.sealed).encode()
