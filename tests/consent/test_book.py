"""The book of consents: every refusal, one attack a line; what was refused leaves no trace; what was taken can be looked up."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.book import DATING_GRACE_MS, Change, ConsentBook, Status, terms_of
from consent.directory import NodeRevoked, SubjectKeyRevoked
from consent.documents import (
    ConsentDocument,
    ConsentExpiry,
    ConsentRefusal,
    ConsentRevocation,
    Limits,
    encode,
    payload_type,
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
    World,
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

HUB = key("hub").public
UNKNOWN_USCC = "93110116Y00000032H"
FIRST = consent()
FIRST_SM3 = sm3(encode(FIRST)).hex()
ENDS = FIRST.limits.valid_to_ms


def of(uscc: str) -> ConsentDocument:
    """Return the valid consent as another enterprise would give it, under another identifier."""
    return consent(record_id=record_id(9), subject=msgspec.structs.replace(FIRST.subject, uscc=uscc))


def version(number: int, **changes: object) -> ConsentDocument:
    """Return the next version of the first consent."""
    return consent(**({"record_version": number, "prev_record_sm3": FIRST_SM3} | changes))


def elsewhere(document: ConsentDocument) -> ConsentDocument:
    """Return the consent as it would be for another provider's data."""
    return msgspec.structs.replace(
        document, recipients=msgspec.structs.replace(document.recipients, data_source="waterworks")
    )


def revocation(**changes: object) -> ConsentRevocation:
    made = ConsentRevocation(record_id=RECORD, provider=PROVIDER, uscc=USCC, time_ms=NOW + 1)
    return msgspec.structs.replace(made, **changes)


def expiry(**changes: object) -> ConsentExpiry:
    made = ConsentExpiry(record_id=RECORD, provider=PROVIDER, uscc=USCC, time_ms=ENDS)
    return msgspec.structs.replace(made, **changes)


def refusal(**changes: object) -> ConsentRefusal:
    made = ConsentRefusal(request_id=REQUEST, provider=PROVIDER, uscc=USCC, time_ms=NOW)
    return msgspec.structs.replace(made, **changes)


class Log:
    """A book that entries are applied to one after the other."""

    def __init__(self) -> None:
        self.world = World()
        self.book = ConsentBook(PROVIDER)
        self.size = 0

    def enter(self, name: str, document: msgspec.Struct, signer: str, *, hub: str | None = "hub") -> Change:
        """Apply the next entry."""
        return self.take(signed(name, document, signer, hub=hub))

    def take(self, entry: SignedDocument) -> Change:
        """Apply a signed entry."""
        change = self.book.apply_entry(self.size, entry, self.world.directory, HUB)
        self.size += 1
        return change


@pytest.fixture
def log() -> Log:
    """A log whose only entry is the first enterprise's consent."""
    made = Log()
    made.enter("consent", FIRST, USCC)
    return made


def snapshot(book: ConsentBook) -> str:
    return repr(vars(book))


NEW = consent(record_id=record_id(2))
REFUSALS: list[tuple[str, str, msgspec.Struct, str, str | None, type[Exception]]] = [
    ("a consent without the hub", "consent", NEW, USCC, None, SignatureInvalid),
    ("a consent with another hub", "consent", NEW, USCC, "evil hub", SignatureInvalid),
    ("a consent signed by a stranger", "consent", NEW, "thief", "hub", SignatureInvalid),
    ("a consent signed by another enterprise", "consent", NEW, OTHER_USCC, "hub", SignatureInvalid),
    ("a consent that the hub made up", "consent", NEW, "hub", "hub", SignatureInvalid),
    ("a consent signed by the bank that wants it", "consent", NEW, "firstbank-1", "hub", SignatureInvalid),
    ("a consent of an enterprise without a key", "consent", of(UNKNOWN_USCC), UNKNOWN_USCC, "hub", ConsentConflict),
    ("a consent for another provider", "consent", elsewhere(NEW), USCC, "hub", ConsentConflict),
    ("a consent that ends before it begins", "consent", consent(limits=Limits(valid_from_ms=NOW, valid_to_ms=NOW, data_life_days=1)), USCC, "hub", DocumentMalformed),
    ("a consent under another type", "consent-revocation", NEW, USCC, "hub", DocumentMalformed),
    ("an entry of an unknown type", "consent-wish", NEW, USCC, "hub", ConsentConflict),
    ("the same consent again", "consent", FIRST, USCC, "hub", ConsentConflict),
    ("another consent under a known identifier", "consent", consent(given_ms=NOW + 1), USCC, "hub", ConsentConflict),
    ("a later version without a first", "consent", version(2, record_id=record_id(2)), USCC, "hub", ConsentConflict),
    ("a version that names another before it", "consent", version(2, prev_record_sm3="ab" * 32), USCC, "hub", ConsentConflict),
    ("a version that skips one", "consent", version(3), USCC, "hub", ConsentConflict),
    ("a second version that names none before it", "consent", version(2, prev_record_sm3=None), USCC, "hub", DocumentMalformed),
    ("a later version by another enterprise", "consent", version(2, subject=of(OTHER_USCC).subject), OTHER_USCC, "hub", ConsentConflict),
    ("a later version signed by another enterprise", "consent", version(2), OTHER_USCC, "hub", SignatureInvalid),
    ("a revocation without the hub", "consent-revocation", revocation(), USCC, None, SignatureInvalid),
    ("a revocation that the hub made up", "consent-revocation", revocation(), "hub", "hub", SignatureInvalid),
    ("a revocation signed by another enterprise", "consent-revocation", revocation(), OTHER_USCC, "hub", SignatureInvalid),
    ("the revocation of somebody else's consent", "consent-revocation", revocation(uscc=OTHER_USCC), OTHER_USCC, "hub", ConsentConflict),
    ("the revocation of an unknown consent", "consent-revocation", revocation(record_id=record_id(7)), USCC, "hub", ConsentConflict),
    ("a revocation for another provider", "consent-revocation", revocation(provider="waterworks"), USCC, "hub", ConsentConflict),
    ("an expiry that the hub did not sign", "consent-expiry", expiry(), USCC, None, SignatureInvalid),
    ("an expiry before the consent ends", "consent-expiry", expiry(time_ms=ENDS - 1), "hub", "hub", ConsentConflict),
    ("the expiry of an unknown consent", "consent-expiry", expiry(record_id=record_id(7)), "hub", "hub", ConsentConflict),
    ("the expiry of somebody else's consent", "consent-expiry", expiry(uscc=OTHER_USCC), "hub", "hub", ConsentConflict),
    ("an expiry for another provider", "consent-expiry", expiry(provider="waterworks"), "hub", "hub", ConsentConflict),
    ("a request by no node that is known", "consent-request", request(node_id="n-9"), "n-9", "hub", ConsentConflict),
    ("a request in another member's name", "consent-request", request(requester="secondbank"), "firstbank-1", "hub", ConsentConflict),
    ("a request by another member's node", "consent-request", request(node_id="taxoffice-1"), "taxoffice-1", "hub", ConsentConflict),
    ("a request signed by another node", "consent-request", request(), "taxoffice-1", "hub", SignatureInvalid),
    ("a request without the hub", "consent-request", request(), "firstbank-1", None, SignatureInvalid),
    ("a request for another provider", "consent-request", request(provider="waterworks"), "firstbank-1", "hub", ConsentConflict),
    ("a refusal signed by the bank", "consent-refusal", refusal(), "firstbank-1", "hub", SignatureInvalid),
    ("a refusal by an enterprise without a key", "consent-refusal", refusal(uscc=UNKNOWN_USCC), UNKNOWN_USCC, "hub", ConsentConflict),
    ("a refusal for another provider", "consent-refusal", refusal(provider="waterworks"), USCC, "hub", ConsentConflict),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "document", "signer", "hub", "error"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_an_entry_that_breaks_a_rule_is_refused_and_changes_nothing(
    log: Log, name: str, document: msgspec.Struct, signer: str, hub: str | None, error: type[Exception]
) -> None:
    before = snapshot(log.book)
    with pytest.raises(error) as refused:
        log.enter(name, document, signer, hub=hub)
    assert snapshot(log.book) == before
    assert refused.value.code.isupper()
    assert len(str(refused.value)) > 30
    assert key(signer).public.encode() not in str(refused.value)


GENUINE = signed("consent", NEW, USCC)


@given(at=st.integers(0, len(GENUINE.payload) - 1), bit=st.integers(0, 7))
def test_a_consent_that_was_altered_by_one_bit_is_refused(at: int, bit: int) -> None:
    damaged = bytearray(GENUINE.payload)
    damaged[at] ^= 1 << bit
    with pytest.raises(SignatureInvalid):
        LOG.take(replace(GENUINE, payload=bytes(damaged)))


LOG = Log()


def test_a_consent_whose_type_was_changed_afterwards_is_refused(log: Log) -> None:
    with pytest.raises(SignatureInvalid):
        log.take(replace(GENUINE, payload_type=payload_type("consent-revocation")))


def test_an_honest_consent_is_taken_and_found(log: Log) -> None:
    (view,) = log.book.consents_of(USCC)
    assert view == log.book.view(RECORD)
    assert (view.record_id, view.uscc, view.terms) == (RECORD, USCC, terms_of(FIRST))
    assert (view.valid_from_ms, view.valid_to_ms, view.revoked_ms) == (NOW, ENDS, None)
    assert view.signature_ok
    assert len(log.book) == log.book.subject_count == 1
    stored = log.book.stored(RECORD)
    assert (stored.status, stored.record_version, stored.log_index) == (Status.ACTIVE, 1, 0)
    assert stored.payload_sm3.hex() == FIRST_SM3


def test_what_is_not_in_the_book_is_not_found(log: Log) -> None:
    assert log.book.consents_of(OTHER_USCC) == []
    assert log.book.view(record_id(7)) is log.book.stored(record_id(7)) is None
    with pytest.raises(SignatureInvalid):
        log.enter("consent", of(OTHER_USCC), USCC)
    assert log.book.consents_of(OTHER_USCC) == []


def test_checking_an_entry_does_not_take_it(log: Log) -> None:
    before = snapshot(log.book)
    change = log.book.check_entry(1, GENUINE, log.world.directory, HUB)
    assert snapshot(log.book) == before
    assert log.take(GENUINE) == change
    assert log.book.view(NEW.record_id) is not None


def test_terms_that_are_equal_are_kept_once(log: Log) -> None:
    log.enter("consent", NEW, USCC)
    log.enter("consent", of(OTHER_USCC), OTHER_USCC)
    assert len(log.book) == 3
    assert len(log.book.terms) == 1
    longer = msgspec.structs.replace(FIRST.limits, data_life_days=31)
    log.enter("consent", consent(record_id=record_id(3), limits=longer), USCC)
    assert len(log.book.terms) == 2


def test_a_subject_with_several_consents_has_them_all(log: Log) -> None:
    for number in (2, 3):
        log.enter("consent", consent(record_id=record_id(number)), USCC)
        log.enter("consent", msgspec.structs.replace(of(OTHER_USCC), record_id=record_id(number + 10)), OTHER_USCC)
    assert [view.record_id for view in log.book.consents_of(USCC)] == [RECORD, record_id(2), record_id(3)]
    assert [view.record_id for view in log.book.consents_of(OTHER_USCC)] == [record_id(12), record_id(13)]
    assert log.book.subjects_with_several() == [[0, 1, 3], [2, 4]]
    assert log.book.subject_count == 2


def test_a_revocation_ends_the_consent_and_a_second_one_changes_nothing(log: Log) -> None:
    change = log.enter("consent-revocation", revocation(), USCC)
    assert (change.kind, change.uscc, change.row) == ("revocation", USCC, log.book.stored(RECORD))
    assert log.book.view(RECORD).revoked_ms == NOW + 1
    assert log.book.stored(RECORD).status is Status.WITHDRAWN
    first = log.book.stored(RECORD)
    log.enter("consent-revocation", revocation(time_ms=NOW + 5, reason="again"), USCC)
    assert log.book.stored(RECORD) == first


def test_a_revoked_consent_gets_no_later_version(log: Log) -> None:
    log.enter("consent-revocation", revocation(), USCC)
    with pytest.raises(ConsentConflict):
        log.enter("consent", version(2), USCC)
    assert log.book.view(RECORD).revoked_ms == NOW + 1


def test_a_later_version_takes_the_place_of_the_one_before(log: Log) -> None:
    longer = msgspec.structs.replace(FIRST.limits, valid_to_ms=ENDS + DAY, max_uses=3)
    second = version(2, limits=longer)
    log.enter("consent", second, USCC)
    (view,) = log.book.consents_of(USCC)
    assert (view.valid_to_ms, view.terms) == (ENDS + DAY, terms_of(second))
    assert view.terms.max_uses == 3
    assert (log.book.stored(RECORD).record_version, log.book.stored(RECORD).log_index) == (2, 1)
    third = version(3, prev_record_sm3=sm3(encode(second)).hex())
    log.enter("consent", third, USCC)
    assert log.book.stored(RECORD).record_version == 3
    for replayed in (FIRST, second, third):
        with pytest.raises(ConsentConflict):
            log.enter("consent", replayed, USCC)
    log.enter("consent-revocation", revocation(), USCC)
    assert log.book.view(RECORD).revoked_ms == NOW + 1


def test_an_expiry_is_noted_and_does_not_hide_a_revocation(log: Log) -> None:
    log.enter("consent", NEW, USCC)
    log.enter("consent-revocation", revocation(), USCC)
    for each in (RECORD, NEW.record_id):
        log.enter("consent-expiry", expiry(record_id=each), "hub")
    assert log.book.stored(RECORD).status is Status.WITHDRAWN
    assert log.book.view(RECORD).revoked_ms == NOW + 1
    assert log.book.stored(NEW.record_id).status is Status.EXPIRED
    assert log.book.view(NEW.record_id).revoked_ms is None


def test_requests_and_refusals_tell_what_they_are_about_and_leave_the_consents_alone(log: Log) -> None:
    rows = [log.book.stored(RECORD)]
    asked = log.enter("consent-request", request(), "firstbank-1")
    assert (asked.kind, asked.uscc, asked.request_id, asked.row) == ("request", USCC, REQUEST, None)
    refused = log.enter("consent-refusal", refusal(), USCC)
    assert (refused.kind, refused.uscc, refused.request_id, refused.row) == ("refusal", USCC, REQUEST, None)
    assert [log.book.stored(each) for each in log.book.record_ids] == rows


def test_a_consent_names_the_request_that_it_answers(log: Log) -> None:
    change = log.enter("consent", consent(record_id=record_id(2), request_id=REQUEST), USCC)
    assert (change.kind, change.request_id, change.dated_ms) == ("consent", REQUEST, NOW)


# -- keys that were replaced, and documents dated into the past


@pytest.fixture
def rotated() -> Log:
    """The first enterprise replaced its key after ten days; its consent is of before."""
    made = Log()
    made.enter("consent", FIRST, USCC)
    changes = {"public_key": public("second"), "version": 2, "prev_key_id": key(USCC).public.key_id}
    made.world.enter("subject-key", subject_key(USCC, time_ms=NOW + 10 * DAY, **changes), "operator")
    return made


@pytest.mark.parametrize(
    ("signer", "dated_ms", "accepted"),
    [
        ("second", NOW + 10 * DAY, True),
        ("second", NOW + 20 * DAY, True),
        (USCC, NOW + 10 * DAY - 1, True),
        (USCC, NOW + 10 * DAY, False),
        (USCC, NOW + 20 * DAY, False),
        ("second", NOW + 10 * DAY - 1, False),
        ("second", NOW, False),
    ],
)
def test_only_the_key_of_that_time_signs(rotated: Log, signer: str, dated_ms: int, accepted: bool) -> None:
    document = consent(record_id=record_id(2), given_ms=dated_ms)
    if accepted:
        rotated.enter("consent", document, signer)
        assert rotated.book.view(record_id(2)) is not None
    else:
        with pytest.raises(SignatureInvalid):
            rotated.enter("consent", document, signer)


@pytest.mark.parametrize("document", [consent(record_id=record_id(2)), version(2), revocation(), refusal()])
def test_a_replaced_key_cannot_sign_into_the_past(rotated: Log, document: msgspec.Struct) -> None:
    rotated.enter("consent", msgspec.structs.replace(of(OTHER_USCC), given_ms=NOW + 11 * DAY), OTHER_USCC)
    before = snapshot(rotated.book)
    names = {ConsentDocument: "consent", ConsentRevocation: "consent-revocation", ConsentRefusal: "consent-refusal"}
    with pytest.raises(ConsentConflict, match="dated"):
        rotated.enter(names[type(document)], document, USCC)
    assert snapshot(rotated.book) == before


@pytest.mark.parametrize(("late_ms", "accepted"), [(0, True), (DATING_GRACE_MS, True), (DATING_GRACE_MS + 1, False)])
def test_documents_may_be_dated_out_of_order_by_the_grace_only(log: Log, late_ms: int, accepted: bool) -> None:
    log.enter("consent", consent(record_id=record_id(2), given_ms=NOW + DAY), USCC)
    late = consent(record_id=record_id(3), given_ms=NOW + DAY - late_ms)
    if accepted:
        log.enter("consent", late, USCC)
    else:
        with pytest.raises(ConsentConflict, match="dated"):
            log.enter("consent", late, USCC)
    assert log.book.newest_ms == NOW + DAY


@pytest.mark.parametrize(("early_ms", "accepted"), [(1, True), (DATING_GRACE_MS, True), (DATING_GRACE_MS + 1, False)])
def test_a_document_may_be_dated_before_its_key_was_approved_by_the_grace_only(early_ms: int, accepted: bool) -> None:
    log = Log()
    if accepted:
        log.enter("consent", consent(given_ms=NOW - early_ms), USCC)
        assert len(log.book) == 1
    else:
        with pytest.raises(ConsentConflict, match="no valid key"):
            log.enter("consent", consent(given_ms=NOW - early_ms), USCC)


def test_a_lost_key_gives_no_consent_from_then_on_and_what_it_gave_stays(log: Log) -> None:
    lost = SubjectKeyRevoked(uscc=USCC, key_id=key(USCC).public.key_id, reason="lost", time_ms=NOW + 5, operator="op")
    log.world.enter("subject-key-revoked", lost, "operator")
    with pytest.raises(ConsentConflict, match="no valid key"):
        log.enter("consent", consent(record_id=record_id(2), given_ms=NOW + 5), USCC)
    assert log.book.view(RECORD).revoked_ms is None


def test_a_node_that_was_cut_off_asks_for_nothing_any_more(log: Log) -> None:
    log.world.enter(
        "node-revoked", NodeRevoked(node_id="firstbank-1", reason="stolen", time_ms=NOW + 5, operator="op"), "operator"
    )
    # What it asked before stays valid: a cold start reads the directory first, and the log after it.
    log.enter("consent-request", request(time_ms=NOW + 4), "firstbank-1")
    with pytest.raises(ConsentConflict, match="firstbank-1"):
        log.enter("consent-request", request(request_id=record_id(8), time_ms=NOW + 5), "firstbank-1")


# -- loading what was verified before


def busy_log() -> Log:
    """Return a log with consents in all states, of two enterprises."""
    made = Log()
    made.enter("consent", FIRST, USCC)
    for number in (2, 3, 4):
        made.enter("consent", consent(record_id=record_id(number)), USCC)
    made.enter("consent", of(OTHER_USCC), OTHER_USCC)
    made.enter("consent", version(2, limits=msgspec.structs.replace(FIRST.limits, max_uses=2)), USCC)
    made.enter("consent-revocation", revocation(record_id=record_id(2)), USCC)
    made.enter("consent-expiry", expiry(record_id=record_id(3)), "hub")
    return made


def test_a_book_that_is_loaded_equals_the_one_that_was_folded() -> None:
    folded = busy_log().book
    rows = [folded.stored(each) for each in folded.record_ids]
    by_rows, by_columns = ConsentBook(PROVIDER), ConsentBook(PROVIDER)
    by_rows.load(rows)
    by_columns.load_columns(
        (
            (
                row.record_id,
                row.uscc,
                folded.terms.index(row.terms),
                row.record_version,
                row.payload_sm3,
                row.valid_from_ms,
                row.valid_to_ms,
                int(row.status),
                row.revoked_ms,
                row.log_index,
            )
            for row in rows
        ),
        folded.terms,
    )
    assert {row.status for row in rows} == {Status.ACTIVE, Status.WITHDRAWN, Status.EXPIRED}
    for loaded in (by_rows, by_columns):
        assert [loaded.stored(each) for each in loaded.record_ids] == rows
        for uscc in (USCC, OTHER_USCC, UNKNOWN_USCC):
            assert loaded.consents_of(uscc) == folded.consents_of(uscc)
        assert loaded.subject_count == 2
        assert loaded.subjects_with_several() == folded.subjects_with_several()


def test_the_changes_told_are_enough_to_keep_the_book_elsewhere() -> None:
    log, kept = Log(), ConsentBook(PROVIDER)
    for name, document, signer in (
        ("consent", FIRST, USCC),
        ("consent", of(OTHER_USCC), OTHER_USCC),
        ("consent", version(2), USCC),
        ("consent-revocation", revocation(), USCC),
        ("consent-expiry", expiry(), "hub"),
    ):
        change = log.enter(name, document, signer)
        assert change.row is not None
        kept.load([change.row])
    assert [kept.stored(each) for each in kept.record_ids] == [log.book.stored(each) for each in log.book.record_ids]


def test_only_an_empty_book_is_loaded_by_columns(log: Log) -> None:
    with pytest.raises(ValueError, match="empty"):
        log.book.load_columns([], [])


def test_a_loaded_book_goes_on_taking_entries() -> None:
    folded = busy_log()
    loaded = ConsentBook(PROVIDER)
    loaded.load([folded.book.stored(each) for each in folded.book.record_ids])
    entry = signed("consent", version(3, prev_record_sm3=folded.book.stored(RECORD).payload_sm3.hex()), USCC)
    change = loaded.apply_entry(folded.size, entry, folded.world.directory, HUB)
    assert change.row.record_version == 3
    with pytest.raises((ConsentError, TrustError)):
        loaded.apply_entry(folded.size + 1, entry, folded.world.directory, HUB)


def test_a_book_knows_which_members_may_use(log: Log) -> None:
    assert log.book.view(RECORD).terms.data_users == (BANK,)
    assert log.book.view(RECORD).terms.provider == PROVIDER
