"""A key that is kept outside: what is to be signed is given as a file (`consent.outside`), and taken back signed.

Rules; the first that is broken is the answer, and nothing of the file is sent:
1. A file is small, and of the one format; each document in it is of a type that an enterprise signs.
2. Each is about this very enterprise, and carries a valid signature by the key that it registered here.
Then each is sent to the hub like one that was signed here: what is entered is proved, a question's answer is verified, and held for the
session (`portal.keyring`). If one fails, those before it stand.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from consent.documents import (
    CONSENT_REFUSAL_TYPE,
    CONSENT_REVOCATION_TYPE,
    CONSENT_TYPE,
    encode,
    parse_consent,
    parse_refusal,
    parse_revocation,
)
from consent.errors import ConsentError
from consent.outside import read_signed, write_to_sign
from consent.registration import parse_registration
from consent.usage import ACCESS_TYPE, AccessRequest, parse_access_request
from portal.consents import asking, granting, service
from portal.errors import PortalError, form_fault, not_found
from portal.hub_link import Asker, Author, Presigned, Verified
from portal.principal import Principal
from portal.registration.tables import registrations
from portal.state import Portal
from portal.text import Text
from trust.document import SignedDocument, verify_document
from trust.errors import TrustError
from trust.sm2 import PublicKey
from trust.suite import sm3

LARGEST: Final = 256 * 1024
FILE: Final = "file"


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a file brought: how many questions were answered, and the entries by what they are about."""

    questions: int
    consents: tuple[str, ...]
    refusals: tuple[str, ...]
    withdrawals: tuple[str, ...]


def questions(portal: Portal, who: Principal) -> bytes:
    """What is asked of the hub to show the pages, to be signed within the hub's tolerance of clocks (a minute by default)."""
    asked = [
        AccessRequest(
            uscc=who.institution,
            action=action,
            body_sm3=sm3(b"").hex(),
            time_ms=portal.clock(),
            nonce=secrets.token_hex(16),
        )
        for action in asking.QUESTIONS
    ]
    return write_to_sign((ACCESS_TYPE, encode(each)) for each in asked)


async def take(portal: Portal, who: Principal, file: bytes) -> Taken:
    """Take a signed file (rules above).

    Raises PortalError INVALID_ARGUMENT with a fault of `file`, HUB_REFUSED, UNVERIFIED, UNAVAILABLE.
    """
    author, documents = await _author(portal, who), _read(file)
    for each in documents:
        _check(who, author, each)
    brought: dict[str, list[str]] = {kind: [] for kind in _ABOUT}
    for each in documents:
        brought[each.payload_type].append(await _send(portal, who, each))
    return Taken(
        questions=len(brought[ACCESS_TYPE]),
        consents=tuple(brought[CONSENT_TYPE]),
        refusals=tuple(brought[CONSENT_REFUSAL_TYPE]),
        withdrawals=tuple(brought[CONSENT_REVOCATION_TYPE]),
    )


def _read(file: bytes) -> Sequence[SignedDocument]:
    if not file:
        raise form_fault(FILE, Text("Choose the signed file."))
    if len(file) > LARGEST:
        raise form_fault(FILE, Text("The file is too large to be one of signed documents."))
    try:
        return read_signed(file)
    except (ConsentError, TrustError):
        raise form_fault(
            FILE, Text("This is no file of signed documents. Choose the one that “xinqiao enterprise sign” wrote.")
        ) from None


def _check(who: Principal, author: Author, document: SignedDocument) -> None:
    about = _ABOUT.get(document.payload_type)
    if about is None:
        raise form_fault(FILE, Text("The file has a document of a kind that does not belong here."))
    try:
        uscc = about(document.payload)
        verify_document(document, document.payload_type, author.key)
    except ConsentError as error:
        raise form_fault(FILE, Text("A document in the file is malformed: {reason}", reason=str(error))) from error
    except TrustError:
        raise form_fault(
            FILE, Text("The file is not signed by your registered key {key}.", key=author.key.key_id)
        ) from None
    if uscc != who.institution:
        raise form_fault(FILE, Text("The file is about another enterprise."))


async def _send(portal: Portal, who: Principal, document: SignedDocument) -> str:
    author = await _author(portal, who)  # anew: what was seen grows with each
    if document.payload_type == ACCESS_TYPE:
        return await _question(portal, who, author, document)
    if document.payload_type == CONSENT_REVOCATION_TYPE:
        revocation = parse_revocation(document.payload)
        if not await service.was_withdrawn_here(portal, who, revocation.record_id):  # else it stands already
            await service.enter_withdrawal(portal, who, author, document, revocation)
        portal.ring.forget_answers(who.session_id)
        return revocation.record_id
    if document.payload_type == CONSENT_TYPE:
        consent = parse_consent(document.payload)
        provider, about, event = consent.recipients.data_source, consent.record_id, "consent_given"
    else:
        refusal = parse_refusal(document.payload)
        provider, about, event = refusal.provider, refusal.request_id, "consent_refused"
    await granting.enter(portal, who, author, document, provider, event, about)
    return about


async def _question(portal: Portal, who: Principal, author: Author, document: SignedDocument) -> str:
    action = parse_access_request(document.payload).action
    calls: dict[str, Callable[[Asker], object]] = {
        asking.CONSENTS: portal.link.consents,
        asking.REQUESTS: portal.link.requests,
        asking.USES: portal.link.uses,
    }
    call = calls.get(action)
    if call is None:
        raise PortalError("INVALID_ARGUMENT", Text("The file has a question that is not asked here."))
    asker = Presigned(uscc=who.institution, question=document, seen=author.seen)
    answer = await asyncio.to_thread(call, asker)
    if isinstance(answer, Verified):
        seen = answer.seen
        await portal.db.write(lambda connection: asking.keep(connection, who.account_id, author.seen, seen))
    portal.ring.remember(who.session_id, action, answer)
    return action


async def _author(portal: Portal, who: Principal) -> Author:
    """The enterprise with the key that it registered. Raises PortalError NOT_FOUND."""
    own = select(registrations.c.document).where(registrations.c.account_id == who.account_id)
    document = await portal.db.read(lambda connection: connection.execute(own).scalar())
    if document is None:
        raise not_found()
    statement = parse_registration(SignedDocument.decode(bytes(document)).payload)
    before = await portal.db.read(lambda connection: asking.seen_of(connection, who.account_id))
    return Author(uscc=who.institution, key=PublicKey.decode(statement.public_key), seen=before)


_ABOUT: Final[dict[str, Callable[[bytes], str]]] = {
    CONSENT_TYPE: lambda payload: parse_consent(payload).subject.uscc,
    CONSENT_REFUSAL_TYPE: lambda payload: parse_refusal(payload).uscc,
    CONSENT_REVOCATION_TYPE: lambda payload: parse_revocation(payload).uscc,
    ACCESS_TYPE: lambda payload: parse_access_request(payload).uscc,
}
