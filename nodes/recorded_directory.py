"""The directory at a cold start: folded again from the node's own database, without verifying signatures twice.

Two signatures an entry cost about a millisecond; a directory of a hundred thousand enterprises would take minutes. The
entries were verified before this node stored them, and the frontier of the log is checked against the hub's checkpoint
after the start. All rules but the signatures are applied again, and every entry that comes later is verified in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from consent.directory import _HANDLERS, Directory
from consent.errors import ConsentError
from nodes.errors import StoreFailed
from trust.document import SignedDocument
from trust.sm2 import PublicKey


class RecordedDirectory(Directory):
    """A directory that can `replay` what was verified before; otherwise it is the verifying one."""

    def __init__(self) -> None:
        super().__init__()
        self._replaying = False

    def replay(self, documents: Iterable[SignedDocument], hub_key: PublicKey) -> None:
        """Take entries from the node's own database, in order. Raises StoreFailed if they break a rule."""
        self._replaying = True
        try:
            for index, document in enumerate(documents):
                self.apply(index, document, hub_key)
        except ConsentError as error:
            raise StoreFailed(f"the stored directory is damaged ({error}); restore the node's database") from error
        finally:
            self._replaying = False

    def check(self, document: SignedDocument, hub_key: PublicKey) -> Callable[[], None]:
        """As in Directory; while replaying, without the hub's countersignature."""
        handler = _HANDLERS.get(document.payload_type) if self._replaying else None
        return super().check(document, hub_key) if handler is None else handler(self, document, hub_key)

    def _operator_signed(self, document: SignedDocument, operator: str) -> None:
        if not self._replaying:
            super()._operator_signed(document, operator)

    def _provider_signed(self, document: SignedDocument, provider: str) -> None:
        if not self._replaying:
            super()._provider_signed(document, provider)
