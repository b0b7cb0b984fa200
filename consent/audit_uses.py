"""Checking what the hub tells an enterprise about the uses of its data: every claim against its proof.

Rules for a page, in this order; the first that is broken is the answer, with the entry's index in the usage log:
 1. The page's checkpoint is of the usage log, signed by the hub's key, and extends the last one that the enterprise saw.
    An entry that is gone from the log breaks this.
 2. Each node that speaks is in the directory by a document signed by itself and the hub.
 3. Each receipt is in the log at its index, signed by its node as one of a batch; a requester's receipt is by a node of
    the institution that it names.
 4. Each is about this enterprise: by name, or by its own proved part of a batch.
 5. Each cosignature by one of those nodes verifies.
And over all pages (`verify_listing`): no use that was listed before is left out or changed.

What this cannot show: a use that nobody recorded, and a use in the log that the hub never lists to its subject (an
auditor with an export sees it). Source: guideline 6.6.2; protocols.md 3.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consent.audit import USAGE, AuditFailed, verified_witnesses, verify_institution
from consent.directory import NODE_ENROLLED_TYPE, NodeEnrolled
from consent.documents import ExchangeMode, parse
from consent.errors import ConsentError, DocumentMalformed
from consent.usage import (
    BatchHead,
    Receipt,
    SubjectUse,
    parse_signed_receipt,
    verify_basis,
    verify_head,
    verify_in_batch,
    verify_subject_use,
)
from trust.checkpoint import Checkpoint, extends, open_checkpoint
from trust.document import SignedDocument, verify_document
from trust.errors import LogInconsistent, TrustError
from trust.merkle import leaf_hash, verify_inclusion
from trust.sm2 import PublicKey
from trust.suite import sm3


@dataclass(frozen=True, kw_only=True)
class ListedUse:
    """One use as the hub lists it, not yet verified. The last three belong to a batch; `subject_use` is empty otherwise."""

    log_index: int
    leaf: bytes
    path: tuple[bytes, ...]
    twin_present: bool = False
    subject_use: bytes = b""
    subject_index: int = 0
    subject_path: tuple[bytes, ...] = ()


@dataclass(frozen=True, kw_only=True)
class UsePage:
    """A page of uses; every path is for `checkpoint`. `nodes`: the "node-enrolled" entries of the nodes that signed."""

    checkpoint: SignedDocument
    uses: tuple[ListedUse, ...]
    nodes: tuple[SignedDocument, ...]


@dataclass(frozen=True, kw_only=True)
class VerifiedUse:
    """A use whose every proof held. `leaf_sm3`: hex digest of the entry, to recognise it by later."""

    log_index: int
    receipt: Receipt
    part: SubjectUse | None
    signed_by: str
    twin_present: bool
    leaf_sm3: str


@dataclass(frozen=True, kw_only=True)
class VerifiedPage:
    """A page of verified uses, the head that they are proved under, and the nodes that witnessed it."""

    head: Checkpoint
    uses: tuple[VerifiedUse, ...]
    witnesses: tuple[str, ...]


def verify_uses(
    uscc: str, page: UsePage, hub_key: PublicKey, *, last_seen: Checkpoint | None = None, path: Sequence[bytes] = ()
) -> VerifiedPage:
    """Check one page by the rules above and return what it proves.

    `last_seen`: the newest head of the usage log that was verified before, with the consistency `path` from it to the page's.
    Raises AuditFailed, which names the entry's index in the usage log.
    """
    try:
        head = open_checkpoint(page.checkpoint, hub_key)
        if head.origin != USAGE:
            raise LogInconsistent(f"the checkpoint is of log {head.origin}, not of the usage log")
        if last_seen is not None and (last_seen.size, last_seen.root) != (head.size, head.root):
            # The same head signed at another time hides nothing: a hub may show the one that has more witnesses.
            extends(last_seen, head, path)
        nodes = {node.node_id: node for node in (verify_node(document, hub_key) for document in page.nodes)}
    except (TrustError, ConsentError) as problem:
        raise AuditFailed(str(problem), origin=USAGE) from problem
    keys = {node_id: PublicKey.decode(node.identity_key) for node_id, node in nodes.items()}
    heads: dict[bytes, BatchHead] = {}
    uses = []
    for use in page.uses:
        try:
            uses.append(_verify_use(uscc, use, head, nodes, keys, heads))
        except (TrustError, ConsentError) as problem:
            raise AuditFailed(str(problem), index=use.log_index, origin=USAGE) from problem
    return VerifiedPage(head=head, uses=tuple(uses), witnesses=verified_witnesses(USAGE, page.checkpoint, keys))


def verify_listing(known: Mapping[int, str], uses: Sequence[VerifiedUse], *, through: int) -> None:
    """Check that a list of uses still has, unchanged, every one that was listed before up to index `through`.

    `known`: index to `leaf_sm3` of earlier lists. Raises AuditFailed for the first that is missing or another.
    """
    listed = {use.log_index: use.leaf_sm3 for use in uses}
    for index, digest in sorted(known.items()):
        if index > through:
            continue
        if index not in listed:
            raise AuditFailed(
                "a use that was listed before is left out now: the hub hides it", index=index, origin=USAGE
            )
        if not hmac.compare_digest(listed[index], digest):
            raise AuditFailed("another use stands where one was listed before", index=index, origin=USAGE)


def model_of(use: VerifiedUse) -> str:
    """The commitment to the model that this use trained, or was scored with, hex; empty for any other use."""
    told = use.receipt
    trained = told.mode is ExchangeMode.JOINT and told.request_no == 1
    return told.digest if trained or told.mode is ExchangeMode.SCORE else ""


def verify_node(document: SignedDocument, hub_key: PublicKey) -> NodeEnrolled:
    """Check a directory entry about a node: signed by itself and by the hub. Raises SignatureInvalid, DocumentMalformed."""
    verify_document(document, NODE_ENROLLED_TYPE, hub_key)
    node = parse(document.payload, NodeEnrolled)
    verify_document(document, NODE_ENROLLED_TYPE, PublicKey.decode(node.identity_key))
    return node


def _verify_use(
    uscc: str,
    use: ListedUse,
    head: Checkpoint,
    nodes: Mapping[str, NodeEnrolled],
    keys: Mapping[str, PublicKey],
    heads: dict[bytes, BatchHead],
) -> VerifiedUse:
    verify_inclusion(leaf_hash(use.leaf), use.log_index, head.size, use.path, head.root)
    signed, receipt = parse_signed_receipt(use.leaf)
    if receipt.node_id not in nodes:
        raise DocumentMalformed(f"the hub did not show who node {receipt.node_id} is; nobody vouches for this receipt")
    batch = heads.get(signed.head)
    if batch is None:
        batch = heads[signed.head] = verify_head(signed.head, keys[receipt.node_id])
    verify_in_batch(signed, receipt, batch)
    node = nodes[receipt.node_id]
    verify_institution(receipt, node.member_id)
    return VerifiedUse(
        log_index=use.log_index,
        receipt=receipt,
        part=_own_part(uscc, use, receipt),
        signed_by=node.node_id,
        twin_present=use.twin_present,
        leaf_sm3=sm3(use.leaf).hex(),
    )


def _own_part(uscc: str, use: ListedUse, receipt: Receipt) -> SubjectUse | None:
    if receipt.batch is None:
        if receipt.subject != uscc:
            raise DocumentMalformed("this use is of another enterprise; the hub should not have shown it")
        return None
    part = verify_subject_use(use.subject_use, use.subject_index, use.subject_path, receipt.batch)
    verify_basis(part, receipt)
    if part.uscc != uscc:
        raise DocumentMalformed("this part of a batch is of another enterprise; the hub should not have shown it")
    return part
