"""The node's verified replica of the hub's logs: all that decides what to believe of the hub, without IO.

The rules, in the order in which they are checked; each names the alarm that it raises:
 1. After an alarm nothing more is believed until an operator has looked: the same alarm is raised again.
 2. Only the directory and this member's own consent log are streamed (`ORIGIN_FOREIGN`).
 3. Entries come without gaps (`INDEX_SKIPPED`) and never twice (`INDEX_REPEATED`).
 4. A directory entry carries the signature of whoever may make it, and the hub's (`ENTRY_FORGED`); a key of
    an enterprise is replaced only by its next version, approved by a known operator
    (`SUBJECT_KEY_SWAPPED`); everything else that breaks the directory's rules is `ENTRY_INVALID`.
 5. A consent entry carries the signature of its subject's key of that time, and the hub's (`ENTRY_FORGED`),
    and fits the state of its log (`ENTRY_INVALID`).
 6. A checkpoint is signed by the pinned hub key (`CHECKPOINT_FORGED`), never goes back in size or time
    (`CHECKPOINT_OLD`), covers no entry that was not sent (`ENTRY_HIDDEN`), and signs the root of exactly
    the entries that were sent (`LOG_FORKED`).
 7. An entry of another member's consent log arrives under this member's own numbering without gaps, is
    proved to be in that log under a checkpoint of the pinned key (`INCLUSION_UNPROVED`), and two
    checkpoints of that log never contradict each other (`LOG_FORKED`, `CHECKPOINT_OLD`). Then rules 4 and 5
    hold for it.

What was verified is visible at once; what has to be stored is collected until `drain`. A revocation
therefore counts before it is durable, and a grant that was lost in a crash is sent again, since positions
are stored with their entries.

Not safe for several threads: everything happens in the event loop's thread. What takes long over all consents of a book is decided in
another one, from a snapshot of it (`consent.columns`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from consent.book import Change, ConsentBook
from consent.decision import Freshness
from consent.directory import Directory
from consent.errors import ConsentError
from nodes.errors import Alarm, AlarmKind
from nodes.trusted_log import LogHead, TrustedLog
from trust.checkpoint import Checkpoint, open_checkpoint
from trust.document import SignedDocument
from trust.errors import SignatureInvalid, TrustError
from trust.merkle import leaf_hash, verify_inclusion
from trust.sm2 import PublicKey

DIRECTORY_ORIGIN: Final = "directory"
CONSENT_PREFIX: Final = "consent/"
USAGE_ORIGIN: Final = "usage"
MAX_CLOCK_SKEW_MS: Final = 60_000
"""How far a checkpoint may be dated ahead of this clock before the clocks are said to differ (CLOCK_SKEW)."""

_SUBJECT_KEY_TYPES: Final = frozenset(
    {"application/vnd.xinqiao.subject-key+json", "application/vnd.xinqiao.subject-key-revoked+json"}
)


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """A verified leaf at its place."""

    origin: str
    index: int
    leaf: bytes


@dataclass(frozen=True, kw_only=True)
class InboxEntry:
    """A verified entry of another member's consent log, under this member's own numbering."""

    seq: int
    origin: str
    index: int
    leaf: bytes


@dataclass(frozen=True, kw_only=True)
class Pending:
    """What was verified and is not stored yet; belongs into one transaction."""

    entries: tuple[LogEntry, ...]
    inbox: tuple[InboxEntry, ...]
    changes: tuple[tuple[str, Change], ...]
    heads: tuple[LogHead, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to store."""
        return not (self.entries or self.inbox or self.changes or self.heads)


@dataclass(kw_only=True)
class _Collected:
    entries: list[LogEntry] = field(default_factory=list)
    inbox: list[InboxEntry] = field(default_factory=list)
    changes: list[tuple[str, Change]] = field(default_factory=list)
    touched: dict[str, None] = field(default_factory=dict)


class Replica:
    """The trusted set of one node. Build it empty, or with what `nodes.replica_store` loaded."""

    def __init__(
        self,
        *,
        member_id: str,
        hub_key: PublicKey,
        directory: Directory | None = None,
        books: Iterable[tuple[str, ConsentBook]] = (),
        heads: Iterable[LogHead] = (),
        grantee_seq: int = 0,
        alarm: Alarm | None = None,
    ) -> None:
        self.member_id = member_id
        self.hub_key = hub_key
        self.own_origin = CONSENT_PREFIX + member_id
        self.directory = directory if directory is not None else Directory()
        self._books = dict(books)
        self._books.setdefault(self.own_origin, ConsentBook(member_id))
        self._logs = {origin: TrustedLog(origin) for origin in (DIRECTORY_ORIGIN, self.own_origin)}
        self._foreign: dict[str, LogHead] = {}
        for head in heads:
            if head.origin in self._logs:
                self._logs[head.origin] = TrustedLog.restore(head)
            else:
                self._foreign[head.origin] = head
        self.grantee_seq = grantee_seq
        self.alarm = alarm
        self._collected = _Collected()

    # -- what others ask
    # ---------------------------------------------------------------------------------------------

    @property
    def own_book(self) -> ConsentBook:
        """The consents for this member's own data: what the provider decides from."""
        return self._books[self.own_origin]

    def granted_book(self, provider: str) -> ConsentBook | None:
        """Return the consents of another provider that name this member, as far as they were sent."""
        return self._books.get(CONSENT_PREFIX + provider)

    def positions(self) -> tuple[tuple[str, int], ...]:
        """Return (origin, number of entries held) of each streamed log."""
        return tuple((origin, log.size) for origin, log in self._logs.items())

    def checkpoint(self, origin: str) -> Checkpoint | None:
        """Return the newest accepted checkpoint of a log, or None."""
        log = self._logs.get(origin)
        if log is not None:
            return log.checkpoint
        foreign = self._foreign.get(origin)
        return foreign.checkpoint if foreign is not None else None

    def freshness(self, now_ms: int, max_staleness_ms: int) -> Freshness:
        """Say how well the own consent log is known at `now_ms`: the input of the decision (protocols.md 2).

        Fails closed: inconsistent after an alarm; no checkpoint at all if the newest is dated more than a
        minute ahead of this clock, because then nobody knows how old it is. The directory has to be as
        fresh: it holds the keys.
        """
        known = [log.fresh_as_of_ms for log in self._logs.values()]
        ahead = any(
            log.checkpoint is not None and log.checkpoint.time_ms - now_ms > MAX_CLOCK_SKEW_MS
            for log in self._logs.values()
        )
        times = [time for time in known if time is not None]
        complete = len(times) == len(known) and not ahead
        return Freshness(
            checkpoint_ms=min(times) if complete else None,
            max_staleness_ms=max_staleness_ms,
            consistent=self.alarm is None,
        )

    # -- what the hub sends
    # ------------------------------------------------------------------------------------------

    def apply_entries(self, origin: str, first_index: int, leaves: Sequence[bytes]) -> tuple[Change, ...]:
        """Rules 1 to 5 on the next entries of a streamed log; returns what they changed in the own consent book.

        Raises Alarm at the first entry that breaks a rule; the ones before it stay applied.
        """
        self._refuse_after_alarm()
        log = self._logs.get(origin)
        if log is None:
            raise self._latch(Alarm(AlarmKind.ORIGIN_FOREIGN, origin, "its entries were sent unasked"))
        changes: list[Change] = []
        try:
            log.verify_next(first_index)
            for leaf in leaves:
                index = log.size
                if origin == DIRECTORY_ORIGIN:
                    self._apply_to_directory(index, leaf)
                else:
                    changes.append(self._apply_to_book(origin, index, leaf))
                log.append(leaf)
                self._collected.entries.append(LogEntry(origin=origin, index=index, leaf=leaf))
                self._collected.touched[origin] = None
        except Alarm as alarm:
            raise self._latch(alarm) from alarm.__cause__
        return tuple(changes)

    def apply_checkpoint(self, document: bytes, now_ms: int) -> Checkpoint:
        """Rules 1, 2 and 6 on a signed checkpoint of a streamed log, received at `now_ms`. Raises Alarm."""
        self._refuse_after_alarm()
        try:
            checkpoint = self._open_checkpoint(document)
            log = self._logs.get(checkpoint.origin)
            if log is None:
                raise Alarm(AlarmKind.ORIGIN_FOREIGN, checkpoint.origin, "its checkpoint was sent unasked")
            log.accept(checkpoint, document, now_ms)
        except Alarm as alarm:
            raise self._latch(alarm) from alarm.__cause__
        self._collected.touched[checkpoint.origin] = None
        return checkpoint

    def apply_grantee_entry(
        self,
        *,
        seq: int,
        origin: str,
        index: int,
        leaf: bytes,
        checkpoint: bytes,
        path: Sequence[bytes],
        now_ms: int,
    ) -> Change:
        """Rules 1 and 7 on an entry of another provider's consent log that names this member. Raises Alarm."""
        self._refuse_after_alarm()
        try:
            self._verify_next_in_inbox(seq, origin)
            opened = self._open_checkpoint(checkpoint)
            self._verify_proved(opened, origin, index, leaf, path)
            head = self._next_foreign_head(opened, checkpoint, now_ms)
            change = self._apply_to_book(origin, index, leaf)
        except Alarm as alarm:
            raise self._latch(alarm) from alarm.__cause__
        self._foreign[origin] = head
        self.grantee_seq = seq
        self._collected.inbox.append(InboxEntry(seq=seq, origin=origin, index=index, leaf=leaf))
        self._collected.touched[origin] = None
        return change

    def raise_alarm(self, alarm: Alarm) -> Alarm:
        """Latch an alarm that was found elsewhere (the monitor of the usage log); the first one stays."""
        return self._latch(alarm)

    def clear_alarm(self) -> None:
        """Go on from the verified state after an operator has looked. The hub must continue what it showed before."""
        self.alarm = None

    def drain(self) -> Pending:
        """Return what has to be stored since the last call, and forget it here."""
        collected, self._collected = self._collected, _Collected()
        heads = [self._logs[o].head() if o in self._logs else self._foreign[o] for o in collected.touched]
        return Pending(
            entries=tuple(collected.entries),
            inbox=tuple(collected.inbox),
            changes=tuple(collected.changes),
            heads=tuple(heads),
        )

    # -- the rules
    # ---------------------------------------------------------------------------------------------------

    def _refuse_after_alarm(self) -> None:
        if self.alarm is not None:
            raise self.alarm

    def _latch(self, alarm: Alarm) -> Alarm:
        if self.alarm is None:
            self.alarm = alarm
        return alarm

    def _apply_to_directory(self, index: int, leaf: bytes) -> None:
        document = _decode(DIRECTORY_ORIGIN, index, leaf)
        try:
            self.directory.apply(index, document, self.hub_key)
        except (TrustError, ConsentError) as error:
            if document.payload_type in _SUBJECT_KEY_TYPES:
                kind = AlarmKind.SUBJECT_KEY_SWAPPED
            else:
                kind = AlarmKind.ENTRY_FORGED if _forged(error) else AlarmKind.ENTRY_INVALID
            raise Alarm(kind, DIRECTORY_ORIGIN, f"entry {index}: {error}") from error

    def _apply_to_book(self, origin: str, index: int, leaf: bytes) -> Change:
        document = _decode(origin, index, leaf)
        book = self._books.get(origin)
        if book is None:
            book = self._books[origin] = ConsentBook(origin.removeprefix(CONSENT_PREFIX))
        try:
            change = book.apply_entry(index, document, self.directory, self.hub_key)
        except (TrustError, ConsentError) as error:
            kind = AlarmKind.ENTRY_FORGED if _forged(error) else AlarmKind.ENTRY_INVALID
            raise Alarm(kind, origin, f"entry {index}: {error}") from error
        self._collected.changes.append((origin, change))
        return change

    def _open_checkpoint(self, document: bytes) -> Checkpoint:
        try:
            return open_checkpoint(SignedDocument.decode(document), self.hub_key)
        except TrustError as error:
            raise Alarm(AlarmKind.CHECKPOINT_FORGED, "unknown", str(error)) from error

    def _verify_next_in_inbox(self, seq: int, origin: str) -> None:
        if not origin.startswith(CONSENT_PREFIX) or origin == self.own_origin:
            raise Alarm(AlarmKind.ORIGIN_FOREIGN, origin, "it is not the consent log of another member")
        if seq != self.grantee_seq + 1:
            kind = AlarmKind.INDEX_SKIPPED if seq > self.grantee_seq else AlarmKind.INDEX_REPEATED
            raise Alarm(kind, origin, f"entry {seq} of the inbox was sent after {self.grantee_seq}")

    def _verify_proved(
        self, checkpoint: Checkpoint, origin: str, index: int, leaf: bytes, path: Sequence[bytes]
    ) -> None:
        if checkpoint.origin != origin:
            detail = f"entry {index} came with a checkpoint of log {checkpoint.origin}"
            raise Alarm(AlarmKind.INCLUSION_UNPROVED, origin, detail)
        try:
            verify_inclusion(leaf_hash(leaf), index, checkpoint.size, path, checkpoint.root)
        except TrustError as error:
            raise Alarm(AlarmKind.INCLUSION_UNPROVED, origin, str(error)) from error

    def _next_foreign_head(self, checkpoint: Checkpoint, document: bytes, now_ms: int) -> LogHead:
        """Compare with the last checkpoint seen of a log of which this node sees single entries only."""
        origin = checkpoint.origin
        last = self.checkpoint(origin)
        if last is not None and checkpoint.size == last.size and checkpoint.root != last.root:
            raise Alarm(AlarmKind.LOG_FORKED, origin, f"two roots were shown for its size {last.size}")
        if last is not None and (checkpoint.size < last.size or checkpoint.time_ms < last.time_ms):
            detail = f"it covers {checkpoint.size} entries, an earlier one covered {last.size}, or its time went back"
            raise Alarm(AlarmKind.CHECKPOINT_OLD, origin, detail)
        return LogHead(
            origin=origin,
            size=checkpoint.size,
            frontier=b"",
            recent_roots=b"",
            checkpoint=checkpoint,
            checkpoint_document=document,
            verified_ms=now_ms,
        )


def _decode(origin: str, index: int, leaf: bytes) -> SignedDocument:
    try:
        return SignedDocument.decode(leaf)
    except TrustError as error:
        raise Alarm(AlarmKind.ENTRY_INVALID, origin, f"entry {index}: {error}") from error


def _forged(error: Exception) -> bool:
    return isinstance(error, SignatureInvalid) or getattr(error, "code", "") == SignatureInvalid.code
