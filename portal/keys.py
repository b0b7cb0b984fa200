"""The portal's secret and what is derived from it: field encryption, session tokens, form tokens, digests of sources.

Personal data is sealed with SM4-GCM in the context of its table, column and row (`trust.vault`), so that a value cannot be moved
to another row. The portal's secret opens no enterprise's or operator's key: those are under their own passwords.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from trust.keyfile import secret_from_file
from trust.suite import hkdf_sm3, hmac_sm3
from trust.vault import FileKek, Vault


@dataclass(frozen=True, kw_only=True)
class PortalKeys:
    """Keys of 32 bytes, each for one thing, and the vault."""

    vault: Vault = field(repr=False)
    tokens: bytes = field(repr=False)
    forms: bytes = field(repr=False)
    digests: bytes = field(repr=False)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Derive all from the secret in a file. Raises KeyFileError."""
        secret = secret_from_file(file)

        def derived(name: str) -> bytes:
            return hkdf_sm3(secret, b"", f"xinqiao/portal/{name}/v1".encode(), 32)

        return cls(
            vault=Vault(FileKek(file)), tokens=derived("tokens"), forms=derived("forms"), digests=derived("digests")
        )

    def seal(self, table: str, column: str, row: str, text: str) -> bytes:
        """Encrypt one field."""
        return self.vault.seal_at_rest(text.encode(), f"{table}/{column}/{row}".encode())

    def open(self, table: str, column: str, row: str, sealed: bytes) -> str:
        """Decrypt one field. Raises DecryptionFailed if it was altered or moved."""
        return self.vault.open_at_rest(sealed, f"{table}/{column}/{row}".encode()).decode()

    def form_token(self, visitor: str) -> str:
        """What a form of this visitor carries, so that no other site can send it."""
        return hmac_sm3(self.forms, visitor.encode()).hex()

    def is_form_token(self, visitor: str, token: str) -> bool:
        """Whether the token is this visitor's."""
        return hmac.compare_digest(self.form_token(visitor).encode(), token.encode())

    def digest(self, text: str) -> str:
        """A name for something that is not kept itself, as a network address."""
        return hmac_sm3(self.digests, text.encode()).hex()[:32]
