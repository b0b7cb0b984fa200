"""The registry's documents in the node's database: each as it was signed, verified before it is kept, never changed."""

from __future__ import annotations

from dataclasses import dataclass

from nodes.store import Store
from trust.document import SignedDocument
from trust.suite import sm3


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A document, and whether the hub has it."""

    document: SignedDocument
    sent: bool

    @property
    def sm3(self) -> str:
        """Digest of the payload, hex; names the document whatever its signature's randomness."""
        return sm3(self.document.payload).hex()


class DocumentStore:
    """See the module."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def all(self) -> list[Kept]:
        """In the order in which they were kept: a version before the words about it."""
        rows = await self._store.read(
            lambda connection: connection.execute("SELECT document, sent FROM model_documents ORDER BY seq").fetchall()
        )
        return [Kept(document=SignedDocument.decode(document), sent=bool(sent)) for document, sent in rows]

    async def add(self, document: SignedDocument, now_ms: int, *, sent: bool) -> None:
        """Keep a document; one that is here already stays as it is."""
        row = (sm3(document.payload).hex(), document.encode(), sent, now_ms)
        await self._store.write(
            lambda connection: (
                connection.execute(
                    "INSERT OR IGNORE INTO model_documents (payload_sm3, document, sent, kept_ms) VALUES (?, ?, ?, ?)",
                    row,
                )
                and None
            )
        )

    async def has_been_sent(self, payload_sm3: str) -> None:
        """The hub has it."""
        await self._store.write(
            lambda connection: (
                connection.execute("UPDATE model_documents SET sent = 1 WHERE payload_sm3 = ?", (payload_sm3,)) and None
            )
        )
