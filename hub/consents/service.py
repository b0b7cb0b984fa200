"""What becomes of consents: asked for, given, refused, withdrawn, run out. Every act is an entry of the provider's log.

Rules, beyond those of `record`:
1. The same document again gets the same answer and no second entry; a call can be repeated after a lost reply.
2. A request is the calling node's own, to an enterprise with an approved key, about what the provider publishes.
3. A consent that answers a request names its requester. A later version names no further users: those would have to be shown
   a past that they had no right to see; a new consent says the same.
4. A withdrawn consent stays withdrawn; a refusal answers a request that is open.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from consent.book import Change
from consent.directory import Directory
from consent.documents import (
    CONSENT_EXPIRY_TYPE,
    CONSENT_REFUSAL_TYPE,
    CONSENT_REQUEST_TYPE,
    CONSENT_REVOCATION_TYPE,
    CONSENT_TYPE,
    ConsentDocument,
    ConsentExpiry,
    ConsentRequest,
    encode,
    parse_consent,
    parse_refusal,
    parse_request,
    parse_revocation,
)
from hub.auth import Caller
from hub.consents import inbox
from hub.consents.record import (
    ACTIVE,
    EXPIRED,
    SUPERSEDED,
    WITHDRAWN,
    ConsentsRow,
    Written,
    book_row,
    check_entry,
    newest_version,
    write_entry,
)
from hub.consents.tables import consent_requests, consent_users, consents
from hub.errors import HubError
from hub.logs import service as logs
from hub.members.service import check_clock
from hub.state import Hub
from trust.document import SignedDocument, sign_document, verify_document
from trust.suite import sm3

REQUESTED, GRANTED, REFUSED = "requested", "granted", "refused"
EXPIRED_AT_ONCE: Final = 100
_USERS: Final = select(consent_users.c.member).where(consent_users.c.record_id == bindparam("record_id"))
_INSERT_VERSION: Final = insert(consents)
_INSERT_USERS: Final = insert(consent_users)


def request(hub: Hub, connection: Connection, who: Caller, document: SignedDocument) -> Written:
    """Record a member's request for consent; where it stands is proved by `record.proven`.

    Raises HubError PERMISSION_DENIED, SUBJECT_UNKNOWN, PRODUCT_UNAVAILABLE, ALREADY_EXISTS, CLOCK_SKEW; SignatureInvalid,
    DocumentMalformed.
    """
    _require_type(document, CONSENT_REQUEST_TYPE)
    asked = parse_request(document.payload)
    if (asked.requester, asked.node_id) != (who.member_id, who.node_id):
        raise HubError("PERMISSION_DENIED", "the request is in another node's name; sign it as the node that calls")
    digest = sm3(document.payload).hex()
    known = _request_row(connection, asked.request_id)
    if known is not None:
        if known.payload_sm3 != digest:
            raise HubError("ALREADY_EXISTS", "there is a request of this identifier; choose a fresh one")
        return Written(provider=known.provider, log_index=known.log_index)
    check_clock(hub, asked.time_ms, "the request")
    directory = hub.directory.in_write(connection)
    _known_subject(directory, asked.uscc)
    _check_offer(directory, asked)
    index, _ = write_entry(hub, connection, asked.provider, document)
    row = {
        "request_id": asked.request_id,
        "requester": asked.requester,
        "provider": asked.provider,
        "uscc": asked.uscc,
        "state": REQUESTED,
        "payload_sm3": digest,
        "log_index": index,
        "time_ms": asked.time_ms,
        "refusal_sm3": "",
        "refusal_index": -1,
    }
    connection.execute(insert(consent_requests), row)
    _deliver(connection, asked.provider, index, {asked.requester})
    return Written(provider=asked.provider, log_index=index)


def submit(hub: Hub, connection: Connection, document: SignedDocument) -> Written:
    """Record what an enterprise signed: a consent, a refusal or a revocation; `record.proven` proves where it stands.

    Raises HubError SUBJECT_UNKNOWN, NOT_FOUND, WRONG_STATE, CLOCK_SKEW, INVALID_ARGUMENT; SignatureInvalid, DocumentMalformed,
    ConsentConflict.
    """
    handler = {CONSENT_TYPE: _grant, CONSENT_REFUSAL_TYPE: _refuse, CONSENT_REVOCATION_TYPE: _withdraw}.get(
        document.payload_type
    )
    if handler is None:
        raise HubError(
            "INVALID_ARGUMENT",
            f"a document of type {document.payload_type} does not belong here; send a consent, refusal or revocation",
        )
    return handler(hub, connection, document)


def due(connection: Connection, now_ms: int) -> list[ConsentsRow]:
    """Consents in force whose time is over, at most a hundred."""
    ended = select(consents).where(consents.c.state == ACTIVE, consents.c.valid_to_ms <= now_ms)
    return list(connection.execute(ended.limit(EXPIRED_AT_ONCE)).all())


def expire(hub: Hub, connection: Connection, record_id: str, version: int) -> bool:
    """Note the end of a consent whose time is over; False if it has changed meanwhile. The next checkpoint covers it.

    Raises ConsentConflict.
    """
    now_ms, row = hub.clock(), newest_version(connection, record_id)
    if row is None or row.version != version or row.state != ACTIVE or row.valid_to_ms > now_ms:
        return False
    entry = ConsentExpiry(record_id=record_id, provider=row.provider, uscc=row.uscc, time_ms=now_ms)
    document = sign_document(CONSENT_EXPIRY_TYPE, encode(entry), hub.keys.log_key)
    index, _ = write_entry(hub, connection, row.provider, document, about=[book_row(connection, row)])
    _end(connection, row, EXPIRED, now_ms, index)
    _deliver(connection, row.provider, index, _users(connection, record_id))
    return True


def _grant(hub: Hub, connection: Connection, document: SignedDocument) -> Written:
    consent = parse_consent(document.payload)
    provider, record_id = consent.recipients.data_source, consent.record_id
    directory = hub.directory.in_write(connection)
    _known_subject(directory, consent.subject.uscc)
    for member_id in (provider, *consent.recipients.data_users):
        if directory.member(member_id) is None:
            raise HubError("NOT_FOUND", f"there is no member {member_id}; name one of the directory")
    digest = sm3(document.payload).hex()
    known = newest_version(connection, record_id)
    if known is not None and known.payload_sm3 == digest and known.provider == provider:
        _verify_again(hub, connection, document, consent, known)
        return Written(provider=provider, log_index=known.log_index)
    users = set(consent.recipients.data_users)
    before = set() if known is None else _users(connection, record_id)
    if known is not None and not users <= before:
        raise HubError(
            "CONSENT_CONFLICT", "a later version cannot name further institutions; give them a consent of their own"
        )
    _answer_request(connection, consent, users)
    about = [] if known is None else [book_row(connection, known)]
    index, change = write_entry(hub, connection, provider, document, about=about)
    _store_version(hub, connection, consent, digest, change, index)
    _deliver(connection, provider, index, users | before)
    return Written(provider=provider, log_index=index)


def _store_version(
    hub: Hub, connection: Connection, consent: ConsentDocument, digest: str, change: Change, index: int
) -> None:
    if consent.record_version > 1:
        own = consents.c.record_id == consent.record_id
        superseded = {"state": SUPERSEDED, "ended_ms": hub.clock(), "end_index": index}
        connection.execute(update(consents).where(own, consents.c.state.in_([ACTIVE, EXPIRED])).values(**superseded))
        connection.execute(delete(consent_users).where(consent_users.c.record_id == consent.record_id))
    row = {
        "record_id": consent.record_id,
        "version": consent.record_version,
        "provider": consent.recipients.data_source,
        "uscc": change.uscc,
        "state": ACTIVE,
        "payload_sm3": digest,
        "log_index": index,
        "valid_to_ms": consent.limits.valid_to_ms,
        "ended_ms": 0,
        "end_index": -1,
    }
    connection.execute(_INSERT_VERSION, row)
    provider = consent.recipients.data_source
    connection.execute(
        _INSERT_USERS,
        [
            {"member": member, "provider": provider, "record_id": consent.record_id}
            for member in sorted(set(consent.recipients.data_users))
        ],
    )


def _verify_again(
    hub: Hub, connection: Connection, document: SignedDocument, consent: ConsentDocument, known: ConsentsRow
) -> None:
    """The digest alone would answer whoever has seen the document: the signature is asked for again.

    A first version is checked as if it were new; a later one against nothing but its signer.
    """
    key = hub.directory.in_write(connection).subject_key(consent.subject.uscc, consent.given_ms)
    key = key or hub.directory.in_write(connection).subject_key(consent.subject.uscc)
    if key is None or known.uscc != consent.subject.uscc:
        raise HubError("SUBJECT_UNKNOWN")
    verify_document(document, CONSENT_TYPE, key)


def _answer_request(connection: Connection, consent: ConsentDocument, users: set[str]) -> None:
    if consent.request_id is None:
        return
    row = _open_request(connection, consent.request_id, consent.recipients.data_source, consent.subject.uscc)
    if row.requester not in users:
        raise HubError("CONSENT_CONFLICT", f"the consent answers a request of {row.requester} but does not name it")
    own = consent_requests.c.request_id == consent.request_id
    connection.execute(update(consent_requests).where(own).values(state=GRANTED))


def _refuse(hub: Hub, connection: Connection, document: SignedDocument) -> Written:
    refusal = parse_refusal(document.payload)
    _known_subject(hub.directory.in_write(connection), refusal.uscc)
    row = _open_request(connection, refusal.request_id, refusal.provider, refusal.uscc)
    digest = sm3(document.payload).hex()
    if row.state == REFUSED and row.refusal_sm3 == digest:
        check_entry(hub, connection, refusal.provider, document)
        return Written(provider=refusal.provider, log_index=row.refusal_index)
    if row.state != REQUESTED:
        raise HubError("WRONG_STATE", f"the request is {row.state} already; withdraw the consent if one was given")
    index, _ = write_entry(hub, connection, refusal.provider, document)
    own = consent_requests.c.request_id == refusal.request_id
    values = {"state": REFUSED, "refusal_sm3": digest, "refusal_index": index}
    connection.execute(update(consent_requests).where(own).values(**values))
    _deliver(connection, refusal.provider, index, {row.requester})
    return Written(provider=refusal.provider, log_index=index)


def _withdraw(hub: Hub, connection: Connection, document: SignedDocument) -> Written:
    entry = parse_revocation(document.payload)
    _known_subject(hub.directory.in_write(connection), entry.uscc)
    known = newest_version(connection, entry.record_id)
    if known is None or (known.provider, known.uscc) != (entry.provider, entry.uscc):
        raise HubError("NOT_FOUND", "there is no such consent of this enterprise for this provider; list its consents")
    about = [book_row(connection, known)]
    if known.state == WITHDRAWN:
        check_entry(hub, connection, entry.provider, document, about=about)
        return Written(provider=entry.provider, log_index=known.end_index)
    index, _ = write_entry(hub, connection, entry.provider, document, about=about)
    _end(connection, known, WITHDRAWN, entry.time_ms, index)
    _deliver(connection, entry.provider, index, _users(connection, entry.record_id))
    return Written(provider=entry.provider, log_index=index)


def _end(connection: Connection, row: ConsentsRow, state: str, ended_ms: int, index: int) -> None:
    own = (consents.c.record_id == row.record_id) & (consents.c.version == row.version)
    connection.execute(update(consents).where(own).values(state=state, ended_ms=ended_ms, end_index=index))


def _users(connection: Connection, record_id: str) -> set[str]:
    return set(connection.execute(_USERS, {"record_id": record_id}).scalars())


def _deliver(connection: Connection, provider: str, index: int, members: set[str]) -> None:
    inbox.deliver(connection, logs.consent_origin(provider), index, members - {provider})


def _request_row(connection: Connection, request_id: str) -> ConsentsRow | None:
    return connection.execute(select(consent_requests).where(consent_requests.c.request_id == request_id)).first()


def _open_request(connection: Connection, request_id: str, provider: str, uscc: str) -> ConsentsRow:
    row = _request_row(connection, request_id)
    if row is None or (row.provider, row.uscc) != (provider, uscc):
        raise HubError("NOT_FOUND", "there is no such request to this enterprise; list the requests that wait")
    return row


def _known_subject(directory: Directory, uscc: str) -> None:
    if directory.subject(uscc) is None:
        raise HubError("SUBJECT_UNKNOWN")


def _check_offer(directory: Directory, asked: ConsentRequest) -> None:
    """Every item is offered in its mode by some published product of the provider."""
    offered = {
        (item.item_id, mode)
        for product in directory.products()
        if product.published.provider == asked.provider
        for item in product.published.items
        for mode in item.modes
    }
    for part in asked.scope:
        if (part.item_id, part.mode) not in offered:
            raise HubError(
                "PRODUCT_UNAVAILABLE",
                f"{asked.provider} publishes no product with item {part.item_id} in mode {part.mode}; "
                "choose from the catalogue",
            )


def _require_type(document: SignedDocument, wanted: str) -> None:
    if document.payload_type != wanted:
        raise HubError(
            "INVALID_ARGUMENT", f"a document of type {document.payload_type} does not belong here; send {wanted}"
        )
