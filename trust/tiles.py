"""A Merkle log in tiles of 256 hashes, as in C2SP tlog-tiles: proofs from a few small blobs at any size.

The rules of this module:
1. Tile (level, index) holds the roots of complete subtrees of 256^level leaves, from number 256*index on, 32
   bytes each; level 0 holds the leaf hashes. The last tile of a level may be partly filled.
2. A hash enters a tile only when its subtree is complete, so a hash below the size never changes: a tile that
   has grown still serves every smaller size, and readers need no lock against the writer.
3. Tiles are written before the size is advanced. Hashes beyond the size are what an interrupted append left
   behind; they are ignored, and the next append overwrites them. The caller stores the size after (or with)
   the tiles and lets one writer at a time append.
4. A tile that is missing or shorter than the size demands is a broken store: LogInconsistent, never a wrong
   proof.

A log of 10,000,000 entries is 39,217 tiles of 8 KiB; an inclusion proof reads at most six of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from trust.errors import LogInconsistent
from trust.merkle import (
    MAX_SIZE,
    OutsideLog,
    complete_levels,
    complete_nodes,
    consistency_ranges,
    fold_right,
    inclusion_ranges,
    path_of,
    require_hash,
    subtree_root,
)
from trust.suite import HASH_SIZE

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
TILE_BYTES: Final = TILE_WIDTH * HASH_SIZE


class TileStore(Protocol):
    """Where the tiles of one log live; implementations keep bytes and know nothing of trees."""

    def get(self, level: int, index: int) -> bytes | None:
        """Return what was last put there, or None."""

    def put(self, level: int, index: int, hashes: bytes) -> None:
        """Store a tile of 1 to 256 hashes in place of what was there."""


class MemoryTileStore:
    """Tiles in a dictionary: for tests and for trees that live as long as a job (the subjects of a batch)."""

    def __init__(self) -> None:
        self._tiles: dict[tuple[int, int], bytes] = {}

    def get(self, level: int, index: int) -> bytes | None:
        """Return what was last put there, or None."""
        return self._tiles.get((level, index))

    def put(self, level: int, index: int, hashes: bytes) -> None:
        """Store a tile in place of what was there."""
        self._tiles[level, index] = hashes


@dataclass(slots=True)
class _Edge:
    """The growing tile of one level during an append."""

    index: int
    hashes: bytearray


class TiledLog:
    """An append-only log of leaf hashes over a tile store; the size is the caller's to keep."""

    def __init__(self, store: TileStore, size: int = 0) -> None:
        """Open the log at a size (in leaves) that was reached before; nothing is read yet."""
        if not 0 <= size <= MAX_SIZE:
            raise OutsideLog(f"a log cannot be opened at size {size}; it holds 0 to {MAX_SIZE} entries")
        self._store = store
        self._size = size

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self._size

    def append_many(self, leaf_hashes: Iterable[bytes]) -> None:
        """Append leaf hashes (32 bytes each) in order, writing each touched tile once.

        The iterable is streamed: memory stays at one tile a level. Raises LogInconsistent for a value that
        is no hash or a store that lost a tile; the log then has the size it had before, whatever was
        written.
        """
        edges: dict[int, _Edge] = {}
        leaves = self._edge(edges, 0)
        added = 0
        for leaf in leaf_hashes:
            require_hash(leaf, "leaf to append")
            leaves.hashes += leaf
            added += 1
            if len(leaves.hashes) == TILE_BYTES:
                self._close(edges, 0)
        if self._size + added > MAX_SIZE:
            raise LogInconsistent(f"a log holds at most {MAX_SIZE} entries; start a new log under another origin")
        if added:
            for level, edge in edges.items():
                if edge.hashes:
                    self._store.put(level, edge.index, bytes(edge.hashes))
        self._size += added

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves (default: all). Raises OutsideLog beyond the size."""
        node = self._reader()
        return fold_right([node(*at) for at in complete_nodes(0, self._within(size))])

    def inclusion_proof(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the path that proves leaf `index` among the first `size` leaves (RFC 9162, 2.1.3.1).

        Raises OutsideLog unless 0 <= index < size <= own size, LogInconsistent if the store lost a tile.
        """
        ((_, path),) = self.inclusion_proofs((index,), size)
        return path

    def inclusion_proofs(
        self, indexes: Iterable[int], size: int | None = None
    ) -> list[tuple[bytes, tuple[bytes, ...]]]:
        """Return (leaf hash, path) of each index; what the paths share is read and hashed once.

        Raises as `inclusion_proof`.
        """
        node, within = self._reader(), self._within(size)
        paths = [(index, path_of(inclusion_ranges(index, within), node)) for index in indexes]
        return [(node(0, index), path) for index, path in paths]

    def consistency_proof(self, old_size: int, new_size: int | None = None) -> tuple[bytes, ...]:
        """Return the path that proves the tree of `new_size` leaves to extend that of `old_size` (2.1.4.1).

        Raises OutsideLog unless 0 <= old_size <= new_size <= own size, LogInconsistent if the store lost a
        tile.
        """
        return path_of(consistency_ranges(old_size, self._within(new_size)), self._reader())

    def _within(self, size: int | None) -> int:
        if size is None:
            return self._size
        if not 0 <= size <= self._size:
            raise OutsideLog(f"size {size} was asked for, the log has {self._size} entries; ask for one it has had")
        return size

    def _reader(self) -> Callable[[int, int], bytes]:
        """Return a reader of complete nodes by (height, index) that fetches and hashes each tile once."""
        tiles: dict[tuple[int, int], list[bytes]] = {}

        def node(height: int, index: int) -> bytes:
            level, within = divmod(height, TILE_HEIGHT)
            tile_index, offset = divmod(index << within, TILE_WIDTH)
            at = (level, tile_index)
            if at not in tiles:
                width = min(TILE_WIDTH, (self._size >> (TILE_HEIGHT * level)) - tile_index * TILE_WIDTH)
                tiles[at] = complete_levels(self._read(level, tile_index, width))
            begin = (offset >> within) * HASH_SIZE
            return tiles[at][within][begin : begin + HASH_SIZE]

        return node

    def _read(self, level: int, index: int, width: int) -> bytes:
        hashes = self._store.get(level, index)
        if hashes is None or len(hashes) < width * HASH_SIZE:
            held = 0 if hashes is None else len(hashes)
            raise LogInconsistent(
                f"tile {index} of level {level} has {held} bytes where a log of {self._size} entries needs "
                f"{width * HASH_SIZE}: the store lost data; restore a backup or rebuild it from the entries"
            )
        return hashes[: width * HASH_SIZE]

    def _edge(self, edges: dict[int, _Edge], level: int) -> _Edge:
        """Return the growing tile of a level, loading what the log already has of it."""
        if level not in edges:
            index, width = divmod(self._size >> (TILE_HEIGHT * level), TILE_WIDTH)
            edges[level] = _Edge(index, bytearray(self._read(level, index, width) if width else b""))
        return edges[level]

    def _close(self, edges: dict[int, _Edge], level: int) -> None:
        """Store a full tile, begin the next one and hand its root to the level above."""
        full = self._edge(edges, level)
        hashes = bytes(full.hashes)
        self._store.put(level, full.index, hashes)
        full.index += 1
        full.hashes.clear()
        above = self._edge(edges, level + 1)
        above.hashes += subtree_root(hashes)
        if len(above.hashes) == TILE_BYTES:
            self._close(edges, level + 1)
