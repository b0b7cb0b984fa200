import math
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trust.rfc9162_oracle import Oracle
from trust.errors import LogInconsistent
from trust.merkle import EMPTY_ROOT, Frontier, OutsideLog, leaf_hash, verify_consistency, verify_inclusion
from trust.tiles import TILE_BYTES, TILE_WIDTH, MemoryTileStore, TiledLog

SIZE = TILE_WIDTH**2 + 2 * TILE_WIDTH + 77  # three levels of tiles, each with a partial one
LEAVES = [leaf_hash(b"entry %d" % number) for number in range(SIZE)]
ORACLE = Oracle(LEAVES)

# Every border of a tile, of a level, and one step to either side.
SIZES = [
    1,
    2,
    3,
    128,
    255,
    256,
    257,
    511,
    512,
    513,
    769,
    65279,
    65280,
    65281,
    65535,
    65536,
    65537,
    65792,
    SIZE,
]


class CountingStore(MemoryTileStore):
    def __init__(self) -> None:
        super().__init__()
        self.written, self.read = [], []

    def get(self, level: int, index: int) -> bytes | None:
        self.read.append((level, index))
        return super().get(level, index)

    def put(self, level: int, index: int, hashes: bytes) -> None:
        self.written.append((level, index))
        super().put(level, index, hashes)


def log_of(leaves: Iterable[bytes], store: MemoryTileStore | None = None) -> TiledLog:
    log = TiledLog(MemoryTileStore() if store is None else store)
    log.append_many(leaves)
    return log


@pytest.fixture(scope="module")
def big() -> TiledLog:
    return log_of(LEAVES)


@pytest.mark.parametrize("size", SIZES)
def test_roots_and_proofs_of_every_past_size_equal_the_recursive_definition(big: TiledLog, size: int) -> None:
    root = big.root(size)
    assert root == ORACLE.root(size)
    for index in {0, size // 3, size // 2, size - 1}:
        path = big.inclusion_proof(index, size)
        assert list(path) == ORACLE.path(index, size)
        verify_inclusion(LEAVES[index], index, size, path, root)
    for old in [0, *(old for old in SIZES if old <= size)]:
        path = big.consistency_proof(old, size)
        assert list(path) == ORACLE.proof(old, size)
        verify_consistency(old, size, path, ORACLE.root(old), root)


@given(data=st.data())
@settings(max_examples=60)
def test_any_proof_of_a_large_log_equals_the_recursive_definition(big: TiledLog, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, SIZE))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(0, size))
    assert list(big.inclusion_proof(index, size)) == ORACLE.path(index, size)
    assert list(big.consistency_proof(old, size)) == ORACLE.proof(old, size)


@given(steps=st.lists(st.integers(0, 700), max_size=6))
@settings(max_examples=40)
def test_appending_in_any_portions_gives_the_same_tiles_and_root(steps: list[int]) -> None:
    total = sum(steps)
    at_once, store, size, frontier = MemoryTileStore(), MemoryTileStore(), 0, Frontier()
    log_of(LEAVES[:total], at_once)
    for step in steps:
        log = TiledLog(store, size)  # opened anew each time, as after a restart
        log.append_many(iter(LEAVES[size : size + step]))
        frontier.extend(LEAVES[size : size + step])
        size += step
        assert log.size == size
        assert log.root() == frontier.root()
    for level in range(2):
        for index in range(math.ceil((total >> 8 * level) / TILE_WIDTH) + 1):
            assert store.get(level, index) == at_once.get(level, index)


def test_an_empty_log_has_the_empty_root_and_writes_nothing() -> None:
    store = CountingStore()
    log = log_of([], store)
    assert (log.size, log.root(), store.written, store.read) == (0, EMPTY_ROOT, [], [])
    assert log.consistency_proof(0) == ()


def test_an_append_writes_each_touched_tile_once_and_no_other() -> None:
    store = CountingStore()
    log = log_of(LEAVES[:65530], store)
    assert len(store.written) == len(set(store.written)) == 256 + 1
    store.written.clear()
    log.append_many(LEAVES[65530:65800])
    # The last leaf tile of the first 65,536, two more; the full tile of level 1, the next, a new level 2.
    assert sorted(store.written) == [(0, 255), (0, 256), (0, 257), (1, 0), (1, 1), (2, 0)]
    store.written.clear()
    log.append_many(LEAVES[65800:65801])
    assert store.written == [(0, 257)]
    store.written.clear()
    log.append_many([])
    assert store.written == []


def test_tiles_hold_the_roots_of_complete_subtrees_only() -> None:
    store = MemoryTileStore()
    log_of(LEAVES[:600], store)
    assert store.get(0, 1) == b"".join(LEAVES[256:512])
    assert store.get(0, 2) == b"".join(LEAVES[512:600])
    assert store.get(1, 0) == ORACLE.mth(0, 256) + ORACLE.mth(256, 512)
    assert len(store.get(0, 0)) == TILE_BYTES


def test_a_proof_reads_at_most_two_tiles_a_level_and_each_once() -> None:
    store = CountingStore()
    log = log_of(LEAVES, store)
    for index in (0, 300, 65535, 65536, SIZE - 1):
        store.read.clear()
        log.inclusion_proof(index)
        assert len(store.read) == len(set(store.read)) <= 2 * 3


@pytest.mark.parametrize("extra", [1, 200, 600])
def test_what_an_interrupted_append_left_behind_is_ignored_and_overwritten(extra: int) -> None:
    store = MemoryTileStore()
    log_of(LEAVES[:300], store)
    TiledLog(store, 300).append_many(leaf_hash(b"lost %d" % number) for number in range(extra))
    log = TiledLog(store, 300)  # the new size was never stored
    assert log.root() == ORACLE.root(300)
    assert list(log.inclusion_proof(299)) == ORACLE.path(299, 300)
    log.append_many(LEAVES[300:1000])
    assert log.root() == ORACLE.root(1000)
    assert list(log.inclusion_proof(700)) == ORACLE.path(700, 1000)


def test_a_reader_at_an_older_size_is_not_disturbed_by_the_writer() -> None:
    store = MemoryTileStore()
    reader = TiledLog(store, 0)
    for size in (200, 256, 300, 70, 600):
        writer = TiledLog(store, reader.size)
        writer.append_many(LEAVES[reader.size : reader.size + size])
        assert reader.root() == ORACLE.root(reader.size)
        reader = TiledLog(store, writer.size)


def test_a_bad_leaf_leaves_the_log_at_its_size() -> None:
    store = MemoryTileStore()
    log = log_of(LEAVES[:300], store)
    with pytest.raises(LogInconsistent, match="leaf to append"):
        log.append_many([*LEAVES[300:900], b"an entry instead of its hash"])
    assert (log.size, log.root()) == (300, ORACLE.root(300))
    log.append_many(LEAVES[300:310])
    assert log.root() == ORACLE.root(310)


@pytest.mark.parametrize("lost", [(0, 1), (0, 2), (1, 0)])
@pytest.mark.parametrize("remains", [None, 0, 31])
def test_a_lost_or_shortened_tile_is_named_and_never_becomes_a_wrong_proof(
    lost: tuple[int, int], remains: int | None
) -> None:
    store = MemoryTileStore()
    log = log_of(LEAVES[:600], store)
    if remains is None:
        del store._tiles[lost]
    else:
        store.put(*lost, store.get(*lost)[: -32 + remains])
    with pytest.raises(LogInconsistent, match=f"tile {lost[1]} of level {lost[0]}"):
        log.inclusion_proof(300)
    if lost == (0, 2):
        with pytest.raises(LogInconsistent, match="tile 2 of level 0"):
            log.append_many(LEAVES[600:700])
        assert log.size == 600


def test_a_changed_tile_gives_a_proof_that_does_not_verify() -> None:
    store = MemoryTileStore()
    log = log_of(LEAVES[:600], store)
    root = log.root()
    store.put(0, 0, LEAVES[599] + store.get(0, 0)[32:])
    with pytest.raises(LogInconsistent):
        verify_inclusion(LEAVES[5], 5, 600, log.inclusion_proof(5), root)


@pytest.mark.parametrize(
    "question",
    [
        lambda log: log.root(11),
        lambda log: log.root(-1),
        lambda log: log.inclusion_proof(10),
        lambda log: log.inclusion_proof(-1),
        lambda log: log.inclusion_proof(5, 5),
        lambda log: log.inclusion_proof(5, 11),
        lambda log: log.consistency_proof(11),
        lambda log: log.consistency_proof(5, 4),
        lambda log: log.consistency_proof(5, 11),
        lambda log: log.consistency_proof(-1),
        lambda log: TiledLog(MemoryTileStore(), -1),
        lambda log: TiledLog(MemoryTileStore(), 2**63),
    ],
)
def test_a_question_outside_the_log_is_refused_as_such(question: Callable[[TiledLog], object]) -> None:
    with pytest.raises(OutsideLog):
        question(log_of(LEAVES[:10]))


def test_many_proofs_share_what_they_read_and_are_those_of_one_by_one() -> None:
    store = CountingStore()
    log = log_of(LEAVES[:66_000], store)
    indexes = [0, 1, 255, 256, 65_535, 65_536, 65_999]
    store.read.clear()
    proofs = log.inclusion_proofs(indexes)
    assert len(store.read) == len(set(store.read))
    assert proofs == [(LEAVES[index], log.inclusion_proof(index)) for index in indexes]
    for index, (leaf, path) in zip(indexes, proofs, strict=True):
        verify_inclusion(leaf, index, 66_000, path, log.root())
