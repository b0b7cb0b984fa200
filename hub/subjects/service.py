"""Enterprises: they register a key, an operator approves it, and from then on they sign every call.

A registration is taken, and approved, after these checks; the first that fails is the answer:
1. The key that it states signed it (SIGNATURE_INVALID): whoever registers a key has it.
2. Where the enterprise has a key that stands, that one signed too (ALREADY_EXISTS, SIGNATURE_INVALID): nobody else puts its
   registration back to pending. Where its key was revoked, the operator sees that the old key did not sign, and asks.
3. The key is not one that the enterprise had before (ALREADY_EXISTS): a stolen key never comes back.

A signed call ("access-request") is accepted after these checks, in this order; the first that fails is the answer:
1. It parses, and is for the action and the very body that came with it (INVALID_ARGUMENT): a request for one thing
   never does another.
2. The enterprise has a key in the directory (SUBJECT_UNKNOWN), and that key signed (SIGNATURE_INVALID).
3. Its time is within a minute of the hub's (CLOCK_SKEW).
4. Its nonce was not used before (REPLAYED). Nonces are kept, durably, for as long as the time would be accepted.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from consent.directory import SUBJECT_KEY_TYPE, SubjectKey
from consent.documents import parse
from consent.identifiers import Uscc
from consent.registration import SUBJECT_REGISTRATION_TYPE, parse_registration
from consent.usage import ACCESS_TYPE, AccessRequest, parse_access_request
from hub.errors import HubError
from hub.members.service import check_clock
from hub.state import Hub
from hub.subjects.tables import access_nonces, registrations
from trust.document import SignedDocument, verify_document
from trust.sm2 import PublicKey
from trust.suite import sm3

PENDING: Final = "pending"
APPROVED: Final = "approved"
REJECTED: Final = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Where an enterprise's registration of a key stands. `directory_index` is that of the approved key's entry."""

    key_id: str
    state: str
    reason: str
    directory_index: int | None


def register(hub: Hub, connection: Connection, document: SignedDocument) -> Registration:
    """Leave a registration for an operator to approve (rules above). The same one again changes nothing.

    Raises HubError ALREADY_EXISTS, INVALID_ARGUMENT, CLOCK_SKEW;
    SignatureInvalid, DocumentMalformed.
    """
    if document.payload_type != SUBJECT_REGISTRATION_TYPE:
        raise HubError("INVALID_ARGUMENT", f"a document of type {document.payload_type} is no registration")
    entry = parse_registration(document.payload)
    key = PublicKey.decode(entry.public_key)
    verify_document(document, SUBJECT_REGISTRATION_TYPE, key)
    if entry.time_ms > hub.clock() + int(hub.settings.clock_skew_s * 1000):
        check_clock(hub, entry.time_ms, "the registration")
    _require_successor(hub, connection, entry.uscc, key, document)
    own = registrations.c.uscc == entry.uscc
    found = connection.execute(select(registrations).where(own)).first()
    if found is not None and found.state == PENDING and found.key_id != key.key_id:
        raise HubError(
            "ALREADY_EXISTS", "another key waits for approval under this code; ask the hub operator to look at both"
        )
    if found is None or found.state != PENDING:
        connection.execute(delete(registrations).where(own))
        connection.execute(
            insert(registrations),
            {
                "uscc": entry.uscc,
                "document": document.encode(),
                "key_id": key.key_id,
                "state": PENDING,
                "reason": "",
                "directory_index": None,
                "time_ms": hub.clock(),
            },
        )
    return Registration(key_id=key.key_id, state=PENDING, reason="", directory_index=None)


def registration(connection: Connection, uscc: str) -> Registration:
    """Where a registration stands. Raises HubError NOT_FOUND."""
    found = connection.execute(select(registrations).where(registrations.c.uscc == uscc)).first()
    if found is None:
        raise HubError("NOT_FOUND", "no registration was made under this code; register first")
    return Registration(
        key_id=found.key_id, state=found.state, reason=found.reason, directory_index=found.directory_index
    )


def pending(connection: Connection) -> list[SignedDocument]:
    """The registrations that wait for an operator, oldest first."""
    rows = connection.execute(
        select(registrations.c.document).where(registrations.c.state == PENDING).order_by(registrations.c.time_ms)
    )
    return [SignedDocument.decode(bytes(document)) for document in rows.scalars()]


def approve(hub: Hub, connection: Connection, document: SignedDocument) -> int:
    """Append an operator's "subject-key" for a registration that waits; returns the entry's index.

    It is dated now: a key that ended earlier than the directory knew would make a record of consents that it signed
    meanwhile unverifiable. Raises HubError NOT_FOUND, INVALID_ARGUMENT, ALREADY_EXISTS, CLOCK_SKEW; SignatureInvalid,
    DirectoryRule.
    """
    if document.payload_type != SUBJECT_KEY_TYPE:
        raise HubError(
            "INVALID_ARGUMENT", f"a document of type {document.payload_type} approves nothing; send a subject-key"
        )
    entry = parse(document.payload, SubjectKey)
    registered = _waiting(connection, entry.uscc)
    waiting = parse_registration(registered.payload)
    if not hmac.compare_digest(waiting.public_key, entry.public_key) or waiting.ent_name != entry.ent_name:
        raise HubError(
            "INVALID_ARGUMENT", "key or name are not those of the registration; read it again and sign what it says"
        )
    check_clock(hub, entry.time_ms, "the approval")
    _require_successor(hub, connection, entry.uscc, PublicKey.decode(waiting.public_key), registered)
    index = hub.directory.append(connection, document)
    own = registrations.c.uscc == entry.uscc
    connection.execute(update(registrations).where(own).values(state=APPROVED, directory_index=index))
    return index


def reject(connection: Connection, uscc: str, reason: str) -> None:
    """Refuse a registration that waits. Raises HubError NOT_FOUND."""
    _waiting(connection, uscc)
    own = registrations.c.uscc == uscc
    connection.execute(update(registrations).where(own).values(state=REJECTED, reason=reason[:1000]))


async def authenticate(hub: Hub, access_request: bytes, action: str, body: bytes = b"") -> Uscc:
    """Establish which enterprise makes a call (rules above) and use up its nonce.

    `body` is what the request's `body_sm3` covers: the call's own content, empty where it has none. Raises HubError
    INVALID_ARGUMENT, SUBJECT_UNKNOWN, CLOCK_SKEW, REPLAYED; SignatureInvalid, DocumentMalformed.
    """
    document = SignedDocument.decode(access_request)
    if document.payload_type != ACCESS_TYPE:
        raise HubError("INVALID_ARGUMENT", f"a document of type {document.payload_type} is no access request")
    request = parse_access_request(document.payload)
    if request.action != action:
        raise HubError(
            "INVALID_ARGUMENT",
            f"the access request is for {request.action!r}, this call is {action!r}; sign one for it",
        )
    if not hmac.compare_digest(request.body_sm3, sm3(body).hex()):
        raise HubError("INVALID_ARGUMENT", "the access request was signed for other content; sign one for this call")
    key = hub.directory.current.subject_key(request.uscc)
    if key is None:
        raise HubError("SUBJECT_UNKNOWN")
    verify_document(document, ACCESS_TYPE, key)
    check_clock(hub, request.time_ms, "the access request")
    await hub.db.write(lambda connection: _use_nonce(hub, connection, request))
    return Uscc.parse(request.uscc, allow_check_mismatch=True)


def _use_nonce(hub: Hub, connection: Connection, request: AccessRequest) -> None:
    connection.execute(delete(access_nonces).where(access_nonces.c.expires_ms < hub.clock()))
    # A time up to a minute ahead is accepted, so the nonce outlives it by a minute on either side.
    expires_ms = request.time_ms + 2 * int(hub.settings.clock_skew_s * 1000)
    row = {"uscc": request.uscc, "nonce": request.nonce, "expires_ms": expires_ms}
    try:
        connection.execute(insert(access_nonces), row)
    except IntegrityError as problem:
        raise HubError("REPLAYED") from problem


def _require_successor(hub: Hub, connection: Connection, uscc: str, key: PublicKey, document: SignedDocument) -> None:
    """Rules 2 and 3 of a registration."""
    directory = hub.directory.in_write(connection)
    present = directory.subject_key(uscc)
    if present == key:
        raise HubError("ALREADY_EXISTS", "this key is approved already; use it")
    if any(each.key == key for each in directory.subject_keys_ever(uscc)):
        raise HubError("ALREADY_EXISTS", "this enterprise had this key before, and it was ended; make a new one")
    if present is None:
        return
    if not any(signature.key_id == present.key_id for signature in document.signatures):
        raise HubError(
            "ALREADY_EXISTS",
            "this enterprise has an approved key; sign the new registration with it too, or have it revoked first",
        )
    verify_document(document, SUBJECT_REGISTRATION_TYPE, present)


def _waiting(connection: Connection, uscc: str) -> SignedDocument:
    own = (registrations.c.uscc == uscc) & (registrations.c.state == PENDING)
    found = connection.execute(select(registrations.c.document).where(own)).scalar()
    if found is None:
        raise HubError("NOT_FOUND", "no registration waits under this code; list those that do")
    return SignedDocument.decode(bytes(found))
