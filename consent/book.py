"""The book of consents: the state that a provider's consent log adds up to.

`apply_entry` verifies and takes an entry of the log; rules, in this order, each refused by an error that changes nothing:
1. It carries the hub's countersignature (SIGNATURE_INVALID).
2. It parses (CONSENT_MALFORMED) and names this provider (CONSENT_CONFLICT).
3. Its signer is the one that its kind requires: the subject's key in the directory at the time stated for a consent, refusal or
   revocation; a node of the requester, not cut off by then, for a request; the hub for an expiry (SIGNATURE_INVALID, or
   CONSENT_CONFLICT if there is no such key).
4. It fits what is there: a record once; a later version follows the version whose payload it names; a revocation or expiry is of a
   known consent of this very subject (CONSENT_CONFLICT). A second revocation changes nothing.

The terms of consents are few and kept once each; a consent is one row of numbers (`consent.columns`). What to persist is told as a
`Change`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from consent.columns import NEVER, ConsentColumns
from consent.decision import Terms
from consent.directory import Directory
from consent.documents import (
    CONSENT_EXPIRY_TYPE,
    CONSENT_REFUSAL_TYPE,
    CONSENT_REQUEST_TYPE,
    CONSENT_REVOCATION_TYPE,
    CONSENT_TYPE,
    ConsentDocument,
    parse_consent,
    parse_expiry,
    parse_refusal,
    parse_request,
    parse_revocation,
)
from consent.errors import ConsentConflict
from trust.document import SignedDocument, verify_document
from trust.sm2 import PublicKey
from trust.suite import sm3

DATING_GRACE_MS: Final = 600_000
"""How far documents of one log may be dated out of order, and a document before the approval of its key: clocks differ."""


class Status(IntEnum):
    """What became of a consent; stored as numbers."""

    ACTIVE = 1
    WITHDRAWN = 2
    EXPIRED = 3
    SUPERSEDED = 4


PlainRow = tuple[str, str, int, int, bytes, int, int, int, int | None, int]
"""Record id, uscc, place in a list of terms, version, payload SM3, valid from, valid to, status, revoked, log index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRow:
    """One consent as it is stored: what the book needs without looking at a signature again."""

    record_id: str
    uscc: str
    terms: Terms
    record_version: int
    payload_sm3: bytes
    valid_from_ms: int
    valid_to_ms: int
    status: Status
    revoked_ms: int | None
    log_index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an entry changed. `row`: a consent as it stands now, to store; None for a request or refusal."""

    kind: str
    uscc: str
    row: ConsentRow | None = None
    request_id: str | None = None
    dated_ms: int = 0


def terms_of(document: ConsentDocument) -> Terms:
    """The shared part of a consent."""
    return Terms(
        provider=document.recipients.data_source,
        data_users=document.recipients.data_users,
        purpose=document.purpose.purpose_code,
        separate_consent=document.purpose.separate_consent,
        scope=document.scope,
        fetch=document.limits.fetch,
        frequency=document.limits.frequency,
        max_uses=document.limits.max_uses,
        data_life_days=document.limits.data_life_days,
    )


class ConsentBook(ConsentColumns):
    """The consents for one provider's data."""

    def __init__(self, provider: str) -> None:
        super().__init__()
        self.provider = provider
        self._terms_ids: dict[Terms, int] = {}
        self._versions = array("i")
        self._digests: list[bytes] = []
        self._log_indexes = array("q")
        self._status = array("b")
        self.newest_ms = 0

    def stored(self, record_id: str) -> ConsentRow | None:
        """One consent as it is stored."""
        row = self._row_of.get(record_id)
        return self._stored(row) if row is not None else None

    # -- loading

    def load(self, rows: Iterable[ConsentRow]) -> None:
        """Take rows that were verified before."""
        for row in rows:
            self._put(row)

    def load_columns(self, rows: Iterable[PlainRow], terms: list[Terms]) -> None:
        """Take many plain rows that were verified before: the quick way for a cold start.

        Raises ValueError unless the book is empty.
        """
        if self.record_ids:
            raise ValueError("only an empty book can be loaded by columns")
        places = [self._intern(each) for each in terms]
        for number, (record_id, uscc, terms_id, version, digest, begins, ends, status, revoked, log_index) in enumerate(
            rows
        ):
            self.record_ids.append(record_id)
            self.subjects.append(uscc)
            self.terms_column.append(places[terms_id])
            self._versions.append(version)
            self._digests.append(digest)
            self.valid_from.append(begins)
            self.valid_to.append(ends)
            self._status.append(status)
            self.revoked.append(NEVER if revoked is None else revoked)
            self._log_indexes.append(log_index)
            self._row_of[record_id] = number
            self._add_row_of(uscc, number)

    # -- the fold

    def apply_entry(self, index: int, document: SignedDocument, directory: Directory, hub_key: PublicKey) -> Change:
        """Verify the next entry and take it. Raises SignatureInvalid, DocumentMalformed, ConsentConflict; then nothing changed."""
        change = self.check_entry(index, document, directory, hub_key)
        if change.row is not None:
            self._put(change.row)
        self.newest_ms = max(self.newest_ms, change.dated_ms)
        return change

    def check_entry(self, index: int, document: SignedDocument, directory: Directory, hub_key: PublicKey) -> Change:
        """Verify an entry against the rules without taking it. Raises as `apply_entry`."""
        verify_document(document, document.payload_type, hub_key)
        handler = self._handlers().get(document.payload_type)
        if handler is None:
            raise ConsentConflict(
                f"A consent log has no entries of type {document.payload_type}; update this software."
            )
        return handler(index, document, directory)

    def _handlers(self) -> dict[str, Callable[[int, SignedDocument, Directory], Change]]:
        return {
            CONSENT_TYPE: self._on_consent,
            CONSENT_REVOCATION_TYPE: self._on_revocation,
            CONSENT_EXPIRY_TYPE: self._on_expiry,
            CONSENT_REQUEST_TYPE: self._on_request,
            CONSENT_REFUSAL_TYPE: self._on_refusal,
        }

    def _on_consent(self, index: int, document: SignedDocument, directory: Directory) -> Change:
        consent = parse_consent(document.payload)
        self._same_provider(consent.recipients.data_source)
        self._subject_signed(document, consent.subject.uscc, consent.given_ms, directory)
        known = self._row_of.get(consent.record_id)
        if known is None and consent.record_version != 1:
            raise ConsentConflict(
                f"Version {consent.record_version} of consent {consent.record_id} came before its first version."
            )
        if known is not None and not self._follows(known, consent):
            raise ConsentConflict(
                f"Consent {consent.record_id} is recorded already; a later version raises the version by one, names the digest of the "
                "one before, and is of the same enterprise."
            )
        row = ConsentRow(
            record_id=consent.record_id,
            uscc=consent.subject.uscc,
            terms=terms_of(consent),
            record_version=consent.record_version,
            payload_sm3=sm3(document.payload),
            valid_from_ms=consent.limits.valid_from_ms,
            valid_to_ms=consent.limits.valid_to_ms,
            status=Status.ACTIVE,
            revoked_ms=None,
            log_index=index,
        )
        return Change(kind="consent", uscc=row.uscc, row=row, request_id=consent.request_id, dated_ms=consent.given_ms)

    def _follows(self, known: int, consent: ConsentDocument) -> bool:
        return (
            self.subjects[known] == consent.subject.uscc
            and self._versions[known] + 1 == consent.record_version
            and consent.prev_record_sm3 == self._digests[known].hex()
            and self.revoked[known] == NEVER
        )

    def _on_revocation(self, index: int, document: SignedDocument, directory: Directory) -> Change:
        entry = parse_revocation(document.payload)
        self._same_provider(entry.provider)
        self._subject_signed(document, entry.uscc, entry.time_ms, directory)
        row = self._ended(entry.record_id, entry.uscc, Status.WITHDRAWN, entry.time_ms)
        return Change(kind="revocation", uscc=entry.uscc, row=row, dated_ms=entry.time_ms)

    def _on_expiry(self, index: int, document: SignedDocument, directory: Directory) -> Change:
        entry = parse_expiry(document.payload)
        self._same_provider(entry.provider)
        row = self._ended(entry.record_id, entry.uscc, Status.EXPIRED, None)
        if entry.time_ms < row.valid_to_ms:
            raise ConsentConflict(f"Consent {entry.record_id} has not ended yet; the hub cannot end it.")
        return Change(kind="expiry", uscc=entry.uscc, row=row)

    def _on_request(self, index: int, document: SignedDocument, directory: Directory) -> Change:
        entry = parse_request(document.payload)
        self._same_provider(entry.provider)
        node = directory.node(entry.node_id)
        if node is None or node.member_id != entry.requester or not node.active_at(entry.time_ms):
            raise ConsentConflict(f"Node {entry.node_id} was no node of {entry.requester} then; it cannot ask.")
        verify_document(document, document.payload_type, node.identity_key)
        return Change(kind="request", uscc=entry.uscc, request_id=entry.request_id)

    def _on_refusal(self, index: int, document: SignedDocument, directory: Directory) -> Change:
        entry = parse_refusal(document.payload)
        self._same_provider(entry.provider)
        self._subject_signed(document, entry.uscc, entry.time_ms, directory)
        return Change(kind="refusal", uscc=entry.uscc, request_id=entry.request_id, dated_ms=entry.time_ms)

    def _subject_signed(self, document: SignedDocument, uscc: str, at_ms: int, directory: Directory) -> None:
        """Rule 3 for what an enterprise signs: by the key that was its own at the time stated.

        A log's entries are dated in order (up to the grace), so that a key that was replaced cannot sign into the past.
        """
        if at_ms < self.newest_ms - DATING_GRACE_MS:
            raise ConsentConflict(
                "The document is dated long before the newest entry of this log; set the clock and sign it again."
            )
        subject = directory.subject(uscc)
        key = directory.subject_key(uscc, at_ms)
        if key is None and subject is not None and subject.to_ms is None and at_ms >= subject.from_ms - DATING_GRACE_MS:
            key = subject.key
        if key is None:
            raise ConsentConflict(
                "The enterprise has no valid key in the directory; it must register and be approved first."
            )
        verify_document(document, document.payload_type, key)

    def _same_provider(self, provider: str) -> None:
        if provider != self.provider:
            raise ConsentConflict(f"The entry is for provider {provider}, this is the log of {self.provider}.")

    def _ended(self, record_id: str, uscc: str, status: Status, ended_ms: int | None) -> ConsentRow:
        row = self._row_of.get(record_id)
        if row is None or self.subjects[row] != uscc:
            raise ConsentConflict(f"There is no consent {record_id} of this enterprise; check the identifier.")
        stored = self._stored(row)
        first = stored.revoked_ms if stored.revoked_ms is not None else ended_ms
        return ConsentRow(
            record_id=stored.record_id,
            uscc=stored.uscc,
            terms=stored.terms,
            record_version=stored.record_version,
            payload_sm3=stored.payload_sm3,
            valid_from_ms=stored.valid_from_ms,
            valid_to_ms=stored.valid_to_ms,
            status=stored.status if stored.status is Status.WITHDRAWN else status,
            revoked_ms=first,
            log_index=stored.log_index,
        )

    # -- rows

    def _intern(self, terms: Terms) -> int:
        place = self._terms_ids.get(terms)
        if place is None:
            place = self._terms_ids[terms] = len(self.terms)
            self.terms.append(terms)
        return place

    def _put(self, new: ConsentRow) -> None:
        row = self._row_of.get(new.record_id)
        revoked = NEVER if new.revoked_ms is None else new.revoked_ms
        if row is not None:
            self.terms_column[row] = self._intern(new.terms)
            self._versions[row] = new.record_version
            self._digests[row] = new.payload_sm3
            self.valid_from[row] = new.valid_from_ms
            self.valid_to[row] = new.valid_to_ms
            self._status[row] = new.status
            self.revoked[row] = revoked
            self._log_indexes[row] = new.log_index
            return
        row = len(self.record_ids)
        self.record_ids.append(new.record_id)
        self.subjects.append(new.uscc)
        self.terms_column.append(self._intern(new.terms))
        self._versions.append(new.record_version)
        self._digests.append(new.payload_sm3)
        self.valid_from.append(new.valid_from_ms)
        self.valid_to.append(new.valid_to_ms)
        self._status.append(new.status)
        self.revoked.append(revoked)
        self._log_indexes.append(new.log_index)
        self._row_of[new.record_id] = row
        self._add_row_of(new.uscc, row)

    def _add_row_of(self, uscc: str, row: int) -> None:
        """Most subjects have one consent: a bare number costs a tenth of a list."""
        known = self._rows_of_subject.get(uscc)
        if known is None:
            self._rows_of_subject[uscc] = row
            self.subject_count += 1
        elif isinstance(known, int):
            both = self._rows_of_subject[uscc] = [known, row]
            self._several.append(both)
        else:
            known.append(row)

    def _stored(self, row: int) -> ConsentRow:
        revoked = self.revoked[row]
        return ConsentRow(
            record_id=self.record_ids[row],
            uscc=self.subjects[row],
            terms=self.terms[self.terms_column[row]],
            record_version=self._versions[row],
            payload_sm3=self._digests[row],
            valid_from_ms=self.valid_from[row],
            valid_to_ms=self.valid_to[row],
            status=Status(self._status[row]),
            revoked_ms=None if revoked == NEVER else revoked,
            log_index=self._log_indexes[row],
        )
