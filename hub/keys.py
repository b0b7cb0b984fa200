"""The hub's own keys in `home/keys`: SM2 log key, TLS authority, server certificate; and operators' keys.

Rules:
1. Keys are made once, by `create_keys`; nothing here ever overwrites a key.
2. The log key is encrypted under the hub's secret; the TLS authority's key is a file of mode 0600 in the same folder
   (mode 0700).
3. The server's certificate is made anew at every start where it is missing, due for renewal, or names other hosts.
4. An operator's key belongs to the operator: it is made by the command, and the hub only ever sees its public part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from trust.certificates import create_authority, issue_server
from trust.keyfile import load_private_key, read_protected, save_private_key, write_protected
from trust.sm2 import PrivateKey, PublicKey

LOG_KEY: Final = "log.pem"
AUTHORITY_KEY: Final = "authority.key"
AUTHORITY_CERT: Final = "authority.crt"
SERVER_LIFETIME: Final = timedelta(days=90)


@dataclass(frozen=True, kw_only=True)
class HubKeys:
    """The hub's keys in memory. PEM where bytes."""

    log_key: PrivateKey = field(repr=False)
    authority_key: bytes = field(repr=False)
    authority_cert: bytes

    @property
    def public(self) -> PublicKey:
        """The key that nodes and enterprises pin."""
        return self.log_key.public


def create_keys(folder: Path, secret: bytes, *, now: datetime) -> HubKeys:
    """Make the hub's keys. Raises KeyFileError if one is there already."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log_key = PrivateKey.generate()
    save_private_key(folder / LOG_KEY, log_key, secret)
    key, certificate = create_authority("Xinqiao hub authority", lambda: now)
    write_protected(folder / AUTHORITY_KEY, key)
    write_protected(folder / AUTHORITY_CERT, certificate)
    return HubKeys(log_key=log_key, authority_key=key, authority_cert=certificate)


def load_keys(folder: Path, secret: bytes) -> HubKeys:
    """Read the hub's keys. Raises KeyFileError, WrongPassphrase."""
    return HubKeys(
        log_key=load_private_key(folder / LOG_KEY, secret),
        authority_key=read_protected(folder / AUTHORITY_KEY),
        authority_cert=read_protected(folder / AUTHORITY_CERT),
    )


def make_server_certificate(keys: HubKeys, addresses: Sequence[str], *, now: datetime) -> tuple[bytes, bytes]:
    """A fresh TLS key and certificate (PEM) for the hosts of these host:port addresses, and for the loopback names."""
    hosts = {address.rpartition(":")[0].strip("[]") for address in addresses} | {"localhost", "127.0.0.1"}
    return issue_server(keys.authority_key, keys.authority_cert, sorted(hosts), now, SERVER_LIFETIME)


def create_operator_key(path: Path, secret: bytes) -> PrivateKey:
    """Make an operator's key file. Raises KeyFileError if there is one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = PrivateKey.generate()
    save_private_key(path, key, secret)
    return key


def authority_der(authority_cert: bytes) -> bytes:
    """The authority's certificate as DER, for an invitation token."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_pem_x509_certificate(authority_cert).public_bytes(Encoding.DER)


def utc(time_ms: int) -> datetime:
    """A time in milliseconds since the epoch as an aware datetime."""
    return datetime.fromtimestamp(time_ms / 1000, UTC)
