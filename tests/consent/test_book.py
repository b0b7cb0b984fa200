"""The book: what an entry of a consent log may change, one attack a test, and the same state however it was loaded."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.book import DATING_GRACE_MS, ConsentBook, Status, terms_of
from consent.directory import SubjectKeyRevoked
from consent.documents import (
    ConsentExpiry,
    ConsentRefusal,
    ConsentRevocation,
    Limits,
    Recipients,
    SubjectPart,
    encode,
)
from consent.errors import ConsentConflict, ConsentError, DocumentMalformed
from tests.consent.builders import (
    BANK,
    DAY,
    NOW,
    OTHER_USCC,
    PROVIDER,
    RECORD,
    REQUEST,
    USCC,
    Log,
    consent,
    key,
    public,
    record_id,
    request,
    signed,
    subject_key,
)
from trust.document import SignedDocument
from trust.errors import SignatureInvalid, TrustError
from trust.suite import sm3

UNKNOWN_USCC = "93110116Y00000032H"
HUB = key("hub").public
REVOCATION = ConsentRevocation(record_id=RECORD, provider=PROVIDER, uscc=USCC, time_ms=NOW + 5)
EXPIRY = ConsentExpiry(record_id=RECORD, provider=PROVIDER, uscc=USCC, time_ms=NOW + 30 * DAY)
REFUSAL = ConsentRefusal(request_id=REQUEST, provider=PROVIDER, uscc=USCC, time_ms=NOW)


@pytest.fixture
def log() -> Log:
    """A log with one consent."""
    made = Log()
    made.enter("consent", consent())
    return made


def state(book: ConsentBook) -> dict[str, object]:
    """All that a book knows."""
    return {each: book.stored(each) for each in book.record_ids} | {"newest": book.newest_ms, "count": len(book)}


def subject_of(uscc: str) -> SubjectPart:
    return msgspec.structs.replace(consent().subject, uscc=uscc)


def second(**changes: object) -> msgspec.Struct:
    """The second version of the consent."""
    return consent(**({"record_version": 2, "prev_record_sm3": sm3(encode(consent())).hex()} | changes))


def test_a_consent_is_in_the_book_as_it_was_signed(log: Log) -> None:
    (view,) = log.book.consents_of(USCC)
    assert view == log.book.view(RECORD)
    assert (view.record_id, view.uscc, view.revoked_ms, view.signature_ok) == (RECORD, USCC, None, True)
    assert (view.valid_from_ms, view.valid_to_ms) == (NOW, NOW + 30 * DAY)
    assert view.terms == terms_of(consent())
    row = log.book.stored(RECORD)
    assert (row.status, row.log_index, row.record_version) == (Status.ACTIVE, 0, 1)
    assert row.payload_sm3 == sm3(encode(consent()))
    assert log.book.view(record_id(9)) is log.book.stored(record_id(9)) is None
    assert log.book.consents_of(OTHER_USCC) == []


def test_a_change_tells_what_to_store(log: Log) -> None:
    change = log.enter("consent", consent(record_id=record_id(2), request_id=REQUEST))
    assert change.row == log.book.stored(record_id(2))
    assert (change.kind, change.uscc, change.request_id, change.dated_ms) == ("consent", USCC, REQUEST, NOW)


NEW = record_id(2)
ATTACKS: list[tuple[str, str, msgspec.Struct, str, str | None, type[Exception]]] = [
    ("a consent by another enterprise's key", "consent", consent(record_id=NEW), OTHER_USCC, "hub", SignatureInvalid),
    ("a consent that the bank signed", "consent", consent(record_id=NEW), "firstbank-1", "hub", SignatureInvalid),
    ("a consent that the hub made up", "consent", consent(record_id=NEW), "hub", "hub", SignatureInvalid),
    ("a consent that the hub did not countersign", "consent", consent(record_id=NEW), USCC, None, SignatureInvalid),
    ("a consent from another hub", "consent", consent(record_id=NEW), USCC, "evil hub", SignatureInvalid),
    (
        "a consent for another provider",
        "consent",
        consent(record_id=NEW, recipients=Recipients(data_source="platform", data_users=(BANK,))),
        USCC,
        "hub",
        ConsentConflict,
    ),
    (
        "a consent of an enterprise that is not registered",
        "consent",
        consent(record_id=NEW, subject=subject_of(UNKNOWN_USCC)),
        UNKNOWN_USCC,
        "hub",
        ConsentConflict,
    ),
    (
        "a consent from before the enterprise had a key",
        "consent",
        consent(record_id=NEW, given_ms=NOW - DAY),
        USCC,
        "hub",
        ConsentConflict,
    ),
    ("a consent twice", "consent", consent(), USCC, "hub", ConsentConflict),
    ("a second version without a first", "consent", second(record_id=NEW), USCC, "hub", ConsentConflict),
    ("a third version after the first", "consent", second(record_version=3), USCC, "hub", ConsentConflict),
    (
        "a version that names another before it",
        "consent",
        second(prev_record_sm3="ab" * 32),
        USCC,
        "hub",
        ConsentConflict,
    ),
    (
        "a version by another enterprise",
        "consent",
        second(subject=subject_of(OTHER_USCC)),
        OTHER_USCC,
        "hub",
        ConsentConflict,
    ),
    (
        "a consent that ends before it begins",
        "consent",
        consent(record_id=NEW, limits=Limits(valid_from_ms=NOW, valid_to_ms=NOW, data_life_days=1)),
        USCC,
        "hub",
        DocumentMalformed,
    ),
    ("a revocation by another's key", "consent-revocation", REVOCATION, OTHER_USCC, "hub", SignatureInvalid),
    ("a revocation that the hub made up", "consent-revocation", REVOCATION, "hub", "hub", SignatureInvalid),
    (
        "a revocation of another enterprise's consent",
        "consent-revocation",
        msgspec.structs.replace(REVOCATION, uscc=OTHER_USCC),
        OTHER_USCC,
        "hub",
        ConsentConflict,
    ),
    (
        "a revocation of nothing",
        "consent-revocation",
        msgspec.structs.replace(REVOCATION, record_id=NEW),
        USCC,
        "hub",
        ConsentConflict,
    ),
    (
        "a revocation for another provider",
        "consent-revocation",
        msgspec.structs.replace(REVOCATION, provider="platform"),
        USCC,
        "hub",
        ConsentConflict,
    ),
    (
        "an expiry before its time",
        "consent-expiry",
        msgspec.structs.replace(EXPIRY, time_ms=NOW + DAY),
        "hub",
        "hub",
        ConsentConflict,
    ),
    ("an expiry that the bank states", "consent-expiry", EXPIRY, "firstbank-1", None, SignatureInvalid),
    ("a request by another member's node", "consent-request", request(), "taxoffice-1", "hub", SignatureInvalid),
    (
        "a request in the name of another member",
        "consent-request",
        request(requester="secondbank"),
        "firstbank-1",
        "hub",
        ConsentConflict,
    ),
    (
        "a request by an unknown node",
        "consent-request",
        request(node_id="firstbank-9"),
        "firstbank-9",
        "hub",
        ConsentConflict,
    ),
    ("a refusal that the bank signed", "consent-refusal", REFUSAL, "firstbank-1", "hub", SignatureInvalid),
    ("an entry of an unknown type", "coronation", consent(record_id=NEW), USCC, "hub", ConsentConflict),
    (
        "a consent under the type of a revocation",
        "consent-revocation",
        consent(record_id=NEW),
        USCC,
        "hub",
        DocumentMalformed,
    ),
]


@pytest.mark.parametrize(
    ("name", "document", "signer", "hub", "error"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS]
)
def test_an_entry_that_breaks_a_rule_is_refused_and_changes_nothing(
    log: Log, name: str, document: msgspec.Struct, signer: str, hub: str | None, error: type[Exception]
) -> None:
    before = state(log.book)
    with pytest.raises(error) as refusal:
        log.enter(name, document, signer, hub=hub)
    assert refusal.value.code.isupper() and len(str(refusal.value)) > 30  # type: ignore[attr-defined]
    assert state(log.book) == before


ENTRY = signed("consent", consent(record_id=NEW), USCC)


@settings(max_examples=60)
@given(at=st.integers(0, len(ENTRY.payload) - 1), bit=st.integers(0, 7))
def test_a_consent_altered_by_one_bit_is_refused(at: int, bit: int) -> None:
    payload = bytearray(ENTRY.payload)
    payload[at] ^= 1 << bit
    log = Log()
    with pytest.raises((ConsentError, TrustError)):
        log.apply(SignedDocument(ENTRY.payload_type, bytes(payload), ENTRY.signatures))
    assert len(log.book) == 0


def test_a_revocation_counts_at_once_and_the_first_one_stays(log: Log) -> None:
    change = log.enter("consent-revocation", REVOCATION)
    assert change.row.status is Status.WITHDRAWN
    assert log.book.view(RECORD).revoked_ms == NOW + 5
    log.enter("consent-revocation", msgspec.structs.replace(REVOCATION, time_ms=NOW + 9))
    assert log.book.view(RECORD).revoked_ms == NOW + 5


def test_a_withdrawn_consent_cannot_be_brought_back_by_a_later_version(log: Log) -> None:
    log.enter("consent-revocation", REVOCATION)
    with pytest.raises(ConsentConflict):
        log.enter("consent", second())
    assert log.book.view(RECORD).revoked_ms == NOW + 5


def test_an_expiry_marks_and_does_not_undo_a_withdrawal(log: Log) -> None:
    assert log.enter("consent-expiry", EXPIRY, "hub").row.status is Status.EXPIRED
    assert log.book.view(RECORD).revoked_ms is None
    other = Log()
    other.enter("consent", consent())
    other.enter("consent-revocation", REVOCATION)
    assert other.enter("consent-expiry", EXPIRY, "hub").row.status is Status.WITHDRAWN


def test_a_later_version_takes_the_place_of_the_one_before(log: Log) -> None:
    shorter = Limits(valid_from_ms=NOW, valid_to_ms=NOW + DAY, data_life_days=1)
    log.enter("consent", second(limits=shorter))
    assert len(log.book) == len(log.book.consents_of(USCC)) == 1
    view = log.book.view(RECORD)
    assert (view.valid_to_ms, view.terms.data_life_days) == (NOW + DAY, 1)
    assert log.book.stored(RECORD).record_version == 2
    with pytest.raises(ConsentConflict):
        log.enter("consent", second())


def test_a_request_and_its_refusal_change_no_consent(log: Log) -> None:
    asked = log.enter("consent-request", request(), "firstbank-1")
    refused = log.enter("consent-refusal", REFUSAL)
    assert (asked.kind, asked.request_id, asked.row) == ("request", REQUEST, None)
    assert (refused.kind, refused.request_id, refused.row) == ("refusal", REQUEST, None)
    assert len(log.book) == 1


def rotate(log: Log, at_ms: int) -> None:
    """Give the enterprise a second key from then on."""
    changes = {"public_key": public("second"), "version": 2, "prev_key_id": key(USCC).public.key_id, "time_ms": at_ms}
    log.world.enter("subject-key", subject_key(USCC, **changes), "operator")


def test_what_a_key_signed_in_its_time_stays_good_after_it_was_replaced() -> None:
    log = Log()
    rotate(log, NOW + DAY)
    log.enter("consent", consent())
    log.enter("consent", consent(record_id=NEW, given_ms=NOW + 2 * DAY), "second")
    assert len(log.book) == 2


def test_a_replaced_key_cannot_sign_from_its_end_on() -> None:
    log = Log()
    rotate(log, NOW + DAY)
    with pytest.raises(SignatureInvalid):
        log.enter("consent", consent(given_ms=NOW + DAY))


def test_a_replaced_key_cannot_sign_into_the_past_once_the_log_has_moved_on() -> None:
    log = Log()
    rotate(log, NOW + DAY)
    log.enter("consent", consent(given_ms=NOW + 2 * DAY), "second")
    with pytest.raises(ConsentConflict, match="dated"):
        log.enter("consent", consent(record_id=NEW, given_ms=NOW))


def test_a_lost_key_signs_nothing_more(log: Log) -> None:
    lost = SubjectKeyRevoked(uscc=USCC, key_id=key(USCC).public.key_id, reason="lost", time_ms=NOW + 5, operator="op")
    log.world.enter("subject-key-revoked", lost, "operator")
    with pytest.raises(ConsentConflict):
        log.enter("consent", consent(record_id=NEW, given_ms=NOW + 5))


def test_an_enterprise_whose_clock_is_a_little_behind_its_approval_is_heard(log: Log) -> None:
    log.enter("consent", consent(record_id=NEW, given_ms=NOW - DATING_GRACE_MS))
    with pytest.raises(ConsentConflict):
        log.enter("consent", consent(record_id=record_id(3), given_ms=NOW - DATING_GRACE_MS - 1))


def test_terms_that_are_alike_are_kept_once(log: Log) -> None:
    for number in range(2, 6):
        log.enter("consent", consent(record_id=record_id(number)))
    assert len(log.book.terms) == 1
    assert len({id(view.terms) for view in log.book.consents_of(USCC)}) == 1


def plain(book: ConsentBook, record: str) -> tuple[object, ...]:
    row = book.stored(record)
    return (
        row.record_id,
        row.uscc,
        book.terms.index(row.terms),
        row.record_version,
        row.payload_sm3,
        row.valid_from_ms,
        row.valid_to_ms,
        int(row.status),
        row.revoked_ms,
        row.log_index,
    )


def test_a_book_that_was_loaded_is_the_book_that_was_stored_and_goes_on(log: Log) -> None:
    other_limits = Limits(valid_from_ms=NOW, valid_to_ms=NOW + DAY, data_life_days=3, max_uses=2)
    log.enter("consent", consent(record_id=NEW, limits=other_limits))
    log.enter("consent", consent(record_id=record_id(3), subject=subject_of(OTHER_USCC)), OTHER_USCC)
    log.enter("consent-revocation", REVOCATION)
    columns, rows = ConsentBook(PROVIDER), ConsentBook(PROVIDER)
    columns.load_columns((plain(log.book, each) for each in log.book.record_ids), list(log.book.terms))  # type: ignore[misc]
    rows.load(log.book.stored(each) for each in log.book.record_ids)
    for loaded in (columns, rows):
        loaded.newest_ms = log.book.newest_ms
        assert state(loaded) == state(log.book)
        assert loaded.consents_of(USCC) == log.book.consents_of(USCC)
        assert loaded.subject_count == 2
        assert loaded.subjects_with_several() == [[0, 1]]
    log.book = columns
    log.enter("consent-revocation", msgspec.structs.replace(REVOCATION, record_id=NEW))
    assert log.book.view(NEW).revoked_ms == NOW + 5


def test_only_an_empty_book_is_loaded_by_columns(log: Log) -> None:
    with pytest.raises(ValueError, match="empty"):
        log.book.load_columns([], [])


def test_checking_an_entry_does_not_take_it(log: Log) -> None:
    before = state(log.book)
    change = log.book.check_entry(1, signed("consent-revocation", REVOCATION, USCC), log.world.directory, HUB)
    assert change.row == replace(log.book.stored(RECORD), status=Status.WITHDRAWN, revoked_ms=NOW + 5)
    assert state(log.book) == before
