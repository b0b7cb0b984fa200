"""The hub's live directory: the fold of the log "directory" in memory, for readers and for the writer.

Rules:
1. Readers (the event loop) see committed entries only: `current`. Whoever waits for a write that appended an entry
   sees it there when the wait is over.
2. The writer checks a new entry against `in_write`, which includes what its own open group has appended; every rule of
   `consent.directory` is checked there before the entry reaches the log, so that the log never holds an entry that a
   node refuses.
3. If a group is rolled back, the writer's copy is made anew from the readers'.
4. Entries of other hub processes are taken in when their notice arrives, and in any case before the next entry is
   checked.
5. Nobody but this module changes either copy. `current` belongs to the event loop's thread, `in_write` to the writer's.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection

from consent.directory import NODE_ENROLLED_TYPE, Directory, Node, NodeEnrolled
from consent.documents import parse
from hub.database import Database, group_of
from hub.errors import HubError
from hub.logs import service as logs
from hub.notices import EVERYTHING
from trust.document import SignedDocument, countersign
from trust.sm2 import PrivateKey

_PARTICIPANT: Final = "directory"
_PAGE: Final = 1000


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
        self._current = Directory()
        self._writing = Directory()
        # Entries that the writer's copy has and that are on their way to the readers' copy.
        self._committed: list[SignedDocument] = []
        self._moving = threading.Lock()  # held while an entry goes from there to `current`, so that a copy has it once
        self._loop: asyncio.AbstractEventLoop | None = None
        self._node_ids: list[str] = []
        self._listeners: list[Callable[[SignedDocument], None]] = []

    @property
    def current(self) -> Directory:
        """The committed directory; read it on the event loop (or where there is none, on the only thread)."""
        return self._current

    def nodes_ever(self, member_id: str) -> list[Node]:
        """A member's nodes in `current`, the revoked ones too, in the order of their enrolment."""
        found = [self._current.node(node_id) for node_id in self._node_ids]
        return [node for node in found if node is not None and node.member_id == member_id]

    def listen(self, listener: Callable[[SignedDocument], None]) -> None:
        """Call a listener with each entry when it becomes visible in `current`, on the event loop."""
        self._listeners.append(listener)

    def load(self, connection: Connection) -> None:
        """Fold the whole log, verifying every entry. Raises TrustError or ConsentError if it breaks a rule."""
        for document in self._fold(connection, self._current):
            self._note(document)
        self._writing = copy.deepcopy(self._current)

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
        return self._writing

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
        self._writing.apply(index, signed, self._key.public)
        pending.entries.append(signed)
        logs.append(connection, logs.DIRECTORY, [signed.encode()])
        return index

    def rebuild(self, open_entries: list[SignedDocument]) -> None:
        """Make the writer's copy anew: what is committed, and what its open group keeps. For `_Pending` only."""
        with self._moving:
            self._writing = copy.deepcopy(self._current)
            committed = list(self._committed)
        for document in (*committed, *open_entries):
            self._take(self._writing, document)

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
                self._take(self._current, document)
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
            foreign = self._fold(connection, self._writing)
            self.publish(foreign)
            group.participants[_PARTICIPANT] = pending
        return pending

    def _fold(self, connection: Connection, directory: Directory) -> list[SignedDocument]:
        taken: list[SignedDocument] = []
        while leaves := logs.read_leaves(connection, logs.DIRECTORY, directory.size, _PAGE):
            for leaf in leaves:
                document = SignedDocument.decode(leaf)
                self._take(directory, document)
                taken.append(document)
        return taken

    def _take(self, directory: Directory, document: SignedDocument) -> None:
        directory.apply(directory.size, document, self._key.public)

    async def _follow(self, db: Database) -> None:
        """Take in entries that another process committed."""
        size = await db.read(lambda connection: logs.size(connection, logs.DIRECTORY))
        if size > self._current.size + len(self._committed):
            await db.write(self.in_write)
