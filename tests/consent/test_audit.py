from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import msgspec
import pytest

from consent.audit import AuditFailed, AuditReport, Export, fold_directory, verify_export
from consent.audit_uses import ListedUse, UsePage, VerifiedPage, verify_listing, verify_uses
from consent.directory import Directory, OperatorKey
from consent.documents import ExchangeMode, Purpose, encode
from consent.usage import (
    DELETION_TYPE,
    BatchCommitment,
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
    World,
    admitted,
    consent,
    enrolled,
    key,
    public,
    signed,
    subject_key,
)
from trust.checkpoint import Checkpoint, cosign, make_checkpoint
from trust.document import SignedDocument, sign_document
from trust.merkle import consistency_path, inclusion_path, leaf_hash, root_of

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


def directory() -> Directory:
    return World().directory


def verify(export: Export, seen: tuple[Checkpoint, ...] = ()) -> AuditReport:
    return verify_export(export, HUB, directory(), seen)


def test_an_honest_export_is_verified_and_counted() -> None:
    report = verify(export_of(usage_leaves()), (head_of(usage_leaves()[:4]), head_of(usage_leaves())))
    assert (report.size, report.receipts, report.refusals, report.deletions, report.batches) == (10, 9, 1, 1, 3)
    assert report.heads_seen == 2
    assert report.witnesses == ()


def altered(leaf: bytes) -> bytes:
    """Return a leaf that tells of another user, with nothing else changed."""
    fields = msgspec.json.decode(leaf)
    told = base64.b64decode(fields["receipt"]).replace(b'"user":"li"', b'"user":"wu"')
    fields["receipt"] = base64.b64encode(told).decode()
    return msgspec.json.encode(fields)


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
    "of a node that nobody knows": lambda: batch(receipt(1, node="ghost-1"), "ghost-1"),
    "by another node's key": lambda: batch(receipt(1), BANK_NODE, signer=PROVIDER_NODE),
    "of another institution": lambda: batch(receipt(1, institution="otherbank"), BANK_NODE),
    "in another node's batch": lambda: batch(receipt(1), PROVIDER_NODE),
}


def batch(one: Receipt, node: str, *, signer: str | None = None) -> tuple[bytes, ...]:
    return (make_batch([one], key(signer or node), node_id=node, time_ms=NOW)[0].encode(),)


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


def directory_leaves() -> tuple[bytes, ...]:
    entries = [
        signed("operator-key", OperatorKey(operator="op", public_key=public("operator"), time_ms=NOW), "hub"),
        *(signed("member-admitted", admitted(m, k), "operator") for m, k in ((PROVIDER, "government"), (BANK, "bank"))),
        signed("node-enrolled", enrolled(PROVIDER_NODE, PROVIDER), PROVIDER_NODE),
        signed("node-enrolled", enrolled(BANK_NODE, BANK), BANK_NODE),
        signed("subject-key", subject_key(USCC), "operator"),
    ]
    return tuple(entry.encode() for entry in entries)


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


# -- what an enterprise is shown


@dataclass
class Shown:
    """What the hub answers, to be bent by a test."""

    leaves: tuple[bytes, ...] = L
    indexes: tuple[int, ...] = (0, 4, 5, 8)

    def page(self) -> UsePage:
        hashes = [leaf_hash(leaf) for leaf in self.leaves]
        return UsePage(
            checkpoint=make_checkpoint(head_of(self.leaves), key("hub")),
            uses=tuple(self.use(index, inclusion_path(hashes, index)) for index in self.indexes),
            nodes=tuple(SignedDocument.decode(leaf) for leaf in directory_leaves()[3:5]),
        )

    def use(self, index: int, path: tuple[bytes, ...]) -> ListedUse:
        if index != 8:
            return ListedUse(log_index=index, leaf=self.leaves[index], path=path)
        return ListedUse(
            log_index=8,
            leaf=self.leaves[8],
            path=path,
            subject_use=PARTS[1],
            subject_index=1,
            subject_path=TREE.path(1),
        )


def check(page: UsePage, **arguments: object) -> VerifiedPage:
    return verify_uses(USCC, page, HUB, **arguments)  # type: ignore[arg-type]


def test_honest_uses_are_verified_with_their_seven_fields() -> None:
    page = check(Shown().page())
    assert [use.log_index for use in page.uses] == [0, 4, 5, 8]
    first, last = page.uses[0], page.uses[-1]
    told = first.receipt
    assert (told.user, told.institution, told.time_ms, told.reason, told.items, told.subject, told.purpose) == (
        "li",
        BANK,
        NOW,
        "loan application 7",
        ("tax_registration",),
        USCC,
        Purpose.PRE_LOAN,
    )
    assert last.part is not None
    assert (last.part.uscc, last.part.record_count) == (USCC, 3)


def bend(index: int, **changes: object) -> UsePage:
    page = Shown().page()
    uses = list(page.uses)
    uses[index] = replace(uses[index], **changes)  # type: ignore[arg-type]
    return replace(page, uses=tuple(uses))


BENT: dict[str, tuple[Callable[[], UsePage], int | None]] = {
    "an altered receipt": (lambda: bend(0, leaf=altered(L[0])), 0),
    "a receipt at another index": (lambda: bend(1, log_index=3), 3),
    "a path cut short": (lambda: bend(1, path=Shown().page().uses[1].path[:-1]), 4),
    "another enterprise's part": (
        lambda: bend(3, subject_use=PARTS[0], subject_index=0, subject_path=TREE.path(0)),
        8,
    ),
    "a part that is not in the batch": (lambda: bend(3, subject_use=PARTS[1].replace(b":3,", b":1,")), 8),
    "no part at all": (lambda: bend(3, subject_use=b""), 8),
    "a node without an entry": (lambda: replace(Shown().page(), nodes=()), 0),
    "a node entry that the hub did not countersign": (
        lambda: replace(
            Shown().page(), nodes=(signed("node-enrolled", enrolled(BANK_NODE, BANK), BANK_NODE, hub=None),)
        ),
        None,
    ),
    "a node entry with a key of the hub's making": (
        lambda: replace(
            Shown().page(), nodes=(signed("node-enrolled", enrolled(BANK_NODE, BANK, "other"), BANK_NODE),)
        ),
        None,
    ),
    "a checkpoint by another key": (
        lambda: replace(Shown().page(), checkpoint=make_checkpoint(head_of(L), key("stranger"))),
        None,
    ),
    "a checkpoint of another log": (
        lambda: replace(Shown().page(), checkpoint=make_checkpoint(head_of(L, "directory"), key("hub"))),
        None,
    ),
}


@pytest.mark.parametrize("name", BENT)
def test_a_use_whose_proof_does_not_hold_is_refused(name: str) -> None:
    page, place = BENT[name]
    with pytest.raises(AuditFailed) as found:
        check(page())
    assert found.value.index == place, str(found.value)


def test_another_enterprises_use_is_refused() -> None:
    with pytest.raises(AuditFailed, match="another enterprise"):
        verify_uses(OTHER_USCC, Shown(indexes=(0,)).page(), HUB)


def test_a_use_that_left_the_log_breaks_the_consistency_with_what_was_seen() -> None:
    seen = head_of(L)
    hashes = [leaf_hash(leaf) for leaf in L]
    grown = (*L, *batch(receipt(20), BANK_NODE))
    honest = consistency_path([leaf_hash(leaf) for leaf in grown], len(L))
    assert check(Shown(grown).page(), last_seen=seen, path=honest).head.size == 11
    without = (*L[:5], *L[6:], *grown[10:], *batch(receipt(21), BANK_NODE))
    page = Shown(without, indexes=(0, 4)).page()
    for path in (honest, consistency_path([leaf_hash(leaf) for leaf in without], len(L)), tuple(hashes[:3]), ()):
        with pytest.raises(AuditFailed, match="extends"):
            check(page, last_seen=seen, path=path)


def test_a_shorter_or_older_head_than_the_one_seen_is_refused() -> None:
    with pytest.raises(AuditFailed, match="hidden"):
        check(Shown(L[:8], indexes=(0,)).page(), last_seen=head_of(L))
    grown = Shown((*L, *batch(receipt(20), BANK_NODE))).page()
    path = consistency_path([leaf_hash(use) for use in (*L, *batch(receipt(20), BANK_NODE))], len(L))
    with pytest.raises(AuditFailed):
        check(grown, last_seen=head_of(L, time_ms=NOW + 1), path=path)


def test_the_same_head_signed_earlier_is_no_alarm() -> None:
    assert check(Shown().page(), last_seen=head_of(L, time_ms=NOW + 1)).head.size == len(L)


def test_a_use_that_was_listed_before_and_is_left_out_now_is_named() -> None:
    page = check(Shown().page())
    known = {use.log_index: use.leaf_sm3 for use in page.uses}
    verify_listing(known, page.uses, through=9)
    verify_listing(known, page.uses[:3], through=5)
    with pytest.raises(AuditFailed, match="left out") as found:
        verify_listing(known, (page.uses[0], *page.uses[2:]), through=9)
    assert found.value.index == 4
    with pytest.raises(AuditFailed, match="another use"):
        verify_listing({**known, 5: "00" * 32}, page.uses, through=9)


def test_witnesses_of_a_page_are_verified() -> None:
    page = Shown().page()
    assert check(replace(page, checkpoint=cosign(page.checkpoint, key(BANK_NODE)))).witnesses == (BANK_NODE,)


def test_an_empty_commitment_proves_nothing() -> None:
    hollow = receipt(30, subject="", batch=BatchCommitment(root="00" * 32, size=1), consent_id=None)
    leaves = (*L, *batch(hollow, BANK_NODE))
    shown = Shown(leaves, indexes=(10,)).page()
    bent = replace(shown.uses[0], subject_use=PARTS[1], subject_index=0, subject_path=())
    with pytest.raises(AuditFailed) as found:
        check(replace(shown, uses=(bent,)))
    assert found.value.index == 10
