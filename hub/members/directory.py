"""The hub's live directory: the fold of the log "directory" in memory, for readers and for the writer.

Rules:
1. Readers (the event loop) see committed entries only: `current`. Whoever waits for a write that appended an entry
   sees it there when the wait is over.
2. The writer checks a new entry against `in_write`, which includes what its own open group has appended; every rule of
   `consent.directory` is checked there before the entry reaches the log, so that the log never holds an entry that a
   node refuses.
3. If a group is rolled back, the writer's copy is made anew from the readers'. An entry's signatures are computed once, by
   the writer: what goes from one copy to the other is the very object that was verified.
4. Entries of other hub processes are taken in when their notice arrives, and in any case before the next entry is
   checked.
5. Nobody but this module changes either copy. `current` belongs to the event loop's thread, `in_write` to the writer's.
6. At a start, entries under the newest checkpoint that this hub's own key signed are folded without computing their
   signatures again; later ones are verified in full, and so is all where there is no checkpoint. That is safe because
   the root of what was read must be the root that was signed, so that nobody who can only write to the database gets an
   entry in; and because a head of the directory is signed for such entries only as were verified before (`signable`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection

from consent.directory import NODE_ENROLLED_TYPE, Directory, Node, NodeEnrolled
from consent.documents import parse
from consent.errors import ConsentError
from hub.database import Database, group_of
from hub.errors import HubError
from hub.logs import checkpoints
from hub.logs import service as logs
from hub.notices import EVERYTHING
from trust.checkpoint import Checkpoint, open_checkpoint
from trust.document import SignedDocument, countersign
from trust.errors import LogInconsistent, TrustError
from trust.merkle import Frontier, leaf_hash
from trust.sm2 import PrivateKey, PublicKey

_PARTICIPANT: Final = "directory"
_PAGE: Final = 1000


@dataclass(slots=True)
class _Fold:
    """The directory, and the root over the very entries that it was folded from."""

    directory: Directory = field(default_factory=Directory)
    frontier: Frontier = field(default_factory=Frontier)

    def take(self, document: SignedDocument, hub_key: PublicKey) -> None:
        """An entry that nobody has verified yet."""
        self.directory.apply(self.directory.size, document, hub_key)
        self.frontier.append(leaf_hash(document.encode()))

    def take_verified(self, document: SignedDocument, hub_key: PublicKey) -> None:
        """An entry that the other copy of this process has taken (rule 3)."""
        self.directory.restore([document], hub_key)
        self.frontier.append(leaf_hash(document.encode()))

    def copy(self) -> _Fold:
        return _Fold(self.directory.copy(), self.frontier.copy())


class _Pending:
    """The entries that an open group has folded into the writer's copy (a `group_commit.Participant`)."""

    def __init__(self, live: LiveDirectory) -> None:
        self._live = live
        self.entries: list[SignedDocument] = []

    def mark(self) -> object:
        return len(self.entries)

    def rewind(self, mark: object | None) -> None:
        length = mark if isinstance(mark, int) else 0
        if len(self.entries) > length:
            del self.entries[length:]
            self._live.rebuild(self.entries)

    def flush(self, connection: Connection) -> None:
        """Nothing waits: entries went to the log when they were checked."""

    def settle(self, *, committed: bool) -> None:
        if committed:
            self._live.publish(self.entries)
        elif self.entries:
            self._live.rebuild([])


class LiveDirectory:
    """See the module. Made by `load`; bound to the event loop by `attach`."""

    def __init__(self, key: PrivateKey) -> None:
        """An empty directory; `key` countersigns its entries."""
        self._key = key
        self._current = _Fold()
        self._writing = _Fold()
        # Entries that the writer's copy has and that are on their way to the readers' copy.
        self._committed: list[SignedDocument] = []
        self._moving = threading.Lock()  # held while an entry goes from there to `current`, so that a copy has it once
        self._loop: asyncio.AbstractEventLoop | None = None
        self._node_ids: list[str] = []
        self._listeners: list[Callable[[SignedDocument], None]] = []

    @property
    def current(self) -> Directory:
        """The committed directory; read it on the event loop (or where there is none, on the only thread)."""
        return self._current.directory

    def nodes_ever(self, member_id: str) -> list[Node]:
        """A member's nodes in `current`, the revoked ones too, in the order of their enrolment."""
        found = [self.current.node(node_id) for node_id in self._node_ids]
        return [node for node in found if node is not None and node.member_id == member_id]

    def listen(self, listener: Callable[[SignedDocument], None]) -> None:
        """Call a listener with each entry when it becomes visible in `current`, on the event loop."""
        self._listeners.append(listener)

    def load(self, connection: Connection) -> None:
        """Fold the whole log (rule 6). Raises TrustError or ConsentError if it was altered or an entry breaks a rule."""
        fold, head = _Fold(), _newest_head(connection, self._key.public)
        if head is not None:
            for document in self._restore(connection, fold, head):
                self._note(document)
        for document in self._fold(connection, fold):
            self._note(document)
        self._current, self._writing = fold, fold.copy()

    def attach(self, db: Database) -> None:
        """From now on keep `current` to the running event loop, and follow other processes' entries."""
        self._loop = asyncio.get_running_loop()
        running: set[asyncio.Task[None]] = set()

        def hear(topics: frozenset[str]) -> None:
            if not topics.isdisjoint({logs.DIRECTORY, EVERYTHING}):
                task = asyncio.get_running_loop().create_task(self._follow(db))
                running.add(task)
                task.add_done_callback(running.discard)

        db.subscribe(hear)

    def in_write(self, connection: Connection) -> Directory:
        """The directory as the writer sees it within its open group, other processes' entries included."""
        self._join(connection)
        return self._writing.directory

    def signable(self, connection: Connection) -> bool:
        """Whether the stored log is, entry for entry, what was verified here: only then may its head be signed."""
        try:
            self._join(connection)
        except (TrustError, ConsentError):
            return False
        stored = logs.size(connection, logs.DIRECTORY), logs.root(connection, logs.DIRECTORY)
        return stored == (self._writing.frontier.size, self._writing.frontier.root())

    def append(self, connection: Connection, document: SignedDocument) -> int:
        """Countersign an entry, check it against every rule, append it and return its index.

        Only inside `Database.write`.
        Raises SignatureInvalid, DirectoryRule, DocumentMalformed; HubError INVALID_ARGUMENT for a document with more
        signatures than its author's (what a stranger adds would be carried and countersigned for ever).
        """
        if len(document.signatures) != 1:
            raise HubError(
                "INVALID_ARGUMENT", "an entry of the directory carries its author's signature only; sign it once"
            )
        pending = self._join(connection)
        signed = countersign(document, self._key)
        index = logs.size(connection, logs.DIRECTORY)
        if index != self._writing.directory.size:
            raise LogInconsistent(
                f"the stored directory has {index} entries, not those that this hub verified; look at it"
            )
        self._writing.take(signed, self._key.public)
        pending.entries.append(signed)
        logs.append(connection, logs.DIRECTORY, [signed.encode()])
        return index

    def rebuild(self, open_entries: list[SignedDocument]) -> None:
        """Make the writer's copy anew: what is committed, and what its open group keeps. For `_Pending` only."""
        with self._moving:
            self._writing = self._current.copy()
            committed = list(self._committed)
        for document in (*committed, *open_entries):
            self._writing.take_verified(document, self._key.public)

    def publish(self, entries: list[SignedDocument]) -> None:
        """Hand committed entries to the readers' copy, on their thread. For `_Pending` only."""
        if not entries:
            return
        self._committed += entries
        if self._loop is None or self._loop.is_closed():
            self._show()
        else:
            self._loop.call_soon_threadsafe(self._show)

    def _show(self) -> None:
        while self._committed:
            with self._moving:
                document = self._committed[0]
                self._current.take_verified(document, self._key.public)
                del self._committed[0]
            self._note(document)
            for listener in self._listeners:
                listener(document)

    def _note(self, document: SignedDocument) -> None:
        if document.payload_type == NODE_ENROLLED_TYPE:
            self._node_ids.append(parse(document.payload, NodeEnrolled).node_id)

    def _join(self, connection: Connection) -> _Pending:
        """Take part in the open group; the first time, take in what other processes have appended."""
        group = group_of(connection)
        pending = group.participants.get(_PARTICIPANT)
        if not isinstance(pending, _Pending):
            pending = _Pending(self)
            # A foreign entry is committed already: it survives whatever becomes of our group.
            try:
                foreign = self._fold(connection, self._writing)
            except (TrustError, ConsentError):
                self.rebuild([])  # a forged one among them: none is taken
                raise
            self.publish(foreign)
            group.participants[_PARTICIPANT] = pending
        return pending

    def _fold(self, connection: Connection, fold: _Fold) -> list[SignedDocument]:
        taken: list[SignedDocument] = []
        while leaves := logs.read_leaves(connection, logs.DIRECTORY, fold.directory.size, _PAGE):
            for leaf in leaves:
                document = SignedDocument.decode(leaf)
                fold.take(document, self._key.public)
                taken.append(document)
        return taken

    def _restore(self, connection: Connection, fold: _Fold, head: Checkpoint) -> list[SignedDocument]:
        """Rule 6, for the entries under a head: first their root, then what they say."""
        taken: list[SignedDocument] = []
        for leaf in _leaves(connection, head.size):
            fold.frontier.append(leaf_hash(leaf))
            taken.append(SignedDocument.decode(leaf))
        if (fold.frontier.size, fold.frontier.root()) != (head.size, head.root):
            raise LogInconsistent(
                f"the {fold.frontier.size} entries of the stored directory are not the {head.size} that this hub signed; "
                "the database was altered: restore it, and find out by whom"
            )
        fold.directory.restore(taken, self._key.public)
        return taken

    async def _follow(self, db: Database) -> None:
        """Take in entries that another process committed."""
        size = await db.read(lambda connection: logs.size(connection, logs.DIRECTORY))
        if size > self.current.size + len(self._committed):
            await db.write(self.in_write)


def _newest_head(connection: Connection, hub_key: PublicKey) -> Checkpoint | None:
    """The newest checkpoint of the directory, if there is one; the hub's own signature on it is verified."""
    stored = checkpoints.newest_signed(connection, logs.DIRECTORY)
    if stored is None:
        return None
    head = open_checkpoint(stored, hub_key)
    if head.origin != logs.DIRECTORY:
        raise LogInconsistent(f"the stored checkpoint of the directory is one of {head.origin}; restore the database")
    return head


def _leaves(connection: Connection, size: int) -> Iterator[bytes]:
    first = 0
    while first < size and (page := logs.read_leaves(connection, logs.DIRECTORY, first, min(_PAGE, size - first))):
        yield from page
        first += len(page)
