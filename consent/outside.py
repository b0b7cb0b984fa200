"""Signing elsewhere: documents that wait for a signature, as one file, and the same signed, as another.

For an enterprise whose key is in a home of its own or in a device, and not where its pages are served.

    {"format": "xinqiao-to-sign-1", "documents": [{"payload_type", "payload", "to_sign"}, …]}    payload and to_sign in base64
    {"format": "xinqiao-signed-1", "documents": ["<SignedDocument>", …]}                         each in base64

`to_sign` is the very bytes that the SM2 signature covers (`trust.document.signing_bytes`), for a device that signs bytes; whoever reads
the payload before signing must make them anew from it, as `read_to_sign` does. `OUTSIDE_TYPES` says what an enterprise is ever asked to
sign this way.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from typing import Annotated, Final, Literal

import msgspec

from consent.documents import (
    CONSENT_REFUSAL_TYPE,
    CONSENT_REVOCATION_TYPE,
    CONSENT_TYPE,
    Document,
    encode,
    parse,
)
from consent.errors import DocumentMalformed
from consent.usage import ACCESS_TYPE
from trust.document import SignedDocument, sign_document, signing_bytes
from trust.sm2 import PrivateKey

MOST: Final = 50
OUTSIDE_TYPES: Final = frozenset({CONSENT_TYPE, CONSENT_REFUSAL_TYPE, CONSENT_REVOCATION_TYPE, ACCESS_TYPE})


class Waiting(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document without its signature."""

    payload_type: str
    payload: bytes
    to_sign: bytes


class _ToSign(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["xinqiao-to-sign-1"] = "xinqiao-to-sign-1"
    documents: Annotated[tuple[Waiting, ...], msgspec.Meta(min_length=1, max_length=MOST)]


class _Signed(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["xinqiao-signed-1"] = "xinqiao-signed-1"
    documents: Annotated[tuple[bytes, ...], msgspec.Meta(min_length=1, max_length=MOST)]


def write_to_sign(documents: Iterable[tuple[str, bytes]]) -> bytes:
    """The file of documents (payload type, payload) that wait for a signature."""
    waiting = tuple(
        Waiting(payload_type=kind, payload=payload, to_sign=signing_bytes(kind, payload)) for kind, payload in documents
    )
    return msgspec.json.format(encode(_ToSign(documents=waiting)), indent=1) + b"\n"


def read_to_sign(encoded: bytes) -> Sequence[Waiting]:
    """The documents of such a file. Raises DocumentMalformed, also where `to_sign` is not of the payload, or a type is not of ours."""
    documents = parse(encoded, _ToSign).documents
    for each in documents:
        if each.payload_type not in OUTSIDE_TYPES:
            raise DocumentMalformed(
                f"A document of type {each.payload_type[:100]} is not signed this way; sign nothing of it."
            )
        if not hmac.compare_digest(each.to_sign, signing_bytes(each.payload_type, each.payload)):
            raise DocumentMalformed("The bytes to sign are not those of the document beside them; sign nothing of it.")
    return documents


def sign_all(documents: Iterable[Waiting], key: PrivateKey) -> bytes:
    """The file of the same documents, signed."""
    return write_signed(sign_document(each.payload_type, each.payload, key) for each in documents)


def write_signed(documents: Iterable[SignedDocument]) -> bytes:
    """The file of signed documents."""
    return encode(_Signed(documents=tuple(each.encode() for each in documents))) + b"\n"


def read_signed(encoded: bytes) -> Sequence[SignedDocument]:
    """The signed documents of a file; nothing is verified. Raises DocumentMalformed of consent or of trust."""
    return [SignedDocument.decode(each) for each in parse(encoded, _Signed).documents]
