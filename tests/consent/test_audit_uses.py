from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import pytest

from consent.audit import AuditFailed
from consent.audit_uses import ListedUse, UsePage, VerifiedPage, verify_listing, verify_uses
from consent.documents import Purpose
from consent.usage import (
    BatchCommitment,
)
from tests.consent.builders import (
    BANK,
    NOW,
    OTHER_USCC,
    USCC,
    enrolled,
    key,
    signed,
)
from tests.consent.usage_builders import (
    BANK_NODE,
    HUB,
    PARTS,
    PROVIDER_NODE,
    TREE,
    altered,
    batch,
    directory_leaves,
    head_of,
    receipt,
    usage_leaves,
)
from trust.checkpoint import cosign, make_checkpoint
from trust.document import SignedDocument
from trust.merkle import consistency_path, inclusion_path, leaf_hash

L = usage_leaves()


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


def swapped_into_a_batch() -> bytes:
    """Put a receipt under the head of a batch that it is not in."""
    fields, other = msgspec.json.decode(batch(receipt(50), BANK_NODE)[0]), msgspec.json.decode(L[0])
    return msgspec.json.encode(fields | {"head": other["head"]})


UNFOUNDED = {
    "of a batch that it is not in": swapped_into_a_batch,
    "of another institution": lambda: batch(receipt(51, institution="otherbank"), BANK_NODE)[0],
    "in another node's batch": lambda: batch(receipt(52), PROVIDER_NODE)[0],
}


@pytest.mark.parametrize("name", UNFOUNDED)
def test_a_receipt_is_refused_even_when_the_hub_logged_it(name: str) -> None:
    page = Shown((*L, UNFOUNDED[name]()), indexes=(0, 10)).page()
    with pytest.raises(AuditFailed) as found:
        check(page)
    assert found.value.index == 10


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
