"""Notices: what an account should know, in its inbox until it is read. A kind is a sentence here, its detail a value in it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, insert, select, update

from portal.accounts.tables import notices
from portal.text import Text

MOST: Final = 100

KINDS: Final[Mapping[str, Text]] = {
    "new_source": Text(
        "Somebody logged in to this account from a new place or browser ({detail}). If it was not you, tell the hub at once.",
        detail="",
    ),
    "registration_approved": Text("Your registration was approved. From now on your key speaks for the enterprise."),
    "registration_rejected": Text("Your registration was rejected: {detail}", detail=""),
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
    """Leave a notice. Raises KeyError for a kind that there is not."""
    KINDS[kind]
    row = {"notice_id": str(uuid.uuid4()), "account_id": account_id, "kind": kind, "detail": detail}
    connection.execute(insert(notices), row | {"time_ms": now_ms, "read_ms": None})


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
