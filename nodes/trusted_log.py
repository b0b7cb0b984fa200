"""One log of the hub as this node has verified it: every leaf counted and hashed, every checkpoint compared.

The rules of this module, in the order in which they are checked:
1. Entries arrive without a gap (`INDEX_SKIPPED`) and never twice (`INDEX_REPEATED`).
2. A checkpoint never goes back, in size or in time, behind one that was accepted before (`CHECKPOINT_OLD`).
3. A checkpoint covers no entry that was not sent (`ENTRY_HIDDEN`); the hub sends entries before the
   checkpoint over them.
4. The root it signs is the root of exactly the entries that were sent (`LOG_FORKED`).

No IO. A checkpoint may be behind the entries (more were sent while it was signed): the roots of the sizes
since the last checkpoint are remembered for that.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from nodes.errors import Alarm, AlarmKind
from trust.checkpoint import Checkpoint
from trust.errors import LogInconsistent
from trust.merkle import Frontier, leaf_hash
from trust.suite import HASH_SIZE

ROOTS_REMEMBERED: Final = 4096
"""Sizes since the last checkpoint of which the root is kept; an honest hub signs every few seconds."""


@dataclass(frozen=True, kw_only=True)
class LogHead:
    """What is stored of a log's head. `checkpoint_document` is the signed document as it travelled.

    `verified_ms` is this node's clock when the checkpoint was accepted; the last three are None before the
    first one. `recent_roots` are the roots, 32 bytes each, of the last sizes up to `size`; both byte
    strings are empty for a log of which only heads are seen (the usage log).
    """

    origin: str
    size: int
    frontier: bytes
    recent_roots: bytes
    checkpoint: Checkpoint | None
    checkpoint_document: bytes | None
    verified_ms: int | None


class TrustedLog:
    """The verified head of one log: its frontier and its newest accepted checkpoint."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.checkpoint: Checkpoint | None = None
        self._document: bytes | None = None
        self._verified_ms: int | None = None
        self._frontier = Frontier()
        self._roots: OrderedDict[int, bytes] = OrderedDict({0: self._frontier.root()})

    @classmethod
    def restore(cls, head: LogHead) -> TrustedLog:
        """Continue from a stored head. Raises trust.errors.LogInconsistent if it is damaged."""
        log = cls(head.origin)
        log._frontier = Frontier.decode(head.frontier)
        roots = [head.recent_roots[at : at + HASH_SIZE] for at in range(0, len(head.recent_roots), HASH_SIZE)]
        log._roots = OrderedDict(enumerate(roots, start=log.size - len(roots) + 1))
        if log._roots.get(log.size) != log._frontier.root():
            raise LogInconsistent(f"the stored head of log {head.origin} is damaged; restore the node's database")
        log.checkpoint, log._document, log._verified_ms = (
            head.checkpoint,
            head.checkpoint_document,
            head.verified_ms,
        )
        return log

    @property
    def size(self) -> int:
        """How many entries were verified and appended."""
        return self._frontier.size

    @property
    def fresh_as_of_ms(self) -> int | None:
        """The moment up to which this node knows every entry.

        It is the checkpoint's time, never later than its arrival: a checkpoint that
        is dated ahead of this clock would otherwise make an old state look fresh for as long.
        """
        if self.checkpoint is None or self._verified_ms is None:
            return None
        return min(self.checkpoint.time_ms, self._verified_ms)

    def head(self) -> LogHead:
        """Return what is to be stored."""
        return LogHead(
            origin=self.origin,
            size=self.size,
            frontier=self._frontier.encode(),
            recent_roots=b"".join(self._roots.values()),
            checkpoint=self.checkpoint,
            checkpoint_document=self._document,
            verified_ms=self._verified_ms,
        )

    def verify_next(self, first_index: int) -> None:
        """Rule 1. Raises Alarm unless the entries from `first_index` are the next ones."""
        if first_index > self.size:
            detail = f"entries up to {self.size} are here, the next ones sent begin at {first_index}"
            raise Alarm(AlarmKind.INDEX_SKIPPED, self.origin, detail)
        if first_index < self.size:
            detail = f"entries up to {self.size} are here, the next ones sent begin at {first_index}"
            raise Alarm(AlarmKind.INDEX_REPEATED, self.origin, detail)

    def append(self, leaf: bytes) -> None:
        """Count and hash one leaf, whose signatures the caller has verified."""
        self._frontier.append(leaf_hash(leaf))
        self._roots[self.size] = self._frontier.root()
        if len(self._roots) > ROOTS_REMEMBERED:
            self._roots.popitem(last=False)

    def accept(self, checkpoint: Checkpoint, document: bytes, now_ms: int) -> None:
        """Rules 2 to 4, on a checkpoint of this log whose signature was verified.

        `document` is the checkpoint as it travelled. Raises Alarm; then nothing has changed.
        """
        last = self.checkpoint
        if last is not None and checkpoint.size < last.size:
            detail = f"it covers {checkpoint.size} entries, an earlier one covered {last.size}"
            raise Alarm(AlarmKind.CHECKPOINT_OLD, self.origin, detail)
        if last is not None and checkpoint.time_ms < last.time_ms:
            detail = f"it is dated {last.time_ms - checkpoint.time_ms} ms before one that was accepted earlier"
            raise Alarm(AlarmKind.CHECKPOINT_OLD, self.origin, detail)
        if checkpoint.size > self.size:
            detail = f"it covers {checkpoint.size} entries, {self.size} were sent"
            raise Alarm(AlarmKind.ENTRY_HIDDEN, self.origin, detail)
        root = self._roots.get(checkpoint.size)
        if root is None:
            detail = f"it covers {checkpoint.size} entries, long behind the {self.size} that were sent"
            raise Alarm(AlarmKind.CHECKPOINT_OLD, self.origin, detail)
        if not hmac.compare_digest(root, checkpoint.root):
            detail = (
                f"the {checkpoint.size} entries that were sent have the root {root.hex()}, "
                f"the checkpoint signs {checkpoint.root.hex()}"
            )
            raise Alarm(AlarmKind.LOG_FORKED, self.origin, detail)
        self.checkpoint, self._document, self._verified_ms = checkpoint, document, now_ms
        while next(iter(self._roots)) < checkpoint.size:
            self._roots.popitem(last=False)
