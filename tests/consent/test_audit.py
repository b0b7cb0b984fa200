from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from consent.audit import AuditFailed, AuditReport, Export, fold_directory, verify_export
from consent.directory import Directory
from consent.usage import (
    DELETION_TYPE,
)
from tests.consent.builders import (
    OTHER_USCC,
    PROVIDER,
    USCC,
    World,
    consent,
    key,
    public,
    signed,
    subject_key,
)
from tests.consent.usage_builders import (
    BANK_NODE,
    HUB,
    PROVIDER_NODE,
    altered,
    batch,
    directory_leaves,
    export_of,
    head_of,
    receipt,
    usage_leaves,
)
from trust.checkpoint import Checkpoint, cosign, make_checkpoint
from trust.document import SignedDocument, sign_document
from trust.merkle import leaf_hash


def directory() -> Directory:
    return World().directory


def verify(export: Export, seen: tuple[Checkpoint, ...] = ()) -> AuditReport:
    return verify_export(export, HUB, directory(), seen)


def test_an_honest_export_is_verified_and_counted() -> None:
    report = verify(export_of(usage_leaves()), (head_of(usage_leaves()[:4]), head_of(usage_leaves())))
    assert (report.size, report.receipts, report.refusals, report.deletions, report.batches) == (10, 9, 1, 1, 3)
    assert report.heads_seen == 2
    assert report.witnesses == ()


def moved(leaves: tuple[bytes, ...], first: int, second: int) -> tuple[bytes, ...]:
    order = list(leaves)
    order[first], order[second] = order[second], order[first]
    return tuple(order)


L = usage_leaves()
COPIES: dict[str, tuple[tuple[bytes, ...], int]] = {
    "altered": ((*L[:3], altered(L[3]), *L[4:]), 3),
    "cut short": (L[:7], 7),
    "emptied": ((), 0),
    "moved within a batch": (moved(L, 1, 2), 1),
    "moved between batches": (moved(L, 2, 6), 2),
    "one left out": ((*L[:5], *L[6:]), 5),
    "one put in twice": ((*L[:5], L[4], *L[5:]), 5),
    "one added at the end": ((*L, L[0]), 10),
    "garbage": ((*L[:2], b"{}", *L[3:]), 2),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_tampered_copy_is_refused_at_the_very_entry(name: str) -> None:
    leaves, place = COPIES[name]
    with pytest.raises(AuditFailed) as found:
        verify(replace(export_of(L), leaves=leaves))
    assert found.value.index == place, str(found.value)
    assert f"entry {place}: " in str(found.value)


@pytest.mark.parametrize("name", COPIES)
def test_a_tampered_copy_is_refused_without_the_list_of_hashes_too(name: str) -> None:
    with pytest.raises(AuditFailed):
        verify(replace(export_of(L, listed=False), leaves=COPIES[name][0]))


@pytest.mark.parametrize(("name", "place"), [("altered", 3), ("moved within a batch", 2), ("one put in twice", 5)])
def test_entries_betray_their_place_even_when_the_list_of_hashes_was_redone(name: str, place: int) -> None:
    leaves = COPIES[name][0]
    redone = b"".join(leaf_hash(leaf) for leaf in leaves)
    with pytest.raises(AuditFailed) as found:
        verify(replace(export_of(L), leaves=leaves, hashes=redone))
    assert found.value.index == place


def test_what_is_added_behind_the_end_is_named_even_when_it_is_valid_by_itself() -> None:
    leaves = (*L, *batch(receipt(40), BANK_NODE), *batch(receipt(42), BANK_NODE))
    redone = b"".join(leaf_hash(leaf) for leaf in leaves)
    with pytest.raises(AuditFailed, match="10 entries only") as found:
        verify(replace(export_of(L), leaves=leaves, hashes=redone))
    assert found.value.index == 10


def test_heads_seen_before_narrow_the_place_down() -> None:
    leaves = (*L[:8], *reversed(L[8:]))
    with pytest.raises(AuditFailed) as found:
        verify(replace(export_of(L, listed=False), leaves=leaves), (head_of(L[:4]), head_of(L[:8])))
    assert found.value.index == 8


def test_a_fork_that_the_hub_itself_signed_is_caught_by_a_head_seen_before() -> None:
    forked = (*L[:5], *L[6:])
    assert verify(export_of(forked)).size == 9
    with pytest.raises(AuditFailed, match="forked or rewritten") as found:
        verify(export_of(forked), (head_of(L[:4]), head_of(L[:8])))
    assert found.value.index == 4


def test_a_log_shorter_than_a_head_seen_before_is_refused() -> None:
    with pytest.raises(AuditFailed, match="hidden") as found:
        verify(export_of(L[:8]), (head_of(L),))
    assert found.value.index == 8


def test_two_heads_of_one_size_show_a_fork() -> None:
    other = replace(head_of(L), root=bytes(32))
    with pytest.raises(AuditFailed, match="forked"):
        verify(export_of(L), (head_of(L), other))


def test_a_checkpoint_of_another_hub_or_log_is_refused() -> None:
    with pytest.raises(AuditFailed, match="checkpoint does not verify"):
        verify(replace(export_of(L), checkpoint=make_checkpoint(head_of(L), key("stranger"))))
    with pytest.raises(AuditFailed, match="of log directory"):
        verify(replace(export_of(L), checkpoint=make_checkpoint(head_of(L, "directory"), key("hub"))))
    with pytest.raises(AuditFailed, match="leave it out"):
        verify(export_of(L), (head_of(L, "directory"),))
    with pytest.raises(AuditFailed, match="not one of the hub's logs"):
        verify(export_of(L, "gossip"))


UNFOUNDED: dict[str, Callable[[], tuple[bytes, ...]]] = {
    "of a node that nobody knows": lambda: batch(receipt(41, node="ghost-1"), "ghost-1"),
    "by another node's key": lambda: batch(receipt(41), BANK_NODE, signer=PROVIDER_NODE),
    "of another institution": lambda: batch(receipt(41, institution="otherbank"), BANK_NODE),
    "in another node's batch": lambda: batch(receipt(41), PROVIDER_NODE),
}


@pytest.mark.parametrize("name", UNFOUNDED)
def test_the_hub_cannot_log_a_receipt_that_no_known_node_signed(name: str) -> None:
    with pytest.raises(AuditFailed) as found:
        verify(export_of((*L, *UNFOUNDED[name]())))
    assert found.value.index == len(L)


def test_a_deletion_is_attested_by_the_node_that_it_names() -> None:
    forged = SignedDocument.decode(L[9])
    forged = sign_document(DELETION_TYPE, forged.payload, key(PROVIDER_NODE))
    with pytest.raises(AuditFailed) as found:
        verify(export_of((*L[:9], forged.encode())))
    assert found.value.index == 9


def test_witnesses_are_named_and_a_false_cosignature_is_refused() -> None:
    honest = export_of(L)
    assert verify(replace(honest, checkpoint=cosign(honest.checkpoint, key(PROVIDER_NODE)))).witnesses == (
        PROVIDER_NODE,
    )
    other = cosign(make_checkpoint(head_of(L[:5]), key("hub")), key(PROVIDER_NODE))
    grafted = replace(honest.checkpoint, signatures=(*honest.checkpoint.signatures, other.signatures[1]))
    with pytest.raises(AuditFailed, match="witness taxoffice-1"):
        verify(replace(honest, checkpoint=grafted))


def test_an_exported_directory_is_folded_and_a_swapped_key_is_named() -> None:
    leaves = directory_leaves()
    folded, report = fold_directory(export_of(leaves, "directory"), HUB)
    assert report.size == folded.size == 6
    assert verify_export(export_of(L), HUB, folded).receipts == 9
    swapped = signed("subject-key", subject_key(USCC, public_key=public("thief")), "thief").encode()
    with pytest.raises(AuditFailed) as found:
        verify(export_of((*leaves[:5], swapped), "directory"))
    assert found.value.index == 5


def test_a_consent_log_is_checked_by_its_own_rules() -> None:
    origin = f"consent/{PROVIDER}"
    own = signed("consent", consent(), USCC).encode()
    assert verify(export_of((own,), origin)).size == 1
    forged = signed("consent", consent(), OTHER_USCC).encode()
    with pytest.raises(AuditFailed) as found:
        verify(export_of((forged,), origin))
    assert found.value.index == 0
