"""What waits to be sent: left in the transaction of what it tells of, taken by `portal.mail.sender`.

A mail is sent at least once: it counts as sent when the server has taken it, and a crash between the two sends it again under the same
Message-ID. Notices of one topic that come before the mail went out are told by one mail. After a failure it waits a minute, and twice
as long after each further one; after `MOST_TRIES` it is given up.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from portal.mail.tables import addresses, outbox

WAITING: Final = "waiting"
SENT: Final = "sent"
FAILED: Final = "failed"
MOST_TRIES: Final = 10
BATCH: Final = 20
KEEP_MS: Final = 30 * 24 * 3600 * 1000
CONFIRM: Final = "confirm_address"
_FIRST_WAIT_MS: Final = 60_000


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One mail. `about`: a topic of notices, or `CONFIRM`."""

    mail_id: str
    account_id: str
    about: str
    made_ms: int


def leave(connection: Connection, account_id: str, about: str, now_ms: int) -> None:
    """Leave a mail to be sent, if the account has an address that it may go to. Only inside `Database.write`."""
    own = select(addresses.c.confirmed_ms).where(addresses.c.account_id == account_id)
    row = connection.execute(own).first()
    if row is None or (row.confirmed_ms is None and about != CONFIRM):
        return
    same = (outbox.c.account_id == account_id) & (outbox.c.about == about)
    untried = same & (outbox.c.state == WAITING) & (outbox.c.tries == 0)
    if connection.execute(select(outbox.c.mail_id).where(untried).limit(1)).first() is not None:
        return
    values = {"mail_id": str(uuid.uuid4()), "account_id": account_id, "about": about, "made_ms": now_ms}
    connection.execute(insert(outbox), values | {"state": WAITING, "tries": 0, "due_ms": now_ms})


def take_due(connection: Connection, now_ms: int) -> Sequence[Mail]:
    """The mails to try now; each is due again later, unless `done` says otherwise. Only inside `Database.write`."""
    due = (outbox.c.state == WAITING) & (outbox.c.due_ms <= now_ms)
    rows = connection.execute(select(outbox).where(due).order_by(outbox.c.due_ms).limit(BATCH)).all()
    for row in rows:
        tries = row.tries + 1
        values = {"tries": tries, "due_ms": now_ms + (_FIRST_WAIT_MS << row.tries)}
        if tries >= MOST_TRIES:
            values["state"] = FAILED
        connection.execute(update(outbox).where(outbox.c.mail_id == row.mail_id).values(**values))
    connection.execute(delete(outbox).where(outbox.c.made_ms < now_ms - KEEP_MS))
    return [Mail(mail_id=row.mail_id, account_id=row.account_id, about=row.about, made_ms=row.made_ms) for row in rows]


def done(connection: Connection, mail_id: str, state: str) -> None:
    """A mail was sent, or can never be. Only inside `Database.write`."""
    connection.execute(update(outbox).where(outbox.c.mail_id == mail_id).values(state=state))
