"""The book of consents and time: which key and which node speaks when, how far dates may be out of order; and further refusals."""

from __future__ import annotations

import msgspec
import pytest

from consent.book import DATING_GRACE_MS, ConsentBook
from consent.catalogue import load_catalogue
from consent.decision import Denial, Freshness, ItemUse, Permit, UseRequest, decide
from consent.directory import NodeRevoked, SubjectKeyRevoked
from consent.documents import (
    ConsentExpiry,
    ConsentRefusal,
    ConsentRevocation,
    ItemMode,
    Purpose,
    encode,
    payload_type,
)
from consent.errors import ConsentConflict
from consent.rules import load_rules
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
    World,
    consent,
    key,
    public,
    record_id,
    request,
    signed,
    subject_key,
)
from trust.errors import SignatureInvalid
from trust.suite import sm3

FIRST = consent()
ENDS = FIRST.limits.valid_to_ms
SECOND = consent(record_version=2, prev_record_sm3=sm3(encode(FIRST)).hex())
OTHER = consent(record_id=record_id(9), subject=msgspec.structs.replace(FIRST.subject, uscc=OTHER_USCC))
REVOCATION = ConsentRevocation(record_id=RECORD, provider=PROVIDER, uscc=USCC, time_ms=NOW + 1)
EXPIRY = ConsentExpiry(record_id=RECORD, provider=PROVIDER, uscc=USCC, time_ms=ENDS)
REFUSAL = ConsentRefusal(request_id=REQUEST, provider=PROVIDER, uscc=USCC, time_ms=NOW)


@pytest.fixture
def log() -> Log:
    """A log with the first enterprise's consent."""
    made = Log()
    made.enter("consent", FIRST)
    return made


@pytest.fixture
def rotated(log: Log) -> Log:
    """The first enterprise replaced its key after ten days; its consent is of before."""
    changes = {"public_key": public("second"), "version": 2, "prev_key_id": key(USCC).public.key_id}
    log.world.enter("subject-key", subject_key(USCC, time_ms=NOW + 10 * DAY, **changes), "operator")
    return log


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


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("consent", consent(record_id=record_id(2))),
        ("consent", SECOND),
        ("consent-revocation", REVOCATION),
        ("consent-refusal", REFUSAL),
    ],
)
def test_a_replaced_key_signs_nothing_into_the_past(rotated: Log, name: str, document: msgspec.Struct) -> None:
    # Another enterprise's entry is enough to move the log on.
    rotated.enter("consent", msgspec.structs.replace(OTHER, given_ms=NOW + 11 * DAY), OTHER_USCC)
    before = repr(vars(rotated.book))
    with pytest.raises(ConsentConflict, match="dated"):
        rotated.enter(name, document, USCC)
    assert repr(vars(rotated.book)) == before


@pytest.fixture
def lost(log: Log) -> Log:
    """The first enterprise's key was revoked after ten days; a new one was approved a day later."""
    ended = SubjectKeyRevoked(
        uscc=USCC, key_id=key(USCC).public.key_id, reason="lost", time_ms=NOW + 10 * DAY, operator="op"
    )
    log.world.enter("subject-key-revoked", ended, "operator")
    changes = {"public_key": public("second"), "version": 2, "prev_key_id": key(USCC).public.key_id}
    log.world.enter("subject-key", subject_key(USCC, time_ms=NOW + 11 * DAY, **changes), "operator")
    return log


@pytest.mark.parametrize("how", ["rotated", "lost"])
def test_a_consent_of_the_old_key_stays_in_force_and_is_the_new_keys_to_withdraw(
    how: str, request: pytest.FixtureRequest
) -> None:
    log: Log = request.getfixturevalue(how)
    use = UseRequest(
        subject=USCC,
        requester=BANK,
        provider=PROVIDER,
        purpose=Purpose.PRE_LOAN,
        items=(ItemUse(item_id="tax_registration", mode=ItemMode.Q),),
        at_ms=NOW + 12 * DAY,
    )

    def decided() -> Permit | Denial:
        fresh = Freshness(checkpoint_ms=use.at_ms)
        return decide(use, log.book.consents_of(USCC), fresh, load_catalogue(), load_rules())

    assert isinstance(decided(), Permit)
    withdrawal = msgspec.structs.replace(REVOCATION, time_ms=NOW + 12 * DAY)
    with pytest.raises(SignatureInvalid):
        log.enter("consent-revocation", withdrawal, USCC)
    log.enter("consent-revocation", withdrawal, "second")
    assert log.book.stored(RECORD).revoked_ms == NOW + 12 * DAY
    assert isinstance(decided(), Denial)


@pytest.mark.parametrize(
    ("signer", "dated_ms", "error"),
    [
        (USCC, NOW + 10 * DAY - 1, None),
        (USCC, NOW + 10 * DAY, ConsentConflict),  # nobody's key stands then
        (USCC, NOW + 11 * DAY, SignatureInvalid),
        (USCC, NOW + 20 * DAY, SignatureInvalid),
        ("second", NOW + 10 * DAY + 1, ConsentConflict),
        ("second", NOW + 11 * DAY, None),
    ],
)
def test_a_lost_key_gives_no_consent_after_its_end(
    lost: Log, signer: str, dated_ms: int, error: type[Exception] | None
) -> None:
    document = consent(record_id=record_id(2), given_ms=dated_ms)
    if error is None:
        lost.enter("consent", document, signer)
    else:
        with pytest.raises(error):
            lost.enter("consent", document, signer)


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


def test_a_node_that_was_cut_off_asks_for_nothing_any_more(log: Log) -> None:
    cut_off = NodeRevoked(node_id="firstbank-1", reason="stolen", time_ms=NOW + 5, operator="op")
    log.world.enter("node-revoked", cut_off, "operator")
    # What it asked before stays good: a cold start reads the directory first, and the log after it.
    log.enter("consent-request", request(time_ms=NOW + 4), "firstbank-1")
    with pytest.raises(ConsentConflict, match="firstbank-1"):
        log.enter("consent-request", request(request_id=record_id(8), time_ms=NOW + 5), "firstbank-1")


def elsewhere(document: msgspec.Struct) -> msgspec.Struct:
    """Return the document as it would be for another provider's log."""
    return msgspec.structs.replace(document, provider="waterworks")


REFUSALS: list[tuple[str, str, msgspec.Struct, str, str | None, type[Exception]]] = [
    ("another consent under its identifier", "consent", consent(given_ms=NOW + 1), USCC, "hub", ConsentConflict),
    ("a version signed by another enterprise", "consent", SECOND, OTHER_USCC, "hub", SignatureInvalid),
    ("a version that the hub made up", "consent", SECOND, "hub", "hub", SignatureInvalid),
    ("a revocation without the hub", "consent-revocation", REVOCATION, USCC, None, SignatureInvalid),
    (
        "the expiry of another's consent",
        "consent-expiry",
        msgspec.structs.replace(EXPIRY, uscc=OTHER_USCC),
        "hub",
        "hub",
        ConsentConflict,
    ),
    (
        "the expiry of nothing",
        "consent-expiry",
        msgspec.structs.replace(EXPIRY, record_id=record_id(7)),
        "hub",
        "hub",
        ConsentConflict,
    ),
    (
        "an expiry a millisecond early",
        "consent-expiry",
        msgspec.structs.replace(EXPIRY, time_ms=ENDS - 1),
        "hub",
        "hub",
        ConsentConflict,
    ),
    ("an expiry for another provider", "consent-expiry", elsewhere(EXPIRY), "hub", "hub", ConsentConflict),
    ("a request for another provider", "consent-request", elsewhere(request()), "firstbank-1", "hub", ConsentConflict),
    ("a request without the hub", "consent-request", request(), "firstbank-1", None, SignatureInvalid),
    ("a refusal for another provider", "consent-refusal", elsewhere(REFUSAL), USCC, "hub", ConsentConflict),
    ("a refusal by another enterprise", "consent-refusal", REFUSAL, OTHER_USCC, "hub", SignatureInvalid),
]


@pytest.mark.parametrize(
    ("name", "document", "signer", "hub", "error"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_a_further_entry_that_breaks_a_rule_is_refused_and_changes_nothing(
    log: Log, name: str, document: msgspec.Struct, signer: str, hub: str | None, error: type[Exception]
) -> None:
    before = repr(vars(log.book))
    with pytest.raises(error):
        log.enter(name, document, signer, hub=hub)
    assert repr(vars(log.book)) == before


def test_a_document_whose_type_was_changed_afterwards_is_refused(log: Log) -> None:
    entry = signed("consent", consent(record_id=record_id(2)), USCC)
    retyped = type(entry)(payload_type("consent-revocation"), entry.payload, entry.signatures)
    with pytest.raises(SignatureInvalid):
        log.book.apply_entry(1, retyped, log.world.directory, key("hub").public)


def test_the_rows_of_the_changes_are_enough_to_keep_the_book_elsewhere() -> None:
    world, folded, kept = World(), ConsentBook(PROVIDER), ConsentBook(PROVIDER)
    for name, document, signer in (
        ("consent", FIRST, USCC),
        ("consent", OTHER, OTHER_USCC),
        ("consent", SECOND, USCC),
        ("consent-revocation", REVOCATION, USCC),
        ("consent-expiry", EXPIRY, "hub"),
    ):
        change = folded.apply_entry(0, signed(name, document, signer), world.directory, key("hub").public)
        assert change.row is not None
        kept.load([change.row])
    assert [kept.stored(each) for each in kept.record_ids] == [folded.stored(each) for each in folded.record_ids]
    assert kept.stored(RECORD).record_version == 2
    assert kept.stored(RECORD).revoked_ms == NOW + 1
