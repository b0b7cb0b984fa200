"""Registrations: from the enterprise's answers to a key in the hub's directory.

Rules:
1. The enterprise's SM2 key is made here and kept only under the enterprise's password: neither portal nor hub can sign without it. Or
   the enterprise keeps its key itself, and uploads the statement that this key signed; then nothing of it is here.
2. One registration is open or approved under a code at a time. After a rejection the enterprise may register again.
3. Two reviewers look at each: the first endorses or objects with a reason, another one decides, or sends it back (`portal.states`).
   Nobody does both.
4. An approval is signed by the deciding reviewer's own operator key, opened by its password for this signature alone. It is told to
   the hub first, which accepts it twice, and written down here afterwards: a crash between the two is healed by deciding again.
5. What is told is checked against the registration (`portal.registration.checks`). An approval of what is not checked, or differs,
   needs an express word (`despite`), which is recorded with the differences and the reason.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from consent.documents import encode
from consent.errors import ConsentError
from consent.masking import mask
from consent.outside import read_signed
from consent.registration import SUBJECT_REGISTRATION_TYPE, SubjectRegistration, parse_registration
from portal import events
from portal.accounts import service as accounts
from portal.accounts import sessions
from portal.accounts.invitations import HUB
from portal.accounts.keys import new_key, open_operator_key
from portal.accounts.notices import notify, notify_role
from portal.accounts.passwords import hash_password
from portal.accounts.tables import accounts as account_rows
from portal.errors import PortalError, form_fault, not_found
from portal.permissions import Role
from portal.principal import Principal
from portal.registration import checks
from portal.registration.fields import check_mismatch
from portal.registration.tables import drafts, registrations
from portal.state import Portal
from portal.states import APPROVED, REGISTRATION, REJECTED, SUBMITTED
from portal.text import Text
from trust.document import SignedDocument, sign_document, verify_document
from trust.errors import TrustError
from trust.sm2 import PublicKey

LARGEST_STATEMENT: Final = 64 * 1024
DRAFT_MS: Final = 24 * 3600 * 1000
OPINIONS: Final = ("endorse", "object")
DECISIONS: Final = ("approve", "reject", "return")
_OPEN: Final = tuple(state for state in REGISTRATION.states if state != REJECTED)


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A registration, as a reviewer sees it. `phone` is masked in lists."""

    registration_id: str
    account_id: str
    uscc: str
    ent_name: str
    contact: str
    phone: str
    check_mismatch: bool
    state: str
    first_reviewer: str
    first_reason: str
    second_reviewer: str
    second_reason: str
    directory_index: int | None
    submitted_ms: int
    decided_ms: int | None


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What takes long to make, made before the transaction."""

    registration_id: str
    document: bytes
    key_pem: bytes
    password_hash: str


def answers(portal: Portal, connection: Connection, visitor: str) -> Mapping[str, str]:
    """What a visitor has answered so far."""
    digest = portal.keys.digest(f"visitor:{visitor}")
    sealed = connection.execute(select(drafts.c.answers_sealed).where(drafts.c.visitor_digest == digest)).scalar()
    if sealed is None:
        return {}
    text = portal.keys.open("registration_drafts", "answers", digest, bytes(sealed))
    return msgspec.json.decode(text, type=dict[str, str])


def answer(portal: Portal, connection: Connection, visitor: str, more: Mapping[str, str]) -> None:
    """Keep further answers for a day. Only inside `Database.write`."""
    digest, now_ms = portal.keys.digest(f"visitor:{visitor}"), portal.clock()
    told = msgspec.json.encode({**answers(portal, connection, visitor), **more}).decode()
    forget(portal, connection, visitor)
    connection.execute(delete(drafts).where(drafts.c.time_ms < now_ms - DRAFT_MS))
    sealed = portal.keys.seal("registration_drafts", "answers", digest, told)
    connection.execute(insert(drafts), {"visitor_digest": digest, "answers_sealed": sealed, "time_ms": now_ms})


def forget(portal: Portal, connection: Connection, visitor: str) -> None:
    """Forget a visitor's answers. Only inside `Database.write`."""
    digest = portal.keys.digest(f"visitor:{visitor}")
    connection.execute(delete(drafts).where(drafts.c.visitor_digest == digest))


def prepare(given: Mapping[str, str], password: str, now_ms: int) -> Prepared:
    """Make the key (rule 1), sign the statement with it, and hash the password. Takes some 0.3 s: call it on a thread."""
    registration_id = str(uuid.uuid4())
    key, key_pem = new_key(password)
    statement = SubjectRegistration(
        uscc=given["uscc"],
        ent_name=given["ent_name"],
        contact=f"portal:{registration_id}",  # names nobody: the portal knows whom to call
        public_key=key.public.encode(),
        time_ms=now_ms,
    )
    payload = encode(statement)
    parse_registration(payload)
    document = sign_document(SUBJECT_REGISTRATION_TYPE, payload, key).encode()
    return Prepared(
        registration_id=registration_id,
        document=document,
        key_pem=key_pem,
        password_hash=hash_password(password),
    )


def prepare_outside(given: Mapping[str, str], password: str, file: bytes) -> Prepared:
    """Take a statement that was signed where the key is, and hash the password. Takes some 0.1 s: call it on a thread.

    Raises PortalError INVALID_ARGUMENT with a fault of `file` for one that is not signed by the very key it names, or that says
    something else than was answered.
    """
    try:
        (document,) = read_signed(file[:LARGEST_STATEMENT])
        statement = parse_registration(document.payload)
        verify_document(document, SUBJECT_REGISTRATION_TYPE, PublicKey.decode(statement.public_key))
    except (ConsentError, TrustError, ValueError):
        raise form_fault(
            "file",
            Text("This is no signed registration. Choose the file that “xinqiao enterprise register --out” wrote."),
        ) from None
    if (statement.uscc, statement.ent_name) != (given["uscc"], given["ent_name"]):
        told = Text(
            "The file registers {name} ({uscc}), which is not what you answered.",
            name=statement.ent_name,
            uscc=statement.uscc,
        )
        raise form_fault("file", told)
    return Prepared(
        registration_id=str(uuid.uuid4()),
        document=document.encode(),
        key_pem=b"",
        password_hash=hash_password(password),
    )


def submit(portal: Portal, connection: Connection, given: Mapping[str, str], made: Prepared) -> str:
    """Make the applicant's account and leave the registration for review; returns the account's id.

    Only inside `Database.write`. Raises PortalError INVALID_ARGUMENT with a fault of the code, if it is taken (rule 2).
    """
    uscc, now_ms = given["uscc"], portal.clock()
    taken = (registrations.c.uscc == uscc) & registrations.c.state.in_(_OPEN)
    if connection.execute(select(registrations.c.state).where(taken)).first() is not None:
        raise form_fault(
            "uscc",
            Text("Somebody has registered under this code. Log in with it; if that was not you, call the hub."),
        )
    _set_aside(portal, connection, uscc)
    new = accounts.NewAccount(
        login=uscc,
        role=Role.APPLICANT,
        institution=uscc,
        name=given["contact"],
        phone=given["phone"],
        password_hash=made.password_hash,
        key_pem=made.key_pem,
    )
    account_id = accounts.create(portal, connection, new)
    row = {
        "registration_id": made.registration_id,
        "account_id": account_id,
        "uscc": uscc,
        "ent_name": given["ent_name"],
        "check_mismatch": int(check_mismatch(uscc)),
        "state": REGISTRATION.initial,
        "document": made.document,
        "first_reviewer": "",
        "first_reason": "",
        "second_reviewer": "",
        "second_reason": "",
        "directory_index": None,
        "submitted_ms": now_ms,
        "decided_ms": None,
    }
    connection.execute(insert(registrations), row)
    checks.ask(portal, connection, made.registration_id)
    notify_role(connection, Role.REVIEWER, HUB, "registration_waits", given["ent_name"], now_ms)
    events.record(connection, now_ms, uscc.casefold(), "registered", uscc)
    return account_id


def of_account(portal: Portal, connection: Connection, account_id: str) -> Registration:
    """An enterprise's own registration. Raises PortalError NOT_FOUND."""
    own = joined().where(registrations.c.account_id == account_id)
    row = connection.execute(own.order_by(registrations.c.submitted_ms.desc()).limit(1)).first()
    if row is None:
        raise not_found()
    return shown(portal, row)


def get(portal: Portal, connection: Connection, registration_id: str) -> Registration:
    """One registration, whole. Raises PortalError NOT_FOUND."""
    row = connection.execute(joined().where(registrations.c.registration_id == registration_id)).first()
    if row is None:
        raise not_found()
    return shown(portal, row)


def give_opinion(
    portal: Portal, connection: Connection, who: Principal, registration_id: str, act: str, reason: str
) -> None:
    """The first reviewer endorses or objects. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE."""
    row = _row(connection, registration_id)
    following = REGISTRATION.after(row.state, act if act in OPINIONS else "")
    _move(portal, connection, row, who, act, reason, state=following, first_reviewer=who.login, first_reason=reason)
    kind, now_ms = "registration_waits", portal.clock()
    notify_role(connection, Role.REVIEWER, HUB, kind, row.ent_name, now_ms, but=who.account_id)


async def decide(
    portal: Portal,
    who: Principal,
    registration_id: str,
    act: str,
    reason: str,
    password: str,
    *,
    despite: bool = False,
) -> None:
    """Another reviewer approves, rejects or sends back (rules 3 to 5).

    Raises PortalError NOT_FOUND, WRONG_STATE, PERMISSION_DENIED, UNAUTHENTICATED, ACCOUNT_LOCKED, HUB_REFUSED, UNAVAILABLE;
    INVALID_ARGUMENT with a fault of `despite`.
    """
    row = await portal.db.read(lambda connection: _row(connection, registration_id))
    _require_second(row, who, act)
    check = await portal.db.read(lambda connection: checks.of(connection, registration_id, row.ent_name))
    if act == "approve" and not check.agrees and not despite:
        raise form_fault(
            "despite", Text("Tick that you approve although the registration is not checked, or differs, and say why.")
        )
    operator, key = await open_operator_key(portal, who, password)
    index: int | None = None
    if act == "approve":
        document = SignedDocument.decode(bytes(row.document))
        index = await asyncio.to_thread(portal.link.approve_enterprise, document, operator, key)
    await portal.db.write(lambda connection: _decided(portal, connection, who, registration_id, act, reason, index))


def _require_second(row: Row[Any], who: Principal, act: str) -> str:
    following = REGISTRATION.after(row.state, act if act in DECISIONS else "")
    if row.first_reviewer == who.login:
        raise PortalError("PERMISSION_DENIED", Text("You gave the first opinion; another reviewer decides."))
    return following


def _decided(
    portal: Portal,
    connection: Connection,
    who: Principal,
    registration_id: str,
    act: str,
    reason: str,
    directory_index: int | None,
) -> None:
    row, now_ms = _row(connection, registration_id), portal.clock()
    following = _require_second(row, who, act)
    if following == SUBMITTED:
        _move(portal, connection, row, who, act, reason, state=following, first_reviewer="", first_reason="")
        checks.ask(portal, connection, registration_id)
        return
    _record_despite(portal, connection, who, row, reason, following)
    values = {"second_reviewer": who.login, "second_reason": reason, "directory_index": directory_index}
    _move(portal, connection, row, who, act, reason, state=following, decided_ms=now_ms, **values)
    if following == APPROVED:
        own = account_rows.c.account_id == row.account_id
        connection.execute(update(account_rows).where(own).values(role=Role.ENTERPRISE.value))
        # The next login has the new role.
        sessions.end_all(portal, connection, row.account_id)
        checks.prefill(portal, connection, registration_id, row.uscc)
        notify(connection, row.account_id, "registration_approved", "", now_ms)
    else:
        notify(connection, row.account_id, "registration_rejected", reason, now_ms)


def _record_despite(
    portal: Portal, connection: Connection, who: Principal, row: Row[Any], reason: str, following: str
) -> None:
    """What an approval was given in spite of."""
    check = checks.of(connection, row.registration_id, row.ent_name)
    if following == APPROVED and not check.agrees:
        lacking = ", ".join(check.differences) or "not checked"
        events.record(
            connection, portal.clock(), who.login, "registration_approved_despite", row.uscc, f"{lacking}: {reason}"
        )


def _move(
    portal: Portal, connection: Connection, row: Row[Any], who: Principal, act: str, reason: str, **values: object
) -> None:
    own = registrations.c.registration_id == row.registration_id
    connection.execute(update(registrations).where(own).values(**values))
    events.record(connection, portal.clock(), who.login, f"registration_{act}", row.uscc, reason)


def _set_aside(portal: Portal, connection: Connection, uscc: str) -> None:
    """Free the login of an applicant that was rejected."""
    name = accounts.normalise(uscc)
    wanted = select(account_rows.c.account_id).where(account_rows.c.login == name)
    account_id = connection.execute(wanted).scalar()
    if account_id is None:
        return
    sessions.end_all(portal, connection, account_id)
    values = {"login": f"{name}#{account_id}", "state": accounts.DISABLED}
    connection.execute(update(account_rows).where(account_rows.c.account_id == account_id).values(**values))


def _row(connection: Connection, registration_id: str) -> Row[Any]:
    row = connection.execute(select(registrations).where(registrations.c.registration_id == registration_id)).first()
    if row is None:
        raise not_found()
    return row


def joined() -> Select[Any]:
    """Registrations with what their accounts keep sealed."""
    columns = (*registrations.c, account_rows.c.name_sealed, account_rows.c.phone_sealed)
    joined = registrations.join(account_rows, account_rows.c.account_id == registrations.c.account_id)
    return select(*columns).select_from(joined)


def shown(portal: Portal, row: Row[Any], *, masked: bool = False) -> Registration:
    """A row of `joined` as reviewers see it; in lists masked."""
    contact = portal.keys.open("accounts", "name", row.account_id, bytes(row.name_sealed))
    phone = portal.keys.open("accounts", "phone", row.account_id, bytes(row.phone_sealed))
    if masked:
        contact, phone = mask("name", contact) or "", mask("account", phone) or ""
    return Registration(
        registration_id=row.registration_id,
        account_id=row.account_id,
        uscc=row.uscc,
        ent_name=row.ent_name,
        contact=contact,
        phone=phone,
        check_mismatch=bool(row.check_mismatch),
        state=row.state,
        first_reviewer=row.first_reviewer,
        first_reason=row.first_reason,
        second_reviewer=row.second_reviewer,
        second_reason=row.second_reason,
        directory_index=row.directory_index,
        submitted_ms=row.submitted_ms,
        decided_ms=row.decided_ms,
    )
