"""Signed documents: the exact bytes that were signed travel with type and signatures (the idea of DSSE).

Rules:
1. Nothing is re-serialised before it is verified: a signature covers context, suite, payload type and payload
   bytes as they travel, put together in one place (`signing_bytes`) so that no two different documents give
   the same bytes.
2. A document has one encoding; unknown fields, other spacing, another base64 or a second signature by the
   same key are refused, so that the digest of a document names it.
3. A verified document is one signed by the very key that the reader asked for: key ids only help to find the
   signature.
4. Nothing in the payload may be believed before `verify_document` has returned.

Source: DSSE 1.0 (secure-systems-lab/dsse, protocol.md), with context string and suite added to what is
signed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from trust.errors import DocumentMalformed, SignatureInvalid
from trust.sm2 import PrivateKey, PublicKey, sign, verify_signature
from trust.suite import SUITE

MAX_DOCUMENT_SIZE: Final = 1 << 20
MAX_SIGNATURES: Final = 64
CONTEXT: Final = "xinqiao/signed-document/v1"

_PAYLOAD_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9.+/-]{0,126}[a-z0-9]", re.ASCII)
_KEY_ID: Final = re.compile(r"sm2:[0-9a-f]{16}", re.ASCII)
_SUITE: Final = re.compile(r"[A-Z0-9][A-Z0-9-]{0,63}", re.ASCII)
_MAX_SIGNATURE: Final = 512


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature: the id of its key, the suite that it belongs to, and its bytes."""

    key_id: str
    suite: str
    value: bytes


@dataclass(frozen=True, slots=True)
class SignedDocument:
    """A payload with its type and 1 to 64 signatures, in the order in which they were added.

    Having one proves nothing: see `verify_document`.

    Raises DocumentMalformed when made from values that no encoding permits.
    """

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def __post_init__(self) -> None:
        if not _PAYLOAD_TYPE.fullmatch(self.payload_type):
            raise DocumentMalformed(f"the payload type {self.payload_type[:64]!r} is not a lower-case media type")
        if not 1 <= len(self.signatures) <= MAX_SIGNATURES:
            raise DocumentMalformed(
                f"a signed document carries 1 to {MAX_SIGNATURES} signatures, not {len(self.signatures)}"
            )
        for signature in self.signatures:
            _check_signature(signature)
        if len({(signature.key_id, signature.suite) for signature in self.signatures}) != len(self.signatures):
            raise DocumentMalformed(
                "a signed document carries two signatures by one key; ask its sender for the original"
            )

    def encode(self) -> bytes:
        """Return the one encoding, a DSSE-shaped JSON envelope.

        Raises DocumentMalformed if it would be larger than 1 MiB (send bulk data through a channel instead).
        """
        signatures = [_WireSignature(one.key_id, one.suite, one.value) for one in self.signatures]
        encoded = _encode(_WireDocument(self.payload_type, self.payload, signatures))
        if len(encoded) > MAX_DOCUMENT_SIZE:
            raise DocumentMalformed(
                f"a document of {len(encoded)} bytes is over the limit of {MAX_DOCUMENT_SIZE}; split it"
            )
        return encoded

    @classmethod
    def decode(cls, encoded: bytes) -> SignedDocument:
        """Parse the one encoding. Checks no signature. Raises DocumentMalformed."""
        if len(encoded) > MAX_DOCUMENT_SIZE:
            raise DocumentMalformed(
                f"a document of {len(encoded)} bytes is over the limit of {MAX_DOCUMENT_SIZE}; refuse it"
            )
        try:
            wire = _decode(encoded)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as problem:
            raise DocumentMalformed(
                f"bytes are not a signed document ({problem}); ask their sender for the original"
            ) from None
        if _encode(wire) != encoded:
            raise DocumentMalformed(
                "a signed document is not in its one encoding; ask its sender for the original bytes"
            )
        return cls(
            wire.payloadType,
            wire.payload,
            tuple(Signature(one.keyid, one.suite, one.sig) for one in wire.signatures),
        )


class _WireSignature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keyid: str
    suite: str
    sig: bytes


class _WireDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payloadType: str
    payload: bytes
    signatures: list[_WireSignature]


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_WireDocument).decode


def _check_signature(signature: Signature) -> None:
    if not _KEY_ID.fullmatch(signature.key_id):
        raise DocumentMalformed(f"the key id {signature.key_id[:64]!r} is not of the form sm2:<16 hex digits>")
    if not _SUITE.fullmatch(signature.suite):
        raise DocumentMalformed(f"the suite {signature.suite[:64]!r} is not the name of one")
    if not 1 <= len(signature.value) <= _MAX_SIGNATURE:
        raise DocumentMalformed(f"a signature of {len(signature.value)} bytes cannot be one")


def signing_bytes(payload_type: str, payload: bytes, suite: str = SUITE) -> bytes:
    """Return the bytes that a signature covers: `DSSEv1`, then context, suite, type, payload with lengths.

    The lengths (decimal, in bytes) make the encoding injective; the context keeps a signature made here from
    meaning anything in another system, or in DSSE proper. Pinned byte by byte in the tests.
    """
    parts = [b"DSSEv1"]
    for part in (CONTEXT.encode(), suite.encode(), payload_type.encode(), payload):
        parts += (b"%d" % len(part), part)
    return b" ".join(parts)


def sign_document(payload_type: str, payload: bytes, key: PrivateKey) -> SignedDocument:
    """Sign the exact bytes of a payload.

    Raises DocumentMalformed for a payload type that is not a lower-case media type, SuiteUnavailable.
    """
    return SignedDocument(payload_type, payload, (_signature(payload_type, payload, key),))


def countersign(document: SignedDocument, key: PrivateKey) -> SignedDocument:
    """Add a signature over the same bytes; a document that this key has already signed comes back unchanged.

    The earlier signatures are not verified here: do that first. Raises SignatureInvalid if the signature that
    is there in this key's name is not this key's, DocumentMalformed above 64 signatures.
    """
    if any(one.key_id == key.public.key_id for one in document.signatures):
        verify_document(document, document.payload_type, key.public)
        return document
    added = _signature(document.payload_type, document.payload, key)
    return SignedDocument(document.payload_type, document.payload, (*document.signatures, added))


def verify_document(document: SignedDocument, payload_type: str, public: PublicKey) -> None:
    """Return only if the document is of this type and this very key signed it under our suite.

    Raises SignatureInvalid. Other signatures on the document are not looked at.
    """
    if document.payload_type != payload_type:
        raise SignatureInvalid(
            f"a document of type {document.payload_type} was presented where {payload_type} is expected; refuse it"
        )
    key_id = public.key_id
    for signature in document.signatures:
        if signature.key_id == key_id and signature.suite == SUITE:
            verify_signature(public, signing_bytes(payload_type, document.payload), signature.value)
            return
    signers = ", ".join(f"{one.key_id} ({one.suite})" for one in document.signatures[:4])
    raise SignatureInvalid(
        f"a document of type {payload_type} carries no {SUITE} signature by {key_id}, only by {signers}; "
        "refuse it, or check which key its signer registered"
    )


def _signature(payload_type: str, payload: bytes, key: PrivateKey) -> Signature:
    return Signature(key.public.key_id, SUITE, sign(key, signing_bytes(payload_type, payload)))
