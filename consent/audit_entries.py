"""Checking what the hub answers to a consent, refusal or revocation that an enterprise sent: every claim against its proof.

Rules, in this order (AuditFailed names the log and the index):
1. The checkpoint is of the provider's consent log, signed by the hub's key, and covers the index.
2. The entry shown is what the enterprise signed, by its own signature, with the hub's countersignature.
3. It stands at that index under that checkpoint.
And of each node that is said to have seen it (`verify_acknowledgement`):
4. The node is the provider's, by a directory entry signed by itself and the hub, with the key that it had whenever it was met before.
5. It cosigned a checkpoint of that log that covers the index.

Source: protocols.md 2 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consent.audit import AuditFailed
from consent.audit_uses import verify_node
from consent.errors import ConsentError
from trust.checkpoint import Checkpoint, open_checkpoint, verify_witness
from trust.document import SignedDocument, verify_document
from trust.errors import LogInconsistent, TrustError
from trust.merkle import leaf_hash, verify_inclusion
from trust.sm2 import PublicKey


@dataclass(frozen=True, kw_only=True)
class EntryProof:
    """What the hub shows of an entry: the log's leaf, its index, and its path under the checkpoint."""

    provider: str
    index: int
    leaf: bytes
    path: tuple[bytes, ...]
    checkpoint: SignedDocument

    @property
    def origin(self) -> str:
        """The log."""
        return f"consent/{self.provider}"


def verify_entry(sent: SignedDocument, author: PublicKey, proof: EntryProof, hub_key: PublicKey) -> Checkpoint:
    """Rules 1 to 3; the checkpoint that proves it. Raises AuditFailed."""
    try:
        head = _covering(proof, proof.checkpoint, hub_key)
        shown = SignedDocument.decode(proof.leaf)
        if (shown.payload_type, shown.payload) != (sent.payload_type, sent.payload):
            raise LogInconsistent("the entry shown is another one than was sent")
        verify_document(shown, sent.payload_type, author)
        verify_document(shown, sent.payload_type, hub_key)
        verify_inclusion(leaf_hash(proof.leaf), proof.index, head.size, proof.path, head.root)
    except (TrustError, ConsentError) as problem:
        raise AuditFailed(str(problem), index=proof.index, origin=proof.origin) from problem
    return head


def verify_acknowledgement(
    node_id: str,
    cosigned: SignedDocument,
    nodes: Sequence[SignedDocument],
    proof: EntryProof,
    hub_key: PublicKey,
    met: Mapping[str, PublicKey],
) -> None:
    """Rules 4 and 5 for one node. `nodes`: the "node-enrolled" entries shown; `met`: keys of nodes met before. Raises AuditFailed."""
    try:
        shown = {node.node_id: node for node in (verify_node(document, hub_key) for document in nodes)}
        node = shown.get(node_id)
        if node is None or node.member_id != proof.provider:
            raise LogInconsistent(f"nothing shows that {node_id} is a node of {proof.provider}")
        key = PublicKey.decode(node.identity_key)
        if met.get(node_id, key) != key:
            raise LogInconsistent(f"node {node_id} is shown with another key than it had before")
        _covering(proof, cosigned, hub_key)
        verify_witness(cosigned, key)
    except (TrustError, ConsentError) as problem:
        raise AuditFailed(
            f"the acknowledgement of {node_id} proves nothing: {problem}", index=proof.index, origin=proof.origin
        ) from problem


def _covering(proof: EntryProof, document: SignedDocument, hub_key: PublicKey) -> Checkpoint:
    head = open_checkpoint(document, hub_key)
    if head.origin != proof.origin or head.size <= proof.index:
        raise LogInconsistent(f"the checkpoint (log {head.origin}, {head.size} entries) does not cover the entry")
    return head
