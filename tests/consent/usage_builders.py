"""A usage log to test audits on: batches, refusals, a raw transfer, a deletion; and the directory that verifies it."""

from __future__ import annotations

import base64
import uuid
from functools import cache

import msgspec

from consent.audit import Export
from consent.directory import OperatorKey
from consent.documents import ExchangeMode, Purpose, encode
from consent.usage import (
    DELETION_TYPE,
    DeletionAttestation,
    Receipt,
    SubjectTree,
    SubjectUse,
    make_batch,
)
from tests.consent.builders import (
    BANK,
    NOW,
    OTHER_USCC,
    PROVIDER,
    RECORD,
    USCC,
    admitted,
    enrolled,
    key,
    public,
    signed,
    subject_key,
)
from trust.checkpoint import Checkpoint, make_checkpoint
from trust.document import sign_document
from trust.merkle import leaf_hash, root_of

HUB = key("hub").public
BANK_NODE = "firstbank-1"
PROVIDER_NODE = "taxoffice-1"


def receipt(number: int, *, node: str = BANK_NODE, **changes: object) -> Receipt:
    made = Receipt(
        receipt_id=str(uuid.UUID(int=number + 1)),
        side="requester" if node == BANK_NODE else "provider",
        exchange_id=str(uuid.UUID(int=7)),
        request_no=number,
        user="li",
        institution=BANK,
        node_id=node,
        time_ms=NOW + number,
        reason="loan application 7",
        items=("tax_registration",),
        subject=USCC,
        purpose=Purpose.PRE_LOAN,
        consent_id=RECORD,
        mode=ExchangeMode.QUERY,
        record_count=1,
        digest="ab" * 32,
        decision="permit",
    )
    return msgspec.structs.replace(made, **changes)


PARTS = [
    encode(SubjectUse(uscc=uscc, consent_id=RECORD, record_count=3, salt="0f" * 16)) for uscc in (OTHER_USCC, USCC)
]
TREE = SubjectTree(PARTS)


@cache
def usage_leaves() -> tuple[bytes, ...]:
    """Two batches of four, a raw transfer, and a deletion: entries 0-3, 4-7, 8, 9."""
    bank = make_batch([receipt(n) for n in range(4)], key(BANK_NODE), node_id=BANK_NODE, time_ms=NOW)
    refused = receipt(5, node=PROVIDER_NODE, decision="NO_CONSENT", consent_id=None)
    provider = make_batch(
        [receipt(4, node=PROVIDER_NODE), refused, *(receipt(n, node=PROVIDER_NODE) for n in (6, 7))],
        key(PROVIDER_NODE),
        node_id=PROVIDER_NODE,
        time_ms=NOW,
    )
    raw = receipt(8, subject="", batch=TREE.commitment, mode=ExchangeMode.RAW, consent_id=None)
    alone = make_batch([raw], key(BANK_NODE), node_id=BANK_NODE, time_ms=NOW)
    deletion = DeletionAttestation(
        exchange_id=str(uuid.UUID(int=7)),
        institution=BANK,
        node_id=BANK_NODE,
        digest="ab" * 32,
        record_count=6,
        due_ms=NOW,
        deleted_ms=NOW,
        method="unlink",
    )
    attested = sign_document(DELETION_TYPE, encode(deletion), key(BANK_NODE)).encode()
    return (*(each.encode() for each in (*bank, *provider, *alone)), attested)


def head_of(leaves: tuple[bytes, ...], origin: str = "usage", time_ms: int = NOW) -> Checkpoint:
    return Checkpoint(
        origin=origin, size=len(leaves), root=root_of(leaf_hash(leaf) for leaf in leaves), time_ms=time_ms
    )


def export_of(leaves: tuple[bytes, ...], origin: str = "usage", *, listed: bool = True) -> Export:
    """Return an honest export of these leaves."""
    return Export(
        origin=origin,
        leaves=leaves,
        checkpoint=make_checkpoint(head_of(leaves, origin), key("hub")),
        hashes=b"".join(leaf_hash(leaf) for leaf in leaves) if listed else None,
    )


def altered(leaf: bytes) -> bytes:
    """Return a leaf that tells of another user, with nothing else changed."""
    fields = msgspec.json.decode(leaf)
    told = base64.b64decode(fields["receipt"]).replace(b'"user":"li"', b'"user":"wu"')
    fields["receipt"] = base64.b64encode(told).decode()
    return msgspec.json.encode(fields)


def batch(one: Receipt, node: str, *, signer: str | None = None) -> tuple[bytes, ...]:
    return (make_batch([one], key(signer or node), node_id=node, time_ms=NOW)[0].encode(),)


def directory_leaves() -> tuple[bytes, ...]:
    entries = [
        signed("operator-key", OperatorKey(operator="op", public_key=public("operator"), time_ms=NOW), "hub"),
        *(signed("member-admitted", admitted(m, k), "operator") for m, k in ((PROVIDER, "government"), (BANK, "bank"))),
        signed("node-enrolled", enrolled(PROVIDER_NODE, PROVIDER), PROVIDER_NODE),
        signed("node-enrolled", enrolled(BANK_NODE, BANK), BANK_NODE),
        signed("subject-key", subject_key(USCC), "operator"),
    ]
    return tuple(entry.encode() for entry in entries)
