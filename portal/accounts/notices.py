"""Notices: what an account should know, in its inbox until it is read. A kind is a sentence here, its detail a value in it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, insert, select, update

from portal.accounts.tables import ACTIVE, accounts, left, notices
from portal.mail.outbox import leave
from portal.mail.service import switch_of
from portal.mail.topics import topic_of
from portal.permissions import Role
from portal.text import Text

MOST: Final = 100

KINDS: Final[Mapping[str, Text]] = {
    "new_source": Text(
        "Somebody logged in to this account from a new place or browser ({detail}). If it was not you, tell the hub at once.",
        detail="",
    ),
    "password_changed": Text("The password of this account was changed, and all other sessions have ended."),
    "password_link_made": Text("An administrator has made a link by which a new password can be set for this account."),
    "second_factor_renewed": Text("An administrator has let your authenticator app be set up anew."),
    "client_added": Text("A program was given access to this account: {detail}", detail=""),
    "registration_approved": Text("Your registration was approved. From now on your key speaks for the enterprise."),
    "registration_rejected": Text("Your registration was rejected: {detail}", detail=""),
    "application_waits": Text("Application {detail} waits for a reviewer.", detail=""),
    "application_pushed": Text("Your application {detail} was passed on to the bank.", detail=""),
    "application_arrived": Text("Application {detail} has arrived and waits for an answer.", detail=""),
    "application_returned": Text("Your application {detail} was returned: correct it and send it again.", detail=""),
    "application_rejected": Text("Your application {detail} was rejected by the platform.", detail=""),
    "application_taken": Text(
        "A bank has taken your financing request; it goes on as application {detail}.", detail=""
    ),
    "application_accepted": Text("The bank has accepted your application {detail} and will investigate it.", detail=""),
    "application_declined": Text("The bank has declined your application {detail}.", detail=""),
    "application_timed_out": Text(
        "The bank did not answer your application {detail} in time. You can apply anew.", detail=""
    ),
    "application_missed": Text("Application {detail} was not answered in time and has ended.", detail=""),
    "application_investigated": Text("The bank has begun to investigate your application {detail}.", detail=""),
    "application_to_decide": Text("Application {detail} is being investigated and will need a decision.", detail=""),
    "application_granted": Text("The bank has granted your application {detail}.", detail=""),
    "application_refused": Text(
        "The bank has refused your application {detail}; the reason stands beside it.", detail=""
    ),
    "application_decided": Text("Application {detail} was decided.", detail=""),
    "application_cancelled": Text("The enterprise has cancelled application {detail}.", detail=""),
    "application_changed": Text("Your application {detail} has moved on.", detail=""),
    "credit_contracted": Text(
        "The contract for your application {detail} is recorded; you can follow it under “My credit”.", detail=""
    ),
    "credit_drawn": Text("Your bank has entered a drawdown for {detail}.", detail=""),
    "credit_repaid": Text("Your bank has entered a repayment for {detail}.", detail=""),
    "credit_overdue": Text("A repayment for {detail} is overdue.", detail=""),
    "credit_settled": Text("Your loan {detail} is settled.", detail=""),
    "credit_written_off": Text("Your bank has written off what was overdue of {detail}.", detail=""),
    "credit_ended": Text("The grant for your application {detail} has ended without a drawdown.", detail=""),
    "credit_to_confirm": Text("A contract or write-off waits to be confirmed: {detail}", detail=""),
    "credit_sent_back": Text("What was entered for {detail} was sent back.", detail=""),
    "credit_fell_overdue": Text("A repayment was not entered in time, the loan fell overdue: {detail}", detail=""),
    "alert_raised": Text("A risk alert was raised: {detail}", detail=""),
    "financing_lapsed": Text("No bank has taken your financing request in time. You can state it anew."),
    "role_changed": Text("An administrator has changed what this account may do."),
    "institution_waits": Text("A change of an institution waits for your decision: {detail}", detail=""),
    "institution_decided": Text("What was entered about an institution was decided: {detail}", detail=""),
    "institution_changed": Text("The hub has changed what stands about your institution, or what it may do."),
    "registration_waits": Text("A registration waits for a reviewer: {detail}", detail=""),
    "consent_asked": Text("{detail} asks for your consent; you find it under “My consents”.", detail=""),
    "consent_used": Text("{detail} has used your data for the first time.", detail=""),
    "consent_expires_in_30_days": Text("A consent ends in 30 days or less: {detail}", detail=""),
    "consent_expires_in_7_days": Text("A consent ends in 7 days or less: {detail}", detail=""),
    "consent_withdrawn": Text("All nodes that are connected have confirmed your withdrawal of {detail}.", detail=""),
    "product_waits": Text("A product waits for review: {detail}", detail=""),
    "product_published": Text("Your product was approved and is published: {detail}", detail=""),
    "product_rejected": Text("Your product was rejected: {detail}", detail=""),
    "content_waiting": Text("“{detail}” waits for your review (Content).", detail=""),
    "content_offered": Text(
        "An expert offers “{detail}” as a frequent question; it is among the drafts (Content).", detail=""
    ),
    "content_approve": Text("“{detail}” was published.", detail=""),
    "content_reject": Text("“{detail}” was sent back; the reason stands beside it (Content).", detail=""),
    "content_withdraw": Text("“{detail}” was taken off.", detail=""),
    "question_asked": Text("An enterprise has asked you something (Questions)."),
    "question_answered": Text("The expert has answered you (Questions)."),
    "question_ended": Text("An enterprise has closed its question to you (Questions)."),
}


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One notice. `read_ms`: None until it was read."""

    text: Text
    time_ms: int
    read_ms: int | None


def notify(connection: Connection, account_id: str, kind: str, detail: str, now_ms: int) -> None:
    """Leave a notice where the account wants it: in its inbox, by e-mail. Raises KeyError for a kind that there is not."""
    KINDS[kind]
    topic = topic_of(kind)
    wanted = switch_of(connection, account_id, topic)
    if wanted.inbox:
        row = {"notice_id": str(uuid.uuid4()), "account_id": account_id, "kind": kind, "detail": detail}
        connection.execute(insert(notices), row | {"time_ms": now_ms, "read_ms": None})
    if wanted.mail:
        leave(connection, account_id, topic.value, now_ms)


def notify_once(connection: Connection, account_id: str, kind: str, about: str, detail: str, now_ms: int) -> bool:
    """The same, unless the account was told so about this very thing; whether it was new. Only inside `Database.write`."""
    if left_of(connection, account_id, kind, [about]):
        return False
    connection.execute(insert(left), {"account_id": account_id, "kind": kind, "about": about})
    notify(connection, account_id, kind, detail, now_ms)
    return True


def left_of(connection: Connection, account_id: str, kind: str, about: Collection[str]) -> Set[str]:
    """About which of these things the account was told so."""
    own = (left.c.account_id == account_id) & (left.c.kind == kind) & left.c.about.in_(list(about))
    return set(connection.execute(select(left.c.about).where(own)).scalars())


def notify_role(
    connection: Connection, role: Role, institution: str, kind: str, detail: str, now_ms: int, *, but: str = ""
) -> None:
    """Leave a notice with everybody who has a role at an institution, but not with whoever caused it."""
    for account_id in holders(connection, role, institution):
        if account_id != but:
            notify(connection, account_id, kind, detail, now_ms)


def holders(connection: Connection, role: Role, institution: str) -> Sequence[str]:
    """The active accounts with a role at an institution."""
    own = (accounts.c.role == role.value) & (accounts.c.institution == institution) & (accounts.c.state == ACTIVE)
    return list(connection.execute(select(accounts.c.account_id).where(own)).scalars())


def inbox(connection: Connection, account_id: str) -> Sequence[Notice]:
    """An account's notices, the newest first."""
    own = select(notices).where(notices.c.account_id == account_id).order_by(notices.c.time_ms.desc()).limit(MOST)
    return [
        Notice(text=Text(KINDS[row.kind].sentence, detail=row.detail), time_ms=row.time_ms, read_ms=row.read_ms)
        for row in connection.execute(own)
    ]


def unread(connection: Connection, account_id: str) -> int:
    """How many wait to be read."""
    own = (notices.c.account_id == account_id) & notices.c.read_ms.is_(None)
    return int(connection.execute(select(func.count()).select_from(notices).where(own)).scalar_one())


def mark_read(connection: Connection, account_id: str, now_ms: int) -> None:
    """All were read. Only inside `Database.write`."""
    own = (notices.c.account_id == account_id) & notices.c.read_ms.is_(None)
    connection.execute(update(notices).where(own).values(read_ms=now_ms))
