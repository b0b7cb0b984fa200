from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.audit import AuditFailed
from consent.explain import Climb, climb, explain
from tests.consent.builders import BANK, USCC, key
from tests.consent.test_audit_uses import Shown
from tests.consent.usage_builders import BANK_NODE, HUB
from trust.checkpoint import cosign
from trust.errors import LogInconsistent
from trust.merkle import inclusion_path, leaf_hash, node_hash, root_of


def follow(way: Climb) -> bytes:
    """The root by nothing but hashing pairs, as a reader would."""
    at = way.leaf
    for level in way.levels:
        at = node_hash(level.sibling, at) if level.sibling_left else node_hash(at, level.sibling)
        assert at == level.result
    return at


@given(st.integers(1, 70).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size - 1))))
def test_each_level_is_the_hash_of_two_and_the_last_is_the_root(place: tuple[int, int]) -> None:
    size, index = place
    leaves = [leaf_hash(b"%d" % number) for number in range(size)]
    root = root_of(leaves)
    way = climb(leaves[index], index, size, inclusion_path(leaves, index), root)
    assert follow(way) == root and len(way.levels) <= 7
    with pytest.raises(LogInconsistent):
        climb(leaf_hash(b"other"), index, size, inclusion_path(leaves, index), root)


def test_a_use_is_explained_from_receipt_to_witness() -> None:
    page = Shown().page()
    page = replace(page, checkpoint=cosign(page.checkpoint, key(BANK_NODE)))
    told = explain(USCC, page, 5, HUB)
    assert told is not None and told.part is None
    assert b"NO_CONSENT" in told.receipt and told.use.receipt.institution == BANK
    assert follow(told.batch) == bytes.fromhex(told.batch_head.root)
    assert follow(told.log) == told.head.root and told.head.size == 10
    assert [witness.node_id for witness in told.witnesses] == [BANK_NODE]
    assert told.hub_key_id == HUB.key_id


def test_of_a_transfer_the_own_part_is_explained_too() -> None:
    told = explain(USCC, Shown().page(), 8, HUB)
    assert told is not None and told.part is not None and told.use.receipt.batch is not None
    assert follow(told.part).hex() == told.use.receipt.batch.root


def test_what_is_not_there_is_not_explained_and_what_does_not_hold_neither() -> None:
    page = Shown().page()
    assert explain(USCC, page, 3, HUB) is None
    bent = replace(page, uses=(replace(page.uses[0], path=page.uses[1].path), *page.uses[1:]))
    with pytest.raises(AuditFailed, match="entry 0"):
        explain(USCC, bent, 0, HUB)
