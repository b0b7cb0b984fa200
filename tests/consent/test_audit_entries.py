"""What the hub answers to an entry: honest answers pass, and each claim that is bent is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from consent.audit import AuditFailed
from consent.audit_entries import EntryProof, verify_acknowledgement, verify_entry
from consent.directory import NODE_ENROLLED_TYPE, NodeEnrolled
from consent.documents import CONSENT_REVOCATION_TYPE, ConsentRevocation, encode
from trust.checkpoint import Checkpoint, cosign, make_checkpoint
from trust.document import SignedDocument, countersign, sign_document
from trust.merkle import inclusion_path, leaf_hash, root_of
from trust.sm2 import PrivateKey

HUB, ENTERPRISE, NODE, STRANGER = (PrivateKey.generate() for _ in range(4))
LOG = "consent/tax"
REVOCATION = ConsentRevocation(
    record_id="11111111-1111-4111-8111-111111111111", provider="tax", uscc="91310110666007217T", time_ms=5
)
SENT = sign_document(CONSENT_REVOCATION_TYPE, encode(REVOCATION), ENTERPRISE)
LEAVES = [b"zero", b"one", countersign(SENT, HUB).encode(), b"three"]


def head(leaves: list[bytes], origin: str = LOG) -> SignedDocument:
    hashes = [leaf_hash(leaf) for leaf in leaves]
    return make_checkpoint(Checkpoint(origin=origin, size=len(hashes), root=root_of(hashes), time_ms=9), HUB)


def path(leaves: list[bytes], index: int) -> tuple[bytes, ...]:
    return inclusion_path([leaf_hash(leaf) for leaf in leaves], index)


PROOF = EntryProof(provider="tax", index=2, leaf=LEAVES[2], path=path(LEAVES, 2), checkpoint=head(LEAVES))


def enrolled(member: str = "tax", key: PrivateKey = NODE, hub: PrivateKey = HUB) -> SignedDocument:
    entry = NodeEnrolled(node_id="tax-1", member_id=member, identity_key=key.public.encode(), time_ms=1)
    return countersign(sign_document(NODE_ENROLLED_TYPE, encode(entry), key), hub)


def test_an_entry_that_is_there_is_proved() -> None:
    assert verify_entry(SENT, ENTERPRISE.public, PROOF, HUB.public).size == 4


def elsewhere(proof: EntryProof, leaf: bytes) -> EntryProof:
    """Another leaf in the same place, honestly proved."""
    leaves = [LEAVES[0], LEAVES[1], leaf, LEAVES[3]]
    return replace(proof, leaf=leaf, path=path(leaves, 2), checkpoint=head(leaves))


OTHER = sign_document(
    CONSENT_REVOCATION_TYPE,
    encode(
        ConsentRevocation(
            record_id="22222222-2222-4222-8222-222222222222", provider="tax", uscc="91310110666007217T", time_ms=5
        )
    ),
    ENTERPRISE,
)


@pytest.mark.parametrize(
    "bend",
    [
        lambda proof: replace(proof, index=1),
        lambda proof: replace(proof, index=4),
        lambda proof: replace(proof, path=proof.path[:-1]),
        lambda proof: replace(proof, provider="court"),
        lambda proof: replace(proof, leaf=proof.leaf[:-1] + b" "),
        lambda proof: replace(proof, checkpoint=head(LEAVES[:2])),
        lambda proof: replace(proof, checkpoint=head(LEAVES, "usage")),
        lambda proof: elsewhere(proof, countersign(OTHER, HUB).encode()),
        lambda proof: elsewhere(proof, SENT.encode()),
        lambda proof: elsewhere(proof, countersign(sign_document(SENT.payload_type, SENT.payload, STRANGER), HUB).encode()),
    ],
    ids=[
        "another index", "beyond the log", "a short path", "another provider", "an altered leaf", "an old checkpoint",
        "another log", "another entry", "not countersigned", "signed by a stranger",
    ],
)  # fmt: skip
def test_each_bent_claim_is_refused(bend: Callable[[EntryProof], EntryProof]) -> None:
    with pytest.raises(AuditFailed) as refused:
        verify_entry(SENT, ENTERPRISE.public, bend(PROOF), HUB.public)
    assert refused.value.origin.startswith("consent/")


def test_a_checkpoint_by_another_hub_proves_nothing() -> None:
    with pytest.raises(AuditFailed):
        verify_entry(SENT, ENTERPRISE.public, PROOF, STRANGER.public)


def acknowledge(**bent: Any) -> None:
    told: dict[str, Any] = {
        "node_id": "tax-1",
        "cosigned": cosign(PROOF.checkpoint, NODE),
        "nodes": [enrolled()],
        "proof": PROOF,
        "hub_key": HUB.public,
        "met": {},
    }
    verify_acknowledgement(**(told | bent))


def test_a_cosignature_over_the_entry_is_an_acknowledgement() -> None:
    acknowledge()
    acknowledge(met={"tax-1": NODE.public, "tax-2": STRANGER.public})
    acknowledge(cosigned=cosign(head([*LEAVES, b"four"]), NODE))


@pytest.mark.parametrize(
    "bent",
    [
        {"node_id": "tax-2"},
        {"nodes": []},
        {"nodes": [enrolled("court")]},
        {"nodes": [enrolled(hub=STRANGER)]},
        {"nodes": [enrolled(key=STRANGER)]},
        {"met": {"tax-1": STRANGER.public}},
        {"cosigned": PROOF.checkpoint},
        {"cosigned": cosign(PROOF.checkpoint, STRANGER)},
        {"cosigned": cosign(head(LEAVES[:2]), NODE)},
        {"cosigned": cosign(head(LEAVES, "consent/court"), NODE)},
    ],
    ids=[
        "another node", "an unknown node", "a node of another member", "a node without the hub's word", "a swapped key",
        "another key than before", "no cosignature", "a stranger's", "over an old checkpoint", "over another log",
    ],
)  # fmt: skip
def test_each_false_acknowledgement_is_refused(bent: dict[str, Any]) -> None:
    with pytest.raises(AuditFailed):
        acknowledge(**bent)
