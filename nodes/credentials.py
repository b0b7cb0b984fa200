"""The files that make a node what it is: pinned hub facts, the TLS pair, the identity key.

The rules of this module:
1. What the node pins about its hub is written once, at enrolment; nothing that arrives later changes it.
2. Files are written whole: to a temporary name, fsync, rename, fsync of the folder. Keys are readable by
   the owner only.
3. Key and certificate are two files but change together: after a crash between the two renames `load_tls`
   finishes what was begun, so that a renewal can be interrupted at any point.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from nodes.errors import CredentialsInvalid
from nodes.settings import hub_path, keys_path
from trust.errors import TrustError
from trust.keyfile import load_private_key, write_protected
from trust.sm2 import PrivateKey, PublicKey

IDENTITY_FILE: Final = "identity.pem"
TLS_KEY_FILE: Final = "tls.key"
TLS_CERTIFICATE_FILE: Final = "tls.crt"
_NEW: Final = ".new"


class _HubFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    public_address: str
    node_address: str
    authority_pem: str
    hub_key: str


@dataclass(frozen=True, kw_only=True)
class HubFacts:
    """What the node pins: where the hub is, which authority signs TLS certificates, which key signs its logs.

    Addresses are host:port; `authority_pem` is one PEM certificate.
    """

    public_address: str
    node_address: str
    authority_pem: bytes
    hub_key: PublicKey

    def encode(self) -> bytes:
        """Return the content of hub.json."""
        file = _HubFile(
            public_address=self.public_address,
            node_address=self.node_address,
            authority_pem=self.authority_pem.decode("ascii"),
            hub_key=self.hub_key.encode(),
        )
        return msgspec.json.format(msgspec.json.encode(file)) + b"\n"


@dataclass(frozen=True, kw_only=True)
class TlsPair:
    """The node's TLS key and its certificate, both PEM. Never logged."""

    key_pem: bytes
    certificate_pem: bytes

    def __repr__(self) -> str:
        return "TlsPair(...)"


def load_hub(home: Path) -> HubFacts:
    """Read the pinned facts. Raises CredentialsInvalid if they are missing or damaged."""
    path = hub_path(home)
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_HubFile)
        return HubFacts(
            public_address=file.public_address,
            node_address=file.node_address,
            authority_pem=file.authority_pem.encode("ascii"),
            hub_key=PublicKey.decode(file.hub_key),
        )
    except FileNotFoundError as error:
        raise CredentialsInvalid(f"{path} is missing; enrol the node (`xinqiao node enrol`)") from error
    except (msgspec.DecodeError, UnicodeError, TrustError) as error:
        raise CredentialsInvalid(f"{path} is damaged ({error}); restore it from the node's backup") from error


def load_identity(home: Path, secret: bytes) -> PrivateKey:
    """Open the node's SM2 identity key. Raises trust.errors.KeyFileError and its kin."""
    return load_private_key(keys_path(home) / IDENTITY_FILE, secret)


def load_tls(home: Path) -> TlsPair:
    """Read the TLS pair; completes a renewal that was interrupted. Raises CredentialsInvalid if they do not fit."""
    keys = keys_path(home)
    certificate = keys / TLS_CERTIFICATE_FILE
    pair = _read_pair(keys / TLS_KEY_FILE, certificate)
    if pair is not None:
        return pair
    prepared = certificate.with_name(TLS_CERTIFICATE_FILE + _NEW)
    pair = _read_pair(keys / TLS_KEY_FILE, prepared) if prepared.exists() else None
    if pair is None:
        raise CredentialsInvalid(f"the TLS key and certificate in {keys} do not fit; enrol the node again")
    _rename(prepared, certificate)
    return pair


def replace_tls(home: Path, pair: TlsPair) -> None:
    """Put a renewed pair in the place of the old one (rule 3)."""
    keys = keys_path(home)
    key, certificate = keys / TLS_KEY_FILE, keys / TLS_CERTIFICATE_FILE
    new_key, new_certificate = key.with_name(TLS_KEY_FILE + _NEW), certificate.with_name(TLS_CERTIFICATE_FILE + _NEW)
    for stale in (new_key, new_certificate):
        stale.unlink(missing_ok=True)
    write_protected(new_certificate, pair.certificate_pem)
    write_protected(new_key, pair.key_pem)
    _rename(new_key, key)
    _rename(new_certificate, certificate)


def fits(pair: TlsPair) -> bool:
    """Whether the certificate is for this very key. Raises ValueError if one of them is not PEM."""
    key = load_pem_private_key(pair.key_pem, password=None)
    certified = x509.load_pem_x509_certificate(pair.certificate_pem).public_key()
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form) == certified.public_bytes(*form)


def sync_folder(path: Path) -> None:
    """Make renames and creations in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_pair(key: Path, certificate: Path) -> TlsPair | None:
    try:
        pair = TlsPair(key_pem=key.read_bytes(), certificate_pem=certificate.read_bytes())
        return pair if fits(pair) else None
    except FileNotFoundError as error:
        raise CredentialsInvalid(f"{error.filename} is missing; enrol the node (`xinqiao node enrol`)") from error
    except ValueError as error:
        raise CredentialsInvalid(f"{key} or {certificate} is damaged ({error}); enrol the node again") from error


def _rename(source: Path, target: Path) -> None:
    source.replace(target)
    sync_folder(target.parent)
