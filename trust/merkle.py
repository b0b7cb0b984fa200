"""Merkle trees over SM3 with the shapes of RFC 9162, section 2.1: hashes, roots, proofs, verification.

The rules of this module:
1. A leaf is hashed with the prefix 0x00, an inner node with 0x01, so that no node can be passed off as a
   leaf.
2. The root of no leaves is SM3 of nothing; a tree of n leaves splits at the largest power of two below n.
3. A proof is accepted only if every hash in it was needed, none was missing, and it ends in the expected
   root.
4. Whoever asks for a proof that cannot exist (an entry outside the log) gets `OutsideLog`; whoever presents
   a proof that does not hold gets `LogInconsistent`, which is an alarm.

A leaf hash hides nothing that can be guessed: neighbours in a proof are seen by its receiver, so data with
little entropy (a credit code, say) has to carry a random salt before it becomes a leaf.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar, Final

from trust.errors import LogInconsistent, TrustError
from trust.suite import HASH_SIZE, sm3

MAX_SIZE: Final = 2**63 - 1
"""The largest number of leaves: what a signed 64-bit column of a database can count."""

_LEAF_PREFIX: Final = b"\x00"
_NODE_PREFIX: Final = b"\x01"
_SIZE_BYTES: Final = 8

EMPTY_ROOT: Final = sm3(b"")
"""The root of a log without entries (RFC 9162, 2.1.1)."""


class OutsideLog(TrustError):
    """A proof or a root was asked for that this log cannot have; a wrong question, not a broken log."""

    code: ClassVar[str] = "OUTSIDE_LOG"


def leaf_hash(data: bytes) -> bytes:
    """Hash the bytes of one entry: SM3(0x00 || data), 32 bytes (RFC 9162, 2.1.1)."""
    return sm3(_LEAF_PREFIX + data)


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children of 32 bytes each: SM3(0x01 || left || right) (RFC 9162, 2.1.1)."""
    return sm3(_NODE_PREFIX + left + right)


def complete_levels(hashes: bytes) -> list[bytes]:
    """Return the complete nodes of every height over a base, that height by height; the base is the first.

    `hashes` is the concatenation of node hashes of equal height, 32 bytes each. A last node without a sibling
    has no parent here. The lean loop of the module: a proof in a large log is a few hundred of these pairs.
    """
    levels = [hashes]
    while len(hashes) >= 2 * HASH_SIZE:
        whole = len(hashes) - len(hashes) % (2 * HASH_SIZE)
        hashes = b"".join(
            [sm3(_NODE_PREFIX + hashes[at : at + 2 * HASH_SIZE]) for at in range(0, whole, 2 * HASH_SIZE)]
        )
        levels.append(hashes)
    return levels


def subtree_root(hashes: bytes) -> bytes:
    """Return the root of a complete subtree from its base of 2^k node hashes."""
    return complete_levels(hashes)[-1]


def fold_right(roots: Sequence[bytes]) -> bytes:
    """Join the roots of complete subtrees, largest first, into that of their range; `EMPTY_ROOT` for none."""
    if not roots:
        return EMPTY_ROOT
    joined = roots[-1]
    for root in reversed(roots[:-1]):
        joined = node_hash(root, joined)
    return joined


class Frontier:
    """The right edge of a growing tree: what is needed to append and to know the root, in at most 63 hashes.

    Invariant: `hashes` are the roots of the complete subtrees of `size` leaves, largest first, one for each
    set bit of `size`. A frontier is mutable; take a `copy` before a step that may be rolled back.
    """

    __slots__ = ("_hashes", "_size")

    def __init__(self) -> None:
        self._size = 0
        self._hashes: list[bytes] = []

    @property
    def size(self) -> int:
        """The number of leaves that were appended."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The roots of the complete subtrees, largest first."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """Append one leaf hash (32 bytes; `leaf_hash` makes it). Raises LogInconsistent if it is no hash."""
        require_hash(leaf, "leaf to append")
        if self._size == MAX_SIZE:
            raise LogInconsistent(f"a log holds at most {MAX_SIZE} entries; start a new log under another origin")
        # A set low bit of the size is a finished left sibling that waits for the node at hand.
        carry = self._size
        while carry & 1:
            leaf = node_hash(self._hashes.pop(), leaf)
            carry >>= 1
        self._hashes.append(leaf)
        self._size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append leaf hashes in order; on LogInconsistent those before the bad one have been appended."""
        for leaf in leaves:
            self.append(leaf)

    def root(self) -> bytes:
        """Return the root of all leaves so far, 32 bytes."""
        return fold_right(self._hashes)

    def copy(self) -> Frontier:
        """Return an independent frontier of the same tree."""
        twin = Frontier()
        twin._size, twin._hashes = self._size, list(self._hashes)
        return twin

    def encode(self) -> bytes:
        """Return the storage form: size in 8 bytes, big-endian, then the hashes, largest subtree first."""
        return self._size.to_bytes(_SIZE_BYTES, "big") + b"".join(self._hashes)

    @classmethod
    def decode(cls, data: bytes) -> Frontier:
        """Read the form that `encode` writes. Raises LogInconsistent if length and size do not agree."""
        size = int.from_bytes(data[:_SIZE_BYTES], "big")
        if size > MAX_SIZE or len(data) != _SIZE_BYTES + size.bit_count() * HASH_SIZE:
            raise LogInconsistent(
                f"a log frontier of {len(data)} bytes does not fit its size; rebuild it from the entries"
            )
        frontier = cls()
        frontier._size = size
        frontier._hashes = [data[at : at + HASH_SIZE] for at in range(_SIZE_BYTES, len(data), HASH_SIZE)]
        return frontier


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root over the leaf hashes in their order (RFC 9162, 2.1.1); `EMPTY_ROOT` for none."""
    frontier = Frontier()
    frontier.extend(leaf_hashes)
    return frontier.root()


Range = tuple[int, int]
"""Leaves from begin (inclusive) to end (exclusive)."""


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Return the leaf ranges whose roots make up the inclusion path, leaf side first (RFC 9162, 2.1.3.1).

    Raises OutsideLog unless 0 <= index < size.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise OutsideLog(f"no inclusion proof of entry {index} in a log of {size}; ask for an index below the size")
    begin, end = 0, size
    ranges: list[Range] = []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    ranges.reverse()
    return ranges


def consistency_ranges(old_size: int, new_size: int) -> list[Range]:
    """Return the leaf ranges whose roots make up the consistency path, in order (RFC 9162, 2.1.4.1).

    Nothing is needed from an empty log or between equal sizes.
    Raises OutsideLog unless 0 <= old_size <= new_size.
    """
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise OutsideLog(f"no consistency proof from size {old_size} to {new_size}; a log only grows")
    if old_size == 0:
        return []
    begin, end = 0, new_size
    ranges: list[Range] = []
    while old_size != end:
        middle = begin + _split(end - begin)
        if old_size <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((begin, middle))
            begin = middle
    if begin > 0:  # otherwise the old root itself is the missing part, and the verifier has it
        ranges.append((begin, end))
    ranges.reverse()
    return ranges


def complete_nodes(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (height, index at that height) of the complete subtrees that cover a range, left to right.

    It relies on what holds for the ranges of paths: they start at a multiple of a power of two that is at
    least their length.
    """
    while begin < end:
        height = (end - begin).bit_length() - 1
        yield height, begin >> height
        begin += 1 << height


def path_of(ranges: Sequence[Range], node: Callable[[int, int], bytes]) -> tuple[bytes, ...]:
    """Return the roots of the ranges, given a reader of complete nodes by (height, index)."""
    return tuple(fold_right([node(*at) for at in complete_nodes(*span)]) for span in ranges)


def inclusion_path(leaf_hashes: Sequence[bytes], index: int, size: int | None = None) -> tuple[bytes, ...]:
    """Return the path that proves leaf `index` among the first `size` leaf hashes (all, if not given).

    Costs as many hashes as there are leaves: for many proofs over one large list use `trust.tiles.TiledLog`.
    Raises OutsideLog unless 0 <= index < size <= len(leaf_hashes).
    """
    size = _size_within(leaf_hashes, size)
    return path_of(inclusion_ranges(index, size), _reader_of(leaf_hashes))


def consistency_path(leaf_hashes: Sequence[bytes], old_size: int, size: int | None = None) -> tuple[bytes, ...]:
    """Return the path that proves the first `size` leaf hashes (default: all) to extend the first `old_size`.

    Raises OutsideLog unless 0 <= old_size <= size <= len(leaf_hashes).
    """
    size = _size_within(leaf_hashes, size)
    return path_of(consistency_ranges(old_size, size), _reader_of(leaf_hashes))


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash stands at `index` of the tree with this size and root (RFC 9162, 2.1.3.2).

    Raises LogInconsistent if it is not proved, whatever the reason.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise LogInconsistent(f"an inclusion proof names entry {index} of a log of {size}; reject its sender's claim")
    _require_hashes([leaf, root, *path])
    node, last, computed = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise _unproved(f"entry {index} of the log of {size}", "its path is too long")
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            # Where the right edge has no sibling, the node rises unchanged.
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise _unproved(f"entry {index} of the log of {size}", "its path is too short")
    if not hmac.compare_digest(computed, root):
        raise _unproved(f"entry {index} of the log of {size}", f"its path ends in another root than {root.hex()}")


def verify_consistency(old_size: int, new_size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check that the tree of `new_size` leaves only appended to the one of `old_size` (RFC 9162, 2.1.4.2).

    Everything extends the empty log, and for equal sizes the roots must be equal; both with an empty path.
    Raises LogInconsistent if it is not proved, whatever the reason.
    """
    claim = f"that the log of {new_size} entries extends the one of {old_size}"
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise _unproved(claim, "a log only grows")
    _require_hashes([old_root, new_root, *path])
    for size, root in ((old_size, old_root), (new_size, new_root)):
        if size == 0 and not hmac.compare_digest(root, EMPTY_ROOT):
            raise _unproved(claim, "an empty log has another root")
    if old_size in (0, new_size):
        if path:
            raise _unproved(claim, "its path is too long")
        if old_size == new_size and not hmac.compare_digest(old_root, new_root):
            raise _unproved(claim, "two roots are shown for one size: the log was forked")
        return
    if not path:
        raise _unproved(claim, "its path is empty")
    rebuilt_old, rebuilt_new = _rebuild_roots(old_size, new_size, path, old_root, claim)
    if not hmac.compare_digest(rebuilt_old, old_root):
        raise _unproved(claim, f"its path does not lead to the old root {old_root.hex()}")
    if not hmac.compare_digest(rebuilt_new, new_root):
        raise _unproved(claim, f"its path does not lead to the new root {new_root.hex()}")


def _rebuild_roots(
    old_size: int, new_size: int, path: Sequence[bytes], old_root: bytes, claim: str
) -> tuple[bytes, bytes]:
    # An old tree of a power of two is itself the first node of the path, which the prover leaves out.
    steps = [old_root, *path] if old_size & (old_size - 1) == 0 else list(path)
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = steps[0]
    for sibling in steps[1:]:
        if last == 0:
            raise _unproved(claim, "its path is too long")
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise _unproved(claim, "its path is too short")
    return old, new


def require_hash(value: bytes, what: str) -> None:
    """Raise LogInconsistent unless the value has the length of a hash, 32 bytes."""
    if len(value) != HASH_SIZE:
        raise LogInconsistent(f"{what}: {len(value)} bytes where an SM3 hash of {HASH_SIZE} bytes belongs")


def _require_hashes(values: Sequence[bytes]) -> None:
    for value in values:
        require_hash(value, "a Merkle proof cannot be read")


def _unproved(claim: str, reason: str) -> LogInconsistent:
    return LogInconsistent(f"not proved: {claim}; {reason}. Do not rely on this log until an operator has looked")


def _split(length: int) -> int:
    """Return the largest power of two below a length of at least two."""
    return 1 << ((length - 1).bit_length() - 1)


def _size_within(leaf_hashes: Sequence[bytes], size: int | None) -> int:
    if size is None:
        return len(leaf_hashes)
    if size > len(leaf_hashes):
        raise OutsideLog(f"no proof for a size of {size}: the log holds {len(leaf_hashes)} entries")
    return size


def _reader_of(leaf_hashes: Sequence[bytes]) -> Callable[[int, int], bytes]:
    def node(height: int, index: int) -> bytes:
        first = index << height
        return subtree_root(b"".join(leaf_hashes[first : first + (1 << height)]))

    return node
