"""What the owner of a linear model sends a provider to compute with, as its node signs it when it opens a session of scoring.

| document    | payload type (application/vnd.xinqiao.…+json) | signed by        |
|-------------|-----------------------------------------------|------------------|
| SentWeights | sent-weights                                  | the owner's node |

The weights travel encrypted: a provider cannot see whether they are the registered ones. It takes them with this document only, and
keeps it. Key and ciphertexts follow from the session's seed, which the owner keeps: an auditor, to whom the owner opens model and seed,
makes them again and compares the digest. Who sent others, or does not show a seed, has its own signature against it.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from consent.directory import Directory
from consent.documents import Document, MemberId, ShortText, Sm3Hex, TimeMs, Uuid, encode, parse, payload_type
from consent.models import require_type, verify_by_node
from trust.document import SignedDocument, sign_document
from trust.sm2 import PrivateKey
from trust.suite import sm3

SENT_WEIGHTS_TYPE: Final = payload_type("sent-weights")
_DOMAIN: Final = b"xinqiao/sent-weights/v1\0"

SessionId = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class SentWeights(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One provider's part of one session. `sent_sm3`: `sent_digest` of the key and the ciphertexts as they travelled."""

    session: SessionId
    exchange_id: Uuid
    model_id: Uuid
    model_sm3: Sm3Hex
    owner: MemberId
    node_id: ShortText
    provider: MemberId
    sent_sm3: Sm3Hex
    time_ms: TimeMs


def sent_digest(public: bytes, weights: bytes) -> str:
    """Hex SM3 over a session's public key and a provider's encrypted weights."""
    return sm3(_DOMAIN + sm3(public) + sm3(weights)).hex()


def sign_sent(sent: SentWeights, key: PrivateKey) -> SignedDocument:
    """By the owner's node."""
    return sign_document(SENT_WEIGHTS_TYPE, encode(sent), key)


def parse_sent(document: SignedDocument) -> SentWeights:
    """Parse without verifying. Raises DocumentMalformed."""
    require_type(document, SENT_WEIGHTS_TYPE)
    return parse(document.payload, SentWeights)


def open_sent(document: SignedDocument, directory: Directory) -> SentWeights:
    """Verify that the owner's node signed it. Raises DocumentMalformed, DirectoryRule, SignatureInvalid."""
    sent = parse_sent(document)
    verify_by_node(document, directory, sent.owner, sent.node_id, sent.time_ms)
    return sent
