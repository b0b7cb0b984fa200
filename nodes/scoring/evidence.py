"""The owner's signed word on the weights that it sends, as both ends of an exchange of scoring make and check it."""

from __future__ import annotations

from collections.abc import Sequence

from consent.directory import Directory
from consent.errors import ConsentError
from consent.model_state import Model
from consent.sent_weights import SentWeights, open_sent, sent_digest, sign_sent
from nodes.errors import NodeError
from nodes.exchanges.terms import ExchangeTerms
from trust.document import SignedDocument
from trust.errors import TrustError
from trust.sm2 import PrivateKey


def sent_word(
    model: Model, terms: ExchangeTerms, session: str, blobs: Sequence[bytes], key: PrivateKey, now_ms: int
) -> bytes:
    """`blobs`: the preparation, the public key and the encrypted weights, as they are sent to the exchange's provider."""
    return sign_sent(_due(model, terms, session, blobs, now_ms), key).encode()


def checked_word(
    model: Model, terms: ExchangeTerms, session: str, blobs: Sequence[bytes], directory: Directory
) -> SentWeights:
    """The word of the exchange's requester on exactly these weights; `blobs`: the word last. Raises NodeError."""
    try:
        sent = open_sent(SignedDocument.decode(blobs[-1]), directory)
    except (TrustError, ConsentError) as error:
        raise NodeError(f"The owner's word on the weights cannot be relied on: {error}", code=error.code) from error
    if sent != _due(model, terms, session, blobs, sent.time_ms):
        raise NodeError(
            "The owner's word is about other weights, another model or another session than were sent.",
            code="MODEL_INVALID",
        )
    return sent


def _due(model: Model, terms: ExchangeTerms, session: str, blobs: Sequence[bytes], time_ms: int) -> SentWeights:
    request = terms.request
    return SentWeights(
        session=session,
        exchange_id=request.exchange_id,
        model_id=model.version.model_id,
        model_sm3=model.sm3,
        owner=request.requester,
        node_id=request.requester_node,
        provider=request.provider,
        sent_sm3=sent_digest(blobs[1], blobs[2]),
        time_ms=time_ms,
    )
