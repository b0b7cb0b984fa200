"""The documents of use: what an exchange is opened for, and the receipts that record every use.

A receipt answers the seven questions of the guideline's 6.6.2 (requirement R20): who used (user), of which institution,
when (time), why (reason), what (content: items and fields), about whom (object: subject), for which purpose; and beside
them the consent, the mode, the number of records, a digest of what was sent and the decision. Refusals are recorded
too. No value of any record stands in a receipt.

Receipts are signed in batches: one SM2 signature over the Merkle root of many receipts, and each receipt carries its
path to that root. A raw transfer is one receipt that commits to a Merkle root over its subjects; a random salt in each
leaf keeps the others' codes from being guessed, so that a subject is shown its own part and nothing else.

What stands on no consent (a set intersection, protocols.md 4b) names its legal basis instead, in words that the subject is shown.

| document            | payload type (application/vnd.xinqiao.…+json) | signed by                   |
|---------------------|-----------------------------------------------|-----------------------------|
| ExchangeRequest     | exchange-request                              | the requester's node        |
| Ticket              | exchange-ticket                               | the hub                     |
| BatchHead           | receipt-batch                                 | the node that used or gave  |
| DeletionAttestation | deletion-attestation                          | the requester's node        |
| AccessRequest       | access-request                                | an enterprise               |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import msgspec

from consent.decision import ItemUse
from consent.documents import (
    Document,
    ExchangeMode,
    ItemId,
    MemberId,
    Purpose,
    ShortText,
    Sm3Hex,
    TimeMs,
    UsccText,
    Uuid,
    encode,
    parse,
    payload_type,
)
from consent.errors import DocumentMalformed
from trust.document import SignedDocument, sign_document, verify_document
from trust.merkle import leaf_hash, verify_inclusion
from trust.sm2 import PrivateKey, PublicKey
from trust.suite import sm3
from trust.tiles import MemoryTileStore, TiledLog

EXCHANGE_REQUEST_TYPE: Final = payload_type("exchange-request")
TICKET_TYPE: Final = payload_type("exchange-ticket")
BATCH_TYPE: Final = payload_type("receipt-batch")
DELETION_TYPE: Final = payload_type("deletion-attestation")
ACCESS_TYPE: Final = payload_type("access-request")

DigestOrNone = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?\Z")]
"""Hex SM3 of what was sent, or nothing where nothing was."""
UsccOrNone = Annotated[str, msgspec.Meta(pattern=r"^([0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10})?\Z")]
UuidOrNone = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?\Z")]
MAX_BATCH: Final = 100_000
"""The most receipts that one signature may cover."""


class ExchangeRequest(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A requester opens an exchange. `provider_node` is empty where the hub may choose one of the provider's."""

    exchange_id: Uuid
    mode: ExchangeMode
    requester: MemberId
    requester_node: ShortText
    provider: MemberId
    provider_node: Annotated[str, msgspec.Meta(max_length=64)] = ""
    product_id: ShortText
    items: Annotated[tuple[ItemUse, ...], msgspec.Meta(min_length=1, max_length=200)]
    purpose: Purpose
    application_no: ShortText | None = None
    reason: ShortText
    user: ShortText
    time_ms: TimeMs
    expires_ms: TimeMs


class Ticket(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The hub's pass for two nodes to meet on one relay."""

    exchange_id: Uuid
    requester_node: ShortText
    provider_node: ShortText
    mode: ExchangeMode
    policy_digest: Sm3Hex
    relay_address: Annotated[str, msgspec.Meta(max_length=300)]
    expires_ms: TimeMs


class BatchCommitment(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a batch receipt commits to: the Merkle root over its subjects, and their number."""

    root: Sm3Hex
    size: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]


class Receipt(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recorded use or refusal. `subject` is empty for a batch. The random `receipt_id` also blinds the leaf's hash."""

    receipt_id: Uuid
    side: Literal["provider", "requester"]
    exchange_id: Uuid
    request_no: Annotated[int, msgspec.Meta(ge=0)]
    user: ShortText
    institution: MemberId
    node_id: ShortText
    time_ms: TimeMs
    reason: ShortText
    items: Annotated[tuple[ItemId, ...], msgspec.Meta(max_length=200)]
    fields: Annotated[tuple[ShortText, ...], msgspec.Meta(max_length=5000)] = ()
    subject: UsccOrNone
    purpose: Purpose
    consent_id: Uuid | None = None
    legal_basis: ShortText | None = None
    mode: ExchangeMode
    record_count: Annotated[int, msgspec.Meta(ge=0)]
    digest: DigestOrNone
    decision: ShortText
    batch: BatchCommitment | None = None


class SubjectUse(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One subject's part of a batch; a leaf of its commitment. `consent_id` is empty where the receipt names a legal basis instead."""

    uscc: UsccText
    consent_id: UuidOrNone
    record_count: Annotated[int, msgspec.Meta(ge=0)]
    salt: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class BatchHead(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a node signs once for many receipts."""

    node_id: ShortText
    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_BATCH)]
    root: Sm3Hex
    time_ms: TimeMs


class SignedReceipt(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receipt's bytes as they are hashed, their place in the batch, and the signed head. A leaf of the log ``usage``."""

    receipt: bytes
    index: Annotated[int, msgspec.Meta(ge=0)]
    path: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=32)]
    head: bytes

    def encode(self) -> bytes:
        """The leaf's bytes."""
        return encode(self)


class DeletionAttestation(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A requester states that it deleted what a transfer brought. A claim, not a proof."""

    exchange_id: Uuid
    institution: MemberId
    node_id: ShortText
    digest: DigestOrNone
    record_count: Annotated[int, msgspec.Meta(ge=0)]
    due_ms: TimeMs
    deleted_ms: TimeMs
    method: ShortText


class AccessRequest(Document, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an enterprise authenticates one call: fresh, for one action and one body, used once."""

    uscc: UsccText
    action: ShortText
    body_sm3: Sm3Hex
    time_ms: TimeMs
    nonce: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


def parse_exchange_request(payload: bytes) -> ExchangeRequest:
    """Raises DocumentMalformed."""
    request = parse(payload, ExchangeRequest)
    if request.expires_ms <= request.time_ms:
        raise DocumentMalformed("An exchange request ends after it begins: correct expires_ms.")
    return request


def parse_ticket(payload: bytes) -> Ticket:
    """Raises DocumentMalformed."""
    return parse(payload, Ticket)


def parse_receipt(payload: bytes) -> Receipt:
    """Raises DocumentMalformed."""
    receipt = parse(payload, Receipt)
    if (receipt.subject == "") != (receipt.batch is not None):
        raise DocumentMalformed("A receipt names either one subject or a batch of them.")
    if (receipt.legal_basis is not None) != (receipt.mode.compares_sets and receipt.decision == "permit"):
        raise DocumentMalformed("A receipt names a legal basis where sets were compared, and nowhere else.")
    return receipt


def parse_access_request(payload: bytes) -> AccessRequest:
    """Raises DocumentMalformed."""
    return parse(payload, AccessRequest)


def parse_deletion(payload: bytes) -> DeletionAttestation:
    """Raises DocumentMalformed."""
    return parse(payload, DeletionAttestation)


def policy_digest(request_payload: bytes) -> bytes:
    """What the two nodes bind into their keys: SM3 of the exchange request exactly as it was signed."""
    return sm3(request_payload)


def make_batch(receipts: Sequence[Receipt], key: PrivateKey, *, node_id: str, time_ms: int) -> list[SignedReceipt]:
    """Sign many receipts with one signature; they come back in their order.

    Raises ValueError for an empty batch, or one above MAX_BATCH.
    """
    if not 1 <= len(receipts) <= MAX_BATCH:
        raise ValueError(f"a batch has 1 to {MAX_BATCH} receipts, not {len(receipts)}")
    payloads = [encode(receipt) for receipt in receipts]
    tree = TiledLog(MemoryTileStore())
    tree.append_many(leaf_hash(payload) for payload in payloads)
    head = BatchHead(node_id=node_id, size=len(payloads), root=tree.root().hex(), time_ms=time_ms)
    signed_head = sign_document(BATCH_TYPE, encode(head), key).encode()
    proofs = tree.inclusion_proofs(range(len(payloads)))
    return [
        SignedReceipt(receipt=payload, index=index, path=path, head=signed_head)
        for index, (payload, (_, path)) in enumerate(zip(payloads, proofs, strict=True))
    ]


def parse_signed_receipt(leaf: bytes) -> tuple[SignedReceipt, Receipt]:
    """Parse a leaf of the usage log without verifying it. Raises DocumentMalformed."""
    signed = parse(leaf, SignedReceipt)
    return signed, parse_receipt(signed.receipt)


def verify_head(head: bytes, key: PublicKey) -> BatchHead:
    """Verify a batch's signature, once for all of its receipts. Raises SignatureInvalid, DocumentMalformed."""
    document = SignedDocument.decode(head)
    verify_document(document, BATCH_TYPE, key)
    return parse(document.payload, BatchHead)


def verify_in_batch(signed: SignedReceipt, receipt: Receipt, head: BatchHead) -> None:
    """Verify that a receipt is one of a verified batch, by the node that signed it. Raises LogInconsistent, DocumentMalformed."""
    if receipt.node_id != head.node_id:
        raise DocumentMalformed(f"The receipt is of node {receipt.node_id}, its batch was signed by {head.node_id}.")
    verify_inclusion(leaf_hash(signed.receipt), signed.index, head.size, signed.path, bytes.fromhex(head.root))


def verify_receipt(leaf: bytes, key: PublicKey) -> Receipt:
    """Parse and verify one receipt entirely. Raises SignatureInvalid, LogInconsistent, DocumentMalformed."""
    signed, receipt = parse_signed_receipt(leaf)
    verify_in_batch(signed, receipt, verify_head(signed.head, key))
    return receipt


class SubjectTree:
    """The Merkle tree over the subjects of a batch, in their order."""

    def __init__(self, uses: Sequence[bytes]) -> None:
        """`uses`: encoded SubjectUse values."""
        self._tree = TiledLog(MemoryTileStore())
        self._tree.append_many(leaf_hash(use) for use in uses)

    @property
    def commitment(self) -> BatchCommitment:
        """What the receipt commits to."""
        return BatchCommitment(root=self._tree.root().hex(), size=self._tree.size)

    def path(self, index: int) -> tuple[bytes, ...]:
        """The path that proves the subject at this place."""
        return tuple(self._tree.inclusion_proof(index))


def verify_subject_use(use: bytes, index: int, path: Sequence[bytes], commitment: BatchCommitment) -> SubjectUse:
    """Verify a subject's own part of a batch. Raises LogInconsistent, DocumentMalformed.

    Whether it names a consent, where one was due, is for `verify_basis`.
    """
    verify_inclusion(leaf_hash(use), index, commitment.size, path, bytes.fromhex(commitment.root))
    return parse(use, SubjectUse)


def verify_basis(part: SubjectUse, receipt: Receipt) -> None:
    """Verify that a part of a batch names a consent, unless its receipt names another legal basis. Raises DocumentMalformed."""
    if (part.consent_id == "") != (receipt.legal_basis is not None):
        raise DocumentMalformed("A use of this batch names neither a consent nor a legal basis, or both.")
