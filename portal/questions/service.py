"""Questions: an enterprise asks an expert, the expert answers, the enterprise goes on, or ends it and rates.

Rules:
1. Enterprise and expert read what is said. Nobody else does but the audit administrator, and each look of that is an act on record.
2. What is said is sealed in the context of its question and place; the record of acts has no word of it.
3. The expert is not told which enterprise asks, unless it says so itself.
4. What an expert offers as a frequent question is rewritten by hand and refused while it still has the enterprise's name or code, or
   anything that looks like a code or telephone number. It becomes an editor's draft, and nothing in it leads back to the question.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, Select, insert, or_, select, update

from portal import events
from portal.accounts import service as accounts
from portal.accounts.notices import notify
from portal.content import service as content
from portal.content.kinds import Kind
from portal.errors import PortalError, form_fault, not_found
from portal.permissions import Role
from portal.principal import Principal
from portal.questions import fields, seats
from portal.questions.tables import messages, questions
from portal.questions.tables import seats as seat_rows
from portal.registration.tables import registrations
from portal.state import Portal
from portal.states import ENDED, QUESTION
from portal.text import Text
from portal.web.listing import Asked, Listing, Order

MOST_OPEN: Final = 10
MOST_MESSAGES: Final = 100
_CODE_OR_NUMBER: Final = re.compile(
    r"(?<![0-9A-Z])([0-9A-Z]{2}\d{6}[0-9A-Z]{10}|1[3-9]\d{9})(?![0-9A-Z])", re.IGNORECASE
)
LISTING: Final = Listing(
    path="/questions",
    filters=(fields.STATE,),
    orders=(Order(name="changed", title=Text("Last message"), column=questions.c.changed_ms),),
    key=questions.c.question_id,
    first="-changed",
)


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message."""

    by_expert: bool
    text: str
    time_ms: int


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question. `subject`: empty for whoever may not read it; `expert`: name on the seat; `mine`: the reader asked it."""

    question_id: str
    state: str
    subject: str
    expert: str
    mine: bool
    stars: int
    asked_ms: int
    changed_ms: int


@dataclass(frozen=True, kw_only=True)
class Thread:
    """A question with all that was said."""

    question: Question
    messages: Sequence[Message]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One page of questions. `following`: the URL of the next one, empty on the last."""

    questions: Sequence[Question]
    following: str


def ask(portal: Portal, connection: Connection, who: Principal, expert_id: str, subject: str, text: str) -> str:
    """Ask an expert; returns the question's id. Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE, RATE_LIMITED.
    """
    if not seats.get(connection, expert_id).taking:
        raise PortalError("WRONG_STATE", Text("This expert takes no new questions at present. Choose another one."))
    mine = (questions.c.enterprise_id == who.account_id) & (questions.c.state != ENDED)
    if len(connection.execute(select(questions.c.question_id).where(mine).limit(MOST_OPEN)).all()) == MOST_OPEN:
        raise PortalError("RATE_LIMITED", Text("You have {count} open questions. Close one first.", count=MOST_OPEN))
    question_id, now_ms = str(uuid.uuid4()), portal.clock()
    row = {
        "question_id": question_id,
        "enterprise_id": who.account_id,
        "expert_id": expert_id,
        "state": QUESTION.initial,
        "subject_sealed": portal.keys.seal("questions", "subject", question_id, subject),
        "stars": 0,
        "asked_ms": now_ms,
        "changed_ms": now_ms,
    }
    connection.execute(insert(questions), row)
    _say(portal, connection, question_id, 1, text, by_expert=False)
    notify(connection, expert_id, "question_asked", "", now_ms)
    events.record(connection, now_ms, who.login, "question_asked", question_id)
    return question_id


def write(portal: Portal, connection: Connection, who: Principal, question_id: str, text: str) -> None:
    """Answer, or ask on. Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE."""
    row = _own(connection, who, question_id)
    by_expert = row.expert_id == who.account_id
    act = "answer" if by_expert else "ask"
    state = QUESTION.after(row.state, act)
    place = 1 + len(connection.execute(select(messages.c.place).where(messages.c.question_id == question_id)).all())
    if place > MOST_MESSAGES:
        raise PortalError("WRONG_STATE", Text("This conversation has become long. Close it and ask anew."))
    _say(portal, connection, question_id, place, text, by_expert=by_expert)
    _move(portal, connection, who, question_id, act, state=state)
    if by_expert:
        notify(connection, row.enterprise_id, "question_answered", "", portal.clock())
    else:
        notify(connection, row.expert_id, "question_asked", "", portal.clock())


def end(portal: Portal, connection: Connection, who: Principal, question_id: str, stars: int) -> None:
    """End one's own question; `stars` 1 to 5 rate the expert, 0 does not. Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE.
    """
    row = _own(connection, who, question_id)
    if row.enterprise_id != who.account_id:
        raise not_found()
    _move(portal, connection, who, question_id, "end", state=QUESTION.after(row.state, "end"), stars=stars)
    if stars:
        seats.rate(connection, row.expert_id, stars)
    notify(connection, row.expert_id, "question_ended", "", portal.clock())


def read(portal: Portal, connection: Connection, who: Principal, question_id: str) -> Thread:
    """One's own question with all that was said. Raises PortalError NOT_FOUND."""
    _own(connection, who, question_id)
    return _thread(portal, connection, who, question_id)


def audit(portal: Portal, connection: Connection, who: Principal, question_id: str) -> Thread:
    """The same for the audit administrator, on record. Only inside `Database.write`. Raises PortalError NOT_FOUND."""
    found = _thread(portal, connection, who, question_id)
    events.record(connection, portal.clock(), who.login, "question_read_for_audit", question_id)
    return found


def listed(portal: Portal, connection: Connection, who: Principal, asked: Asked, *, everything: bool) -> Page:
    """One page of one's own questions; for the audit administrator of all, without their subjects."""
    wanted = _joined()
    if not everything:
        wanted = wanted.where(_side(who) == who.account_id)
    if state := asked.values.get("state"):
        wanted = wanted.where(questions.c.state == state)
    found = LISTING.page(connection, wanted, asked)
    told = [_told(portal, row, who, sealed=everything) for row in found.rows]
    return Page(questions=told, following=found.following)


def offer(portal: Portal, connection: Connection, who: Principal, question_id: str, title: str, body: str) -> str:
    """Offer what was answered as a frequent question, for an editor to go on with (rule 4); returns the draft's id.

    Only inside `Database.write`. Raises PortalError NOT_FOUND, WRONG_STATE, INVALID_ARGUMENT.
    """
    row = _own(connection, who, question_id)
    answered = messages.c.question_id == question_id, messages.c.by_expert == 1
    if row.expert_id != who.account_id:
        raise not_found()
    if connection.execute(select(messages.c.place).where(*answered).limit(1)).first() is None:
        raise PortalError("WRONG_STATE", Text("Answer the question first."))
    asker = accounts.get(connection, row.enterprise_id)
    own_names = select(registrations.c.ent_name).where(registrations.c.account_id == row.enterprise_id)
    names = [asker.institution, *connection.execute(own_names).scalars()]
    for field, text in (("title", title), ("body", body)):
        if _CODE_OR_NUMBER.search(text) or any(name.casefold() in text.casefold() for name in names):
            raise form_fault(
                field, Text("This still has a name, a code or a telephone number. Leave out whatever tells who asked.")
            )
    written = content.Written(title=title, body=body)
    content_id = content.create(portal, connection, who, Kind.FAQ, written)
    for account_id in content.active(connection, Role.EDITOR):
        notify(connection, account_id, "content_offered", title, portal.clock())
    return content_id


def _say(portal: Portal, connection: Connection, question_id: str, place: int, text: str, *, by_expert: bool) -> None:
    row = {
        "question_id": question_id,
        "place": place,
        "by_expert": int(by_expert),
        "text_sealed": portal.keys.seal("question_messages", "text", f"{question_id}/{place}", text),
        "time_ms": portal.clock(),
    }
    connection.execute(insert(messages), row)


def _move(portal: Portal, connection: Connection, who: Principal, question_id: str, act: str, **values: object) -> None:
    changed = {**values, "changed_ms": portal.clock()}
    connection.execute(update(questions).where(questions.c.question_id == question_id).values(**changed))
    events.record(connection, portal.clock(), who.login, f"question_{act}", question_id)


def _own(connection: Connection, who: Principal, question_id: str) -> Row[Any]:
    mine = or_(questions.c.enterprise_id == who.account_id, questions.c.expert_id == who.account_id)
    row = connection.execute(select(questions).where(questions.c.question_id == question_id, mine)).first()
    if row is None:
        raise not_found()
    return row


def _side(who: Principal) -> Column[Any]:
    return questions.c.expert_id if who.role is Role.EXPERT else questions.c.enterprise_id


def _joined() -> Select[Any]:
    joined = questions.outerjoin(seat_rows, seat_rows.c.account_id == questions.c.expert_id)
    return select(*questions.c, seat_rows.c.name).select_from(joined)


def _thread(portal: Portal, connection: Connection, who: Principal, question_id: str) -> Thread:
    row = connection.execute(_joined().where(questions.c.question_id == question_id)).first()
    if row is None:
        raise not_found()
    said = connection.execute(select(messages).where(messages.c.question_id == question_id).order_by(messages.c.place))
    return Thread(
        question=_told(portal, row, who),
        messages=[
            Message(
                by_expert=bool(each.by_expert),
                text=portal.keys.open(
                    "question_messages", "text", f"{question_id}/{each.place}", bytes(each.text_sealed)
                ),
                time_ms=each.time_ms,
            )
            for each in said
        ],
    )


def _told(portal: Portal, row: Row[Any], who: Principal, *, sealed: bool = False) -> Question:
    subject = "" if sealed else portal.keys.open("questions", "subject", row.question_id, bytes(row.subject_sealed))
    return Question(
        question_id=row.question_id,
        state=row.state,
        subject=subject,
        expert=row.name or "",
        mine=row.enterprise_id == who.account_id,
        stars=row.stars,
        asked_ms=row.asked_ms,
        changed_ms=row.changed_ms,
    )
