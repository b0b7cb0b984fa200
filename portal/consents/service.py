"""Consents, their withdrawal and the record of use, asked of the hub by the enterprise's own signature.

Rules:
1. The key is the session's (`portal.keyring`); without it the password is asked for.
2. Whatever the hub answers is verified before it is shown; what was seen is kept, and the next answer must extend it.
3. Whatever the hub refuses, or a hub that is away, is a PortalError of `portal.hub_link`.
4. A withdrawal takes effect when it is in the log. That each node knows it is shown only by that node's own cosignature; the signed
   withdrawal is kept and sent again to learn who has confirmed meanwhile, which changes nothing at the hub.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, insert, select, update

from consent.audit import PERMIT
from consent.audit_uses import VerifiedUse
from consent.documents import CONSENT_REVOCATION_TYPE, ConsentRevocation, encode
from consent.errors import ConsentError
from consent.explain import Explained, explain
from consent.my_data import ConsentEvidence, Evidence, make_my_data, page_evidence
from consent.usage import Receipt
from portal import events
from portal.accounts.tables import accounts, left
from portal.consents import asking, telling
from portal.consents.lineage import Involvement, lineage
from portal.consents.planning import ACTIVE
from portal.consents.tables import withdrawals
from portal.errors import PortalError, not_found
from portal.hub_link import Author, Entered, Signer, Standing, Verified, unverified
from portal.principal import Principal
from portal.state import Portal
from portal.text import Text
from trust.document import SignedDocument, sign_document
from trust.sm2 import PublicKey

FIRST_WAIT_MS: Final = 300
WATCH_MS: Final = 60_000
WATCHED_MS: Final = 7 * 24 * 3600 * 1000
WATCHED_MOST: Final = 100


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """A withdrawal that is in the log. `confirmed`: from node to the milliseconds within which it had seen it.

    `pending`: nodes that are connected and have not confirmed yet. `watched`: whether more may come soon.
    """

    record_id: str
    log_index: int
    time_ms: int
    confirmed: Mapping[str, int]
    pending: tuple[str, ...]
    watched: bool


@dataclass(frozen=True, kw_only=True)
class Use:
    """One use as people count it: what user and provider each recorded of it, `entries` in the log."""

    receipt: Receipt
    entries: tuple[int, ...]
    both_sides: bool

    @property
    def permitted(self) -> bool:
        """Whether the data was used; else the use was refused."""
        return self.receipt.decision == PERMIT


async def listed(portal: Portal, who: Principal) -> Sequence[Standing]:
    """All consents, those that stand first. Raises KeyLocked, PortalError."""
    return await asking.consents(portal, who)


async def get(portal: Portal, who: Principal, record_id: str) -> Standing:
    """One consent. Raises KeyLocked, PortalError NOT_FOUND."""
    for each in await listed(portal, who):
        if each.consent.record_id == record_id:
            return each
    raise not_found()


async def withdraw(portal: Portal, who: Principal, record_id: str, reason: str) -> Withdrawal:
    """Withdraw a consent (rule 4). Raises KeyLocked, PortalError NOT_FOUND, WRONG_STATE, UNVERIFIED."""
    async with portal.ring.signing(who.session_id):
        signer, entry = await asking.signer(portal, who), await prepare_withdrawal(portal, who, record_id, reason)
        document = sign_document(CONSENT_REVOCATION_TYPE, encode(entry), signer.key)
        return await enter_withdrawal(portal, who, asking.author(signer), document, entry)


async def prepare_withdrawal(portal: Portal, who: Principal, record_id: str, reason: str) -> ConsentRevocation:
    """A withdrawal, to be signed. Raises KeyLocked, KeyOutside, PortalError NOT_FOUND, WRONG_STATE."""
    found = await get(portal, who, record_id)
    if found.state != ACTIVE:
        raise PortalError("WRONG_STATE", Text("This consent does not stand any more; there is nothing to withdraw."))
    return ConsentRevocation(
        record_id=record_id,
        provider=found.consent.recipients.data_source,
        uscc=who.institution,
        method="portal",
        reason=reason,
        time_ms=portal.clock(),
    )


async def enter_withdrawal(
    portal: Portal, who: Principal, author: Author, document: SignedDocument, entry: ConsentRevocation
) -> Withdrawal:
    """Send a signed withdrawal and begin to watch who confirms it. Raises PortalError."""
    now_ms = portal.clock()
    done = await asyncio.to_thread(portal.link.enter, author, document, entry.provider, wait_ms=FIRST_WAIT_MS)
    confirmed = {each.node_id: each.after_ms for each in done.confirmed}
    row = {
        "record_id": entry.record_id,
        "account_id": who.account_id,
        "provider": entry.provider,
        "document": document.encode(),
        "author": author.key.encode(),
        "log_index": done.log_index,
        "confirmed": _json(confirmed),
        "time_ms": now_ms,
    }

    def write(connection: Connection) -> None:
        asking.keep(connection, who.account_id, author.seen, done.seen)
        if _row(connection, who, entry.record_id) is None:
            connection.execute(insert(withdrawals), row)
        _tell_confirmed(portal, connection, who.account_id, entry.record_id, done)
        events.record(connection, now_ms, who.login, "consent_withdrawn", entry.record_id)

    await portal.db.write(write)
    return _withdrawal(entry.record_id, done, now_ms, confirmed, watched=True)


async def withdrawal(portal: Portal, who: Principal, record_id: str, *, wait_ms: int = 0) -> Withdrawal:
    """Who has confirmed a withdrawal until now; waits for more so long. Raises PortalError NOT_FOUND, UNVERIFIED, UNAVAILABLE."""
    row = await portal.db.read(lambda connection: _row(connection, who, record_id))
    if row is None:
        raise not_found()
    return await _confirmations(portal, row, who.institution, wait_ms)


async def watch_withdrawals(portal: Portal) -> int:
    """Ask about withdrawals of this week that somebody is still awaited for; how many. A round of the portal's process."""
    told = (left.c.account_id == withdrawals.c.account_id) & (left.c.about == withdrawals.c.record_id)
    done = select(left.c.about).where(told & (left.c.kind == "consent_withdrawn")).exists()
    recent = withdrawals.c.time_ms > portal.clock() - WATCHED_MS
    joined = withdrawals.join(accounts, accounts.c.account_id == withdrawals.c.account_id)
    wanted = select(withdrawals, accounts.c.institution).select_from(joined).where(recent & ~done)
    newest = wanted.order_by(withdrawals.c.time_ms.desc()).limit(WATCHED_MOST)
    rows = await portal.db.read(lambda connection: connection.execute(newest).all())
    for row in rows:
        # What the hub refuses about one withdrawal, or does not answer now, is asked again at the next round.
        with suppress(PortalError):
            await _confirmations(portal, row, row.institution, 0)
    return len(rows)


async def _confirmations(portal: Portal, row: Row[Any], uscc: str, wait_ms: int) -> Withdrawal:
    record_id, account_id = row.record_id, row.account_id
    before = await portal.db.read(lambda connection: asking.seen_of(connection, account_id))
    author = Author(uscc=uscc, key=PublicKey.decode(row.author), seen=before)
    document, asked_ms = SignedDocument.decode(bytes(row.document)), portal.clock()
    done = await asyncio.to_thread(portal.link.enter, author, document, row.provider, wait_ms=wait_ms)
    known = _confirmed(row)
    # The hub counts from the call on, people from the withdrawal.
    new = {each.node_id: max(0, asked_ms - row.time_ms) + each.after_ms for each in done.confirmed}
    confirmed = {**new, **known}

    def write(connection: Connection) -> None:
        asking.keep(connection, account_id, author.seen, done.seen)
        _tell_confirmed(portal, connection, account_id, record_id, done)
        own = withdrawals.c.record_id == record_id
        connection.execute(update(withdrawals).where(own).values(confirmed=_json(confirmed)))

    if confirmed != known or _all_confirmed(done):
        await portal.db.write(write)
    watched = portal.clock() - row.time_ms < WATCH_MS
    return _withdrawal(record_id, done, row.time_ms, confirmed, watched=watched)


async def was_withdrawn_here(portal: Portal, who: Principal, record_id: str) -> bool:
    """Whether there is a withdrawal to look at."""
    return await portal.db.read(lambda connection: _row(connection, who, record_id)) is not None


async def explained(portal: Portal, who: Principal, log_index: int) -> Explained:
    """One use of one's own data, and the steps that prove it. Raises KeyLocked, PortalError NOT_FOUND, UNVERIFIED."""
    found = await asking.uses(portal, who)
    try:
        told = [explain(who.institution, each, log_index, found.hub_key) for each in found.pages]
    except ConsentError as error:
        raise unverified(str(error)) from error
    for each in told:
        if each is not None:
            return each
    raise not_found()


async def lineage_of(portal: Portal, found: Verified) -> Sequence[Involvement]:
    """Which joint computations and models the data went into. Raises PortalError UNAVAILABLE."""
    return lineage(found.uses, await asyncio.to_thread(portal.link.models))


async def my_data(portal: Portal, who: Principal) -> bytes:
    """Everything as one file, signed by the enterprise's key (`consent.my_data`). Raises KeyLocked, PortalError."""
    signer = await _own_signer(portal, who)
    found, given = await asking.uses(portal, who), await listed(portal, who)
    evidence = Evidence(
        consents=tuple(
            ConsentEvidence(entry=each.entry, log_index=each.log_index, state=each.state, ended_ms=each.ended_ms)
            for each in given
        ),
        pages=tuple(page_evidence(page) for page in found.pages),
    )
    try:
        made = await asyncio.to_thread(
            make_my_data, who.institution, evidence, signer.key, found.hub_key, portal.clock()
        )
    except ConsentError as error:
        raise unverified(str(error)) from error
    await portal.db.write(
        lambda connection: events.record(connection, portal.clock(), who.login, "my_data_exported", who.institution)
    )
    return made


async def _own_signer(portal: Portal, who: Principal) -> Signer:
    try:
        return await asking.signer(portal, who)
    except asking.KeyOutside:
        text = Text("Your key is not here, so the signed file is made where it is: xinqiao audit mine --out FILE.")
        raise PortalError("WRONG_STATE", text) from None


def paired(found: Sequence[VerifiedUse]) -> Sequence[Use]:
    """Both sides' records of a use together, the newest use first."""
    together: dict[tuple[str, int], list[VerifiedUse]] = {}
    for each in found:
        together.setdefault((each.receipt.exchange_id, each.receipt.request_no), []).append(each)
    made = [
        Use(
            receipt=records[0].receipt,
            entries=tuple(each.log_index for each in records),
            both_sides=len({each.receipt.side for each in records}) > 1,
        )
        for records in together.values()
    ]
    return sorted(made, key=lambda use: use.receipt.time_ms, reverse=True)


def _all_confirmed(done: Entered) -> bool:
    return bool(done.confirmed) and not done.pending


def _tell_confirmed(portal: Portal, connection: Connection, account_id: str, record_id: str, done: Entered) -> None:
    if _all_confirmed(done):
        telling.all_confirmed(portal, connection, account_id, record_id)


def _withdrawal(
    record_id: str, done: Entered, time_ms: int, confirmed: Mapping[str, int], *, watched: bool
) -> Withdrawal:
    pending = tuple(node for node in done.pending if node not in confirmed)
    return Withdrawal(
        record_id=record_id,
        log_index=done.log_index,
        time_ms=time_ms,
        confirmed=confirmed,
        pending=pending,
        watched=watched and bool(pending),
    )


def _row(connection: Connection, who: Principal, record_id: str) -> Row[Any] | None:
    own = (withdrawals.c.record_id == record_id) & (withdrawals.c.account_id == who.account_id)
    return connection.execute(select(withdrawals).where(own)).first()


def _confirmed(row: Row[Any]) -> dict[str, int]:
    return msgspec.json.decode(row.confirmed, type=dict[str, int])


def _json(confirmed: Mapping[str, int]) -> str:
    return msgspec.json.encode(dict(confirmed)).decode()
