"""Giving consent: what is needed is asked of the hub, told, signed by the enterprise's own key, and proved to be in the log.

Rules:
1. What stands already is not signed again (`portal.consents.planning`); a session decides and signs one thing at a time.
2. An item of the highest level is signed only with the enterprise's explicit word for it (`separate`).
3. A consent carries the digest of the notice in the language in which it was shown, and who signed in the enterprise's name.
4. A consent is given when the hub has proved that this very document is in the provider's log. Of several, those that were proved
   stand if a later one fails; the next try signs the rest.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from consent.catalogue import load_catalogue
from consent.documents import (
    CONSENT_REFUSAL_TYPE,
    CONSENT_TYPE,
    ConsentDocument,
    ConsentRefusal,
    ConsentRequest,
    Purpose,
    SubjectPart,
    encode,
    parse_consent,
)
from consent.errors import ConsentError
from consent.rules import load_rules
from portal import events
from portal.consents import asking, planning
from portal.consents.notice import NOTICES
from portal.consents.planning import ACTIVE, Rules
from portal.consents.wanted import Draft, Needed, Wanted
from portal.errors import PortalError, form_fault, not_found
from portal.hub_link import Author, Entered, Standing
from portal.principal import Principal
from portal.registration import service as registration
from portal.state import Portal
from portal.text import Text
from trust.document import SignedDocument, sign_document

LEGAL_REPRESENTATIVE: Final = "legal_rep"


@dataclass(frozen=True, kw_only=True)
class Signatory:
    """Who signs in the enterprise's name. `role`: legal_rep or agent."""

    name: str
    role: str


def rules() -> Rules:
    """The catalogue and usage rules that come with the software."""
    return Rules(catalogue=load_catalogue(), usage=load_rules())


async def needed(portal: Portal, who: Principal, wanted: Wanted) -> Needed:
    """What stands already and what is to be signed. Raises KeyLocked, PortalError; NOT_FOUND for a user that is no member."""
    standing, offers, members = await asyncio.gather(
        asking.consents(portal, who), asyncio.to_thread(portal.link.offers), asyncio.to_thread(portal.link.members)
    )
    if all(member.member_id != wanted.user for member in members):
        raise PortalError("NOT_FOUND", Text("There is no member {member} at the hub.", member=wanted.user))
    return planning.plan(wanted, standing, offers, rules(), portal.clock())


async def sign(
    portal: Portal,
    who: Principal,
    wanted: Wanted,
    *,
    separate: bool = False,
    signatory: Signatory | None = None,
    language: str = "zh",
) -> tuple[str, ...]:
    """Sign what is still needed; the ids of all consents that cover it then, old and new.

    Raises as `prepare`; KeyOutside, PortalError HUB_REFUSED, too.
    """
    async with portal.ring.signing(who.session_id):
        await asking.signer(portal, who)
        standing, consents = await prepare(
            portal, who, wanted, separate=separate, signatory=signatory, language=language
        )
        signed = [await _give(portal, who, consent) for consent in consents]
    return (*standing, *signed)


async def prepare(
    portal: Portal,
    who: Principal,
    wanted: Wanted,
    *,
    separate: bool = False,
    signatory: Signatory | None = None,
    language: str = "zh",
) -> tuple[Sequence[str], Sequence[ConsentDocument]]:
    """The ids of the consents that cover part of it already, and the ones that are to be signed.

    `signatory`: None for whoever signed last, or the enterprise itself. Raises KeyLocked; PortalError INVALID_ARGUMENT with a fault of
    `separate` (rule 2), WRONG_STATE if nobody offers an item, UNVERIFIED, UNAVAILABLE.
    """
    found = await needed(portal, who, wanted)
    if found.missing:
        names = ", ".join(found.missing)
        raise PortalError("WRONG_STATE", Text("Nobody offers this at present: {items}.", items=names))
    _require_word(found.to_sign, separate=separate)
    subject, notice = await _subject(portal, who, signatory), NOTICES[language].part
    consents = [
        planning.document(draft, subject, notice, record_id=str(uuid.uuid4()), now_ms=portal.clock())
        for draft in found.to_sign
    ]
    return [each.consent.record_id for each in found.standing], [_checked(each) for each in consents]


async def covering(
    portal: Portal, who: Principal, user: str, purpose: Purpose, items: Iterable[str]
) -> Sequence[Standing]:
    """The consents in force that let a bank use at least one of these items for this purpose. Raises KeyLocked, PortalError."""
    wanted = set(items)
    return [
        each
        for each in await asking.consents(portal, who)
        if each.state == ACTIVE
        and user in each.consent.recipients.data_users
        and each.consent.purpose.purpose_code is purpose
        and wanted & {part.item_id for part in each.consent.scope}
    ]


async def last_signatory(portal: Portal, who: Principal) -> Signatory | None:
    """Who signed the newest consent, None before the first. Raises KeyLocked, PortalError."""
    given = await asking.consents(portal, who)
    newest = max((each.consent for each in given), key=lambda consent: consent.given_ms, default=None)
    return None if newest is None else Signatory(name=newest.subject.signatory_name, role=newest.subject.signatory_role)


async def request(portal: Portal, who: Principal, request_id: str) -> ConsentRequest:
    """One request. Raises KeyLocked, PortalError NOT_FOUND."""
    for each in await asking.requests(portal, who):
        if each.request_id == request_id:
            return each
    raise not_found()


async def grant_request(
    portal: Portal,
    who: Principal,
    request_id: str,
    *,
    separate: bool = False,
    signatory: Signatory | None = None,
    language: str = "zh",
) -> str:
    """Grant a request on the terms that were asked for; the consent's id. Raises as `sign`, and NOT_FOUND."""
    async with portal.ring.signing(who.session_id):
        await asking.signer(portal, who)
        consent = await prepare_answer(
            portal, who, request_id, separate=separate, signatory=signatory, language=language
        )
        return await _give(portal, who, consent)


async def prepare_answer(
    portal: Portal,
    who: Principal,
    request_id: str,
    *,
    separate: bool = False,
    signatory: Signatory | None = None,
    language: str = "zh",
) -> ConsentDocument:
    """The consent that grants a request, to be signed. Raises as `prepare`, and NOT_FOUND."""
    asked = await request(portal, who, request_id)
    draft = planning.draft_of(asked, rules())
    _require_word([draft], separate=separate)
    consent = planning.answer(
        asked,
        await _subject(portal, who, signatory),
        NOTICES[language].part,
        separate=draft.separate,
        record_id=str(uuid.uuid4()),
        now_ms=portal.clock(),
    )
    return _checked(consent)


async def refuse_request(portal: Portal, who: Principal, request_id: str, reason: str) -> None:
    """Say no to a request. Raises KeyLocked, KeyOutside, PortalError NOT_FOUND, HUB_REFUSED, UNVERIFIED, UNAVAILABLE."""
    signer, entry = await asking.signer(portal, who), await prepare_refusal(portal, who, request_id, reason)
    document = sign_document(CONSENT_REFUSAL_TYPE, encode(entry), signer.key)
    await enter(portal, who, asking.author(signer), document, entry.provider, "consent_refused", request_id)


async def prepare_refusal(portal: Portal, who: Principal, request_id: str, reason: str) -> ConsentRefusal:
    """A refusal, to be signed. Raises KeyLocked, KeyOutside, PortalError NOT_FOUND."""
    asked = await request(portal, who, request_id)
    return ConsentRefusal(
        request_id=request_id, provider=asked.provider, uscc=who.institution, reason=reason, time_ms=portal.clock()
    )


async def enter(
    portal: Portal, who: Principal, author: Author, document: SignedDocument, provider: str, event: str, about: str
) -> Entered:
    """Send what was signed, and write it down once it is proved. Raises PortalError HUB_REFUSED, UNVERIFIED, UNAVAILABLE."""
    done = await asyncio.to_thread(portal.link.enter, author, document, provider)

    def write(connection: Connection) -> None:
        asking.keep(connection, who.account_id, author.seen, done.seen)
        events.record(connection, portal.clock(), who.login, event, about)

    await portal.db.write(write)
    portal.ring.forget_answers(who.session_id)
    return done


async def _give(portal: Portal, who: Principal, consent: ConsentDocument) -> str:
    signer, record_id = await asking.signer(portal, who), consent.record_id
    document = sign_document(CONSENT_TYPE, encode(consent), signer.key)
    provider = consent.recipients.data_source
    await enter(portal, who, asking.author(signer), document, provider, "consent_given", record_id)
    return record_id


def _checked(consent: ConsentDocument) -> ConsentDocument:
    """What everybody would refuse is not signed."""
    try:
        return parse_consent(encode(consent))
    except ConsentError as error:
        raise PortalError(
            "INVALID_ARGUMENT", Text("This cannot be consented to: {reason}", reason=str(error))
        ) from error


def _require_word(drafts: Iterable[Draft], *, separate: bool) -> None:
    if any(draft.separate for draft in drafts) and not separate:
        raise form_fault("separate", Text("Say expressly that you also consent to the items of the highest level."))


async def _subject(portal: Portal, who: Principal, signatory: Signatory | None) -> SubjectPart:
    own = await portal.db.read(lambda connection: registration.of_account(portal, connection, who.account_id))
    signatory = signatory or await last_signatory(portal, who)
    signatory = signatory or Signatory(name=own.ent_name, role=LEGAL_REPRESENTATIVE)
    return SubjectPart(
        uscc=who.institution,
        ent_name=own.ent_name,
        signatory_name=signatory.name,
        signatory_role="agent" if signatory.role == "agent" else "legal_rep",
    )
