"""Enrolment: from an operator's invitation to a node with an identity, once.

The rules of this module, in the order in which they are checked:
1. A home that has an identity is never enrolled again; nothing is overwritten.
2. The token names the hub's authority and log key. Whoever answers must show a certificate of that
   authority, and what the reply pins must be what the token pinned: a token that was shown over a trusted
   way is the root of all trust.
3. Both keys are made here and never leave; the hub gets a request for a certificate and a signed statement
   of the identity key.
4. The certificate in the reply must be of that authority, for this node and member, and for the key that
   was made.
5. Everything is prepared in a folder beside the home's files, and moved into place only when it is complete.
"""

from __future__ import annotations

import base64
import binascii
import logging
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import grpc
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from xinqiao.v1 import public_pb2, public_pb2_grpc

from consent.directory import NODE_ENROLLED_TYPE, NodeEnrolled
from consent.documents import encode
from nodes.credentials import (
    IDENTITY_FILE,
    TLS_CERTIFICATE_FILE,
    TLS_KEY_FILE,
    HubFacts,
    TlsPair,
    sync_folder,
)
from nodes.errors import AlreadyEnrolled, EnrolmentFailed, NodeError, TokenMalformed, from_rpc
from nodes.renewal import verify_certificate
from nodes.settings import hub_path, keys_path, settings_path
from trust.certificates import make_csr
from trust.document import SignedDocument, sign_document
from trust.errors import TrustError
from trust.keyfile import save_private_key, write_protected
from trust.sm2 import PrivateKey, PublicKey

CALL_TIMEOUT_S: Final = 20.0
_MAX_TOKEN: Final = 16_384

_log = logging.getLogger(__name__)


class _TokenFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    v: Literal[1]
    public_address: str
    node_address: str
    authority: str
    hub_key: str
    secret: str
    member_id: str
    node_id: str
    expires_ms: int


@dataclass(frozen=True, kw_only=True)
class Token:
    """An invitation as the hub's operator handed it over. `secret` is for one use; never logged."""

    hub: HubFacts
    secret: str
    member_id: str
    node_id: str
    expires_ms: int

    def __repr__(self) -> str:
        return f"Token(member_id={self.member_id!r}, node_id={self.node_id!r})"


@dataclass(frozen=True, kw_only=True)
class Enrolled:
    """What enrolment did. `directory_index` is the node's entry in the directory log."""

    member_id: str
    node_id: str
    key_id: str
    directory_index: int
    certificate_ends: datetime


def decode_token(text: str) -> Token:
    """Read a token (base64url of JSON). Raises TokenMalformed; says nothing about whether the hub accepts it."""
    text = "".join(text.split()).rstrip("=")
    if not 0 < len(text) <= _MAX_TOKEN:
        raise TokenMalformed(f"a token has up to {_MAX_TOKEN} characters, this has {len(text)}; copy it again, whole")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        fields = msgspec.json.decode(raw, type=_TokenFields)
        authority = x509.load_der_x509_certificate(base64.b64decode(fields.authority, validate=True))
        hub = HubFacts(
            public_address=fields.public_address,
            node_address=fields.node_address,
            authority_pem=authority.public_bytes(Encoding.PEM),
            hub_key=PublicKey.decode(fields.hub_key),
        )
    except (binascii.Error, msgspec.MsgspecError, ValueError, TrustError) as error:
        raise TokenMalformed("the token cannot be read; copy it again, whole, or ask for a new one") from error
    return Token(
        hub=hub,
        secret=fields.secret,
        member_id=fields.member_id,
        node_id=fields.node_id,
        expires_ms=fields.expires_ms,
    )


def enrol(home: Path, token_text: str, secret: bytes, clock: Callable[[], int]) -> Enrolled:
    """Make a node of `home`: keys, certificate, pinned hub, settings. Blocks for one call to the hub.

    `secret` encrypts the identity key (trust.keyfile.secret_from_passphrase or secret_from_file); `clock`
    returns milliseconds since the epoch. Raises AlreadyEnrolled, TokenMalformed, EnrolmentFailed, or
    NodeError with the hub's code (TOKEN_INVALID, CLOCK_SKEW, …). Unless it returns, the home is as it was.
    """
    _refuse_if_enrolled(home)
    token = decode_token(token_text)
    now_ms = clock()
    if token.expires_ms <= now_ms:
        raise TokenMalformed("the token has expired; ask the hub's operator for a new one, or compare the clocks")
    identity = PrivateKey.generate()
    tls_key, csr_pem = make_csr(token.node_id)
    request = public_pb2.EnrolRequest(
        token_secret=token.secret,
        csr_pem=csr_pem,
        node_enrolled=_statement(token, identity, now_ms).encode(),
        time_ms=now_ms,
    )
    reply = _call(token.hub, request)
    pair = TlsPair(key_pem=tls_key, certificate_pem=reply.certificate_pem)
    ends = _verify_reply(token, reply, pair, now_ms)
    _write(home, token, identity, secret, pair)
    _log.info("node_enrolled", extra={"node": token.node_id, "member": token.member_id})
    return Enrolled(
        member_id=token.member_id,
        node_id=token.node_id,
        key_id=identity.public.key_id,
        directory_index=reply.directory_index,
        certificate_ends=ends,
    )


def _refuse_if_enrolled(home: Path) -> None:
    for path in (hub_path(home), keys_path(home)):
        if path.exists():
            raise AlreadyEnrolled(f"{path} exists: this home has an identity; choose another, or move it away first")


def _statement(token: Token, identity: PrivateKey, now_ms: int) -> SignedDocument:
    statement = NodeEnrolled(
        node_id=token.node_id,
        member_id=token.member_id,
        identity_key=identity.public.encode(),
        time_ms=now_ms,
    )
    return sign_document(NODE_ENROLLED_TYPE, encode(statement), identity)


def _call(hub: HubFacts, request: public_pb2.EnrolRequest) -> public_pb2.EnrolReply:
    credentials = grpc.ssl_channel_credentials(root_certificates=hub.authority_pem)
    with grpc.secure_channel(hub.public_address, credentials) as channel:
        try:
            return public_pb2_grpc.EnrolmentStub(channel).Enrol(request, timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            raise from_rpc(error) from error


def _verify_reply(token: Token, reply: public_pb2.EnrolReply, pair: TlsPair, now_ms: int) -> datetime:
    if reply.member_id != token.member_id:
        raise EnrolmentFailed(
            f"the hub enrolled the node for {reply.member_id}, the token is for {token.member_id}; report it"
        )
    if reply.hub.hub_key != token.hub.hub_key.encode():
        raise EnrolmentFailed("the hub answered with another log key than the token pins; do not use it, report it")
    try:
        authority = x509.load_pem_x509_certificate(reply.hub.authority_pem).public_bytes(Encoding.PEM)
        if authority != token.hub.authority_pem:
            raise EnrolmentFailed("the hub answered with another authority than the token pins; report it")
        now = datetime.fromtimestamp(now_ms / 1000, tz=UTC)
        return verify_certificate(pair, token.hub.authority_pem, token.member_id, token.node_id, now)
    except (ValueError, TrustError, NodeError) as error:
        if isinstance(error, EnrolmentFailed):
            raise
        raise EnrolmentFailed(f"the hub's reply cannot be used: {error}") from error


def _write(home: Path, token: Token, identity: PrivateKey, secret: bytes, pair: TlsPair) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".enrol-", dir=home))
    try:
        keys = keys_path(staging)
        keys.mkdir(mode=0o700)
        save_private_key(keys / IDENTITY_FILE, identity, secret)
        write_protected(keys / TLS_KEY_FILE, pair.key_pem)
        write_protected(keys / TLS_CERTIFICATE_FILE, pair.certificate_pem)
        write_protected(hub_path(staging), token.hub.encode())
        write_protected(settings_path(staging), _settings_text(token))
        keys.rename(keys_path(home))
        hub_path(staging).rename(hub_path(home))
        if not settings_path(home).exists():
            settings_path(staging).rename(settings_path(home))
        sync_folder(home)
    finally:
        shutil.rmtree(staging)


def _settings_text(token: Token) -> bytes:
    return (
        "# Written at enrolment. Everything else has a default; docs/operations.md lists the settings.\n"
        f'node_id = "{token.node_id}"\n'
        f'member_id = "{token.member_id}"\n'
    ).encode()
