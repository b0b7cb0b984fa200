import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trust.rfc9162_oracle import Oracle
from trust.errors import LogInconsistent
from trust.merkle import (
    EMPTY_ROOT,
    MAX_SIZE,
    Frontier,
    OutsideLog,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    root_of,
    subtree_root,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(b"entry %d" % number) for number in range(70)]
ORACLE = Oracle(LEAVES)


def flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def test_hashes_are_pinned_byte_for_byte() -> None:
    # SM3 of nothing, of 0x00 and of 0x01 || 64 zero bytes, as `openssl dgst -sm3` prints them.
    assert EMPTY_ROOT.hex() == "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b"
    assert leaf_hash(b"").hex() == "2daef60e7a0b8f5e024c81cd2ab3109f2b4f155cf83adeb2ae5532f74a157fdf"
    assert node_hash(bytes(32), bytes(32)).hex() == "5ec1420cd14f308650cb6ac8dcd6bab89589f1f3dced7c1a17345f269e605291"


def test_a_node_cannot_be_passed_off_as_a_leaf() -> None:
    left, right = LEAVES[:2]
    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize("size", range(len(LEAVES) + 1))
def test_roots_equal_the_recursive_definition(size: int) -> None:
    expected = ORACLE.root(size)
    frontier = Frontier()
    frontier.extend(LEAVES[:size])
    assert root_of(LEAVES[:size]) == expected
    assert frontier.root() == expected
    assert frontier.size == size
    assert len(frontier.hashes) == size.bit_count()
    if size and size & (size - 1) == 0:
        assert subtree_root(b"".join(LEAVES[:size])) == expected


@pytest.mark.parametrize("size", [*range(1, 20), 31, 32, 33, 63, 64, 65, 70])
def test_every_inclusion_path_equals_the_recursive_definition_and_verifies(size: int) -> None:
    root = ORACLE.root(size)
    for index in range(size):
        found = inclusion_path(LEAVES, index, size)
        assert list(found) == ORACLE.path(index, size)
        verify_inclusion(LEAVES[index], index, size, found, root)


@pytest.mark.parametrize("new", [*range(20), 31, 32, 33, 63, 64, 65, 70])
def test_every_consistency_path_equals_the_recursive_definition_and_verifies(new: int) -> None:
    new_root = ORACLE.root(new)
    for old in range(new + 1):
        found = consistency_path(LEAVES, old, new)
        assert list(found) == ORACLE.proof(old, new)
        verify_consistency(old, new, found, ORACLE.root(old), new_root)


@given(data=st.data())
def test_an_inclusion_proof_holds_for_nothing_but_its_claim(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 70))
    index = data.draw(st.integers(0, size - 1))
    found = inclusion_path(LEAVES, index, size)
    root = root_of(LEAVES[:size])
    bit = data.draw(st.integers(0, 255))
    wrong = [
        (flipped(LEAVES[index], bit), index, size, found, root),
        (LEAVES[index], index, size, found, flipped(root, bit)),
        (LEAVES[index], index, size, (*found, LEAVES[0]), root),
        (LEAVES[index], size, size, found, root),
        (LEAVES[index], -1, size, found, root),
    ]
    if found:
        at = data.draw(st.integers(0, len(found) - 1))
        wrong += [
            (LEAVES[index], index, size, (*found[:at], flipped(found[at], bit), *found[at + 1 :]), root),
            (LEAVES[index], index, size, (*found[:at], *found[at + 1 :]), root),
            (LEAVES[index], index, size, found[:-1], root),
        ]
    if size > 1:
        other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index))
        wrong.append((LEAVES[index], other, size, found, root))
    for claim in wrong:
        with pytest.raises(LogInconsistent):
            verify_inclusion(*claim)


@given(data=st.data())
def test_two_honest_histories_prove_consistent_and_a_rewritten_one_never_does(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, 70))
    old = data.draw(st.integers(1, new - 1))
    rewritten_at = data.draw(st.integers(0, old - 1))
    rewritten = [*LEAVES[:new]]
    rewritten[rewritten_at] = leaf_hash(b"another truth")
    old_root = root_of(LEAVES[:old])
    verify_consistency(old, new, consistency_path(LEAVES, old, new), old_root, root_of(LEAVES[:new]))
    for history in (rewritten, rewritten[:rewritten_at] + LEAVES[rewritten_at + 1 : new]):
        size = len(history)
        if size < old:
            continue
        forged_root = root_of(history)
        for attempt in (consistency_path(history, old), consistency_path(LEAVES, old, new)):
            with pytest.raises(LogInconsistent):
                verify_consistency(old, size, attempt, old_root, forged_root)


@given(data=st.data())
def test_a_consistency_proof_with_a_flipped_bit_or_another_length_is_rejected(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, 70))
    old = data.draw(st.integers(1, new - 1))
    roots = root_of(LEAVES[:old]), root_of(LEAVES[:new])
    found = consistency_path(LEAVES, old, new)
    at, bit = data.draw(st.integers(0, len(found) - 1)), data.draw(st.integers(0, 255))
    bad_path = (*found[:at], flipped(found[at], bit), *found[at + 1 :])
    wrong = [
        (old, new, bad_path, *roots),
        (old, new, found, flipped(roots[0], bit), roots[1]),
        (old, new, found, roots[0], flipped(roots[1], bit)),
        (old, new, found[:-1], *roots),
        (old, new, (*found, LEAVES[0]), *roots),
        (old, new, (), *roots),
    ]
    for claim in wrong:
        with pytest.raises(LogInconsistent):
            verify_consistency(*claim)


ROOT_5, ROOT_6 = ORACLE.root(5), ORACLE.root(6)


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        ((0, 5, (), EMPTY_ROOT, ROOT_5), None),
        ((0, 0, (), EMPTY_ROOT, EMPTY_ROOT), None),
        ((5, 5, (), ROOT_5, ROOT_5), None),
        ((5, 5, (), ROOT_5, ROOT_6), "forked"),
        ((5, 5, (ROOT_5,), ROOT_5, ROOT_5), "too long"),
        ((0, 5, (ROOT_5,), EMPTY_ROOT, ROOT_5), "too long"),
        ((0, 5, (), ROOT_5, ROOT_5), "an empty log has another root"),
        ((0, 0, (), ROOT_5, ROOT_5), "an empty log has another root"),
        ((6, 5, (), ROOT_6, ROOT_5), "only grows"),
        ((-1, 5, (), ROOT_6, ROOT_5), "only grows"),
        ((5, MAX_SIZE + 1, (), ROOT_5, ROOT_6), "only grows"),
        ((5, 6, (b"short",), ROOT_5, ROOT_6), "5 bytes where an SM3 hash"),
        ((5, 6, (), b"", ROOT_6), "0 bytes where an SM3 hash"),
    ],
)
def test_edge_cases_of_consistency(claim: tuple[int, int, tuple[bytes, ...], bytes, bytes], reason: str | None) -> None:
    if reason is None:
        verify_consistency(*claim)
        return
    with pytest.raises(LogInconsistent, match=re.escape(reason)):
        verify_consistency(*claim)


@pytest.mark.parametrize(("index", "size", "claimed"), [(0, 2, 4), (0, 4, 2), (6, 7, 14), (0, 1, 2), (1, 2, 3)])
def test_an_inclusion_proof_does_not_hold_in_a_tree_of_another_height(index: int, size: int, claimed: int) -> None:
    verify_inclusion(LEAVES[index], index, size, inclusion_path(LEAVES, index, size), ORACLE.root(size))
    with pytest.raises(LogInconsistent, match=r"too long|too short|another root"):
        verify_inclusion(LEAVES[index], index, claimed, inclusion_path(LEAVES, index, size), ORACLE.root(size))


@pytest.mark.parametrize(
    ("sizes", "claimed", "reason"),
    [
        ((7, 8), (3, 4), "too long"),  # both roots would come out right, each with the same subtree before it
        ((6, 8), (2, 4), "too long"),
        ((2, 4), (2, 8), "too short"),  # the root of 4 entries would pass as that of 8
        ((3, 4), (3, 8), "too short"),
    ],
)
def test_a_consistency_proof_does_not_hold_between_trees_of_other_heights(
    sizes: tuple[int, int], claimed: tuple[int, int], reason: str
) -> None:
    found, roots = consistency_path(LEAVES, *sizes), [ORACLE.root(size) for size in sizes]
    verify_consistency(*sizes, found, *roots)
    with pytest.raises(LogInconsistent, match=reason):
        verify_consistency(*claimed, found, *roots)


def test_a_hash_of_another_length_is_no_part_of_an_inclusion_proof() -> None:
    with pytest.raises(LogInconsistent, match="31 bytes"):
        verify_inclusion(LEAVES[0], 0, 2, [LEAVES[1][:31]], root_of(LEAVES[:2]))


def test_a_path_of_endless_length_is_left_at_once() -> None:
    with pytest.raises(LogInconsistent, match="too long"):
        verify_inclusion(LEAVES[0], 0, 2, [LEAVES[1]] * 100_000, root_of(LEAVES[:2]))


@pytest.mark.parametrize(("index", "size"), [(5, 5), (-1, 5), (0, 0), (0, 71), (0, -1)])
def test_an_inclusion_path_outside_the_log_is_refused(index: int, size: int) -> None:
    with pytest.raises(OutsideLog):
        inclusion_path(LEAVES, index, size)


@pytest.mark.parametrize(("old", "new"), [(6, 5), (-1, 5), (5, 71)])
def test_a_consistency_path_outside_the_log_is_refused(old: int, new: int) -> None:
    with pytest.raises(OutsideLog):
        consistency_path(LEAVES, old, new)


@given(before=st.integers(0, 40), after=st.integers(0, 30))
def test_a_frontier_continues_from_its_encoding(before: int, after: int) -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:before])
    restored = Frontier.decode(frontier.encode())
    assert (restored.size, restored.hashes) == (before, frontier.hashes)
    restored.extend(LEAVES[before : before + after])
    assert restored.root() == ORACLE.root(before + after)
    assert frontier.root() == ORACLE.root(before)


def test_the_encoding_of_a_frontier_is_pinned() -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:3])
    assert frontier.encode() == bytes([0, 0, 0, 0, 0, 0, 0, 3]) + node_hash(*LEAVES[:2]) + LEAVES[2]
    assert Frontier().encode() == bytes(8)


@pytest.mark.parametrize(
    "encoding",
    [
        b"",
        bytes(7),
        bytes(9),
        bytes(8) + LEAVES[0],
        bytes([0] * 7 + [1]),
        bytes([0] * 7 + [1]) + LEAVES[0][:31],
        b"\x80" + bytes(7) + LEAVES[0],
    ],
)
def test_a_malformed_frontier_is_rejected(encoding: bytes) -> None:
    with pytest.raises(LogInconsistent, match="frontier"):
        Frontier.decode(encoding)


def test_a_copy_of_a_frontier_goes_its_own_way() -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:5])
    twin = frontier.copy()
    twin.append(LEAVES[5])
    assert (frontier.size, frontier.root()) == (5, ROOT_5)
    assert (twin.size, twin.root()) == (6, ROOT_6)


def test_a_frontier_refuses_what_is_no_hash_and_stays_as_it_was() -> None:
    frontier = Frontier()
    frontier.extend(LEAVES[:5])
    with pytest.raises(LogInconsistent):
        frontier.append(b"an entry instead of its hash")
    assert frontier.root() == ROOT_5


def test_a_full_frontier_refuses_another_leaf() -> None:
    full = Frontier.decode(MAX_SIZE.to_bytes(8, "big") + LEAVES[0] * 63)
    with pytest.raises(LogInconsistent, match="start a new log"):
        full.append(LEAVES[0])
