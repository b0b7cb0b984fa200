"""A registration beside what is registered: asked of a provider's node through an exchange, by a round of the portal's process.

Rules:
1. Only the public item is asked for, only of codes that somebody registers under, one exchange each; its number is kept.
2. A provider that does not answer is asked again, after ten seconds at first and two hours at most. What was sent back is asked anew.
3. Reviewers see the answer beside what was told. Without an answer, or with a difference, an approval needs the second reviewer's
   express word, and that is recorded with the reason (`portal.registration.service`).
4. When the enterprise is let in, where, what and since when go into its facts (`portal.facts`), for it to correct.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, Row, Update, delete, insert, select, update

from portal.errors import PortalError
from portal.facts import service as facts
from portal.hub_link import Registered, RegisteredFacts
from portal.registration.tables import checks, registrations
from portal.state import Portal
from portal.states import APPROVED, REJECTED
from portal.text import Text

WAITING: Final = "waiting"
REGISTERED: Final = "registered"
ABSENT: Final = "absent"
IN_BUSINESS: Final = "存续"
BATCH: Final = 20
FIRST_RETRY_MS: Final = 10_000
LONGEST_RETRY_MS: Final = 2 * 3600 * 1000

NOT_YET: Final = Text("It has not been asked for yet; this takes some seconds.")
NO_ANSWER: Final = Text("No provider's node has answered yet; it is asked again.")
FAILURES: Final[Mapping[str, Text]] = {
    "WRONG_STATE": Text("This portal has no node by which registrations are checked."),
    "NOT_FOUND": Text("No provider offers the registration of enterprises at present."),
}
DIFFERENCES: Final[Mapping[str, Text]] = {
    "uscc": Text("Nothing is registered under this code."),
    "ent_name": Text("Another name is registered under this code."),
    "status": Text("The enterprise is not in business by its registration."),
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """What is known of one registration. `facts`: None while it waits, and if nothing is registered under the code.

    `differences`: the names of what differs. `failure`: why the last try had no answer, or empty.
    """

    state: str
    failure: str = ""
    facts: RegisteredFacts | None = None
    provider: str = ""
    exchange_id: str = ""
    checked_ms: int | None = None
    differences: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether there is an answer, and it differs in nothing."""
        return self.state == REGISTERED and not self.differences

    @property
    def why_not(self) -> Text:
        """Why there is no answer yet."""
        return FAILURES.get(self.failure, NO_ANSWER) if self.failure else NOT_YET


def differences(ent_name: str, found: RegisteredFacts | None) -> tuple[str, ...]:
    """What is registered otherwise than told: the code, the name, or that the enterprise is in business."""
    if found is None:
        return ("uscc",)
    names = () if _plain(ent_name) == _plain(found.ent_name) else ("ent_name",)
    return names if found.status == IN_BUSINESS else (*names, "status")


def _plain(name: str) -> str:
    """A name without what licences write in several ways: blanks, wide and narrow brackets, case."""
    return "".join(unicodedata.normalize("NFKC", name).split()).casefold()


def of(connection: Connection, registration_id: str, ent_name: str) -> Check:
    """What is known of a registration that told this name."""
    row = connection.execute(select(checks).where(checks.c.registration_id == registration_id)).first()
    if row is None or row.state == WAITING:
        return Check(state=WAITING, failure="" if row is None else row.failure)
    found = _facts(row)
    return Check(
        state=row.state,
        facts=found,
        provider=row.provider,
        exchange_id=row.exchange_id,
        checked_ms=row.checked_ms,
        differences=differences(ent_name, found),
    )


def ask(portal: Portal, connection: Connection, registration_id: str) -> None:
    """Let the next round ask, whatever was answered before. Only inside `Database.write`."""
    texts = ("failure", "ent_name", "status", "region", "industry", "founded", "provider", "exchange_id")
    row = {"registration_id": registration_id, "state": WAITING, "tries": 0, "due_ms": portal.clock()}
    connection.execute(delete(checks).where(checks.c.registration_id == registration_id))
    connection.execute(insert(checks), row | dict.fromkeys(texts, "") | {"checked_ms": None})


async def ask_due(portal: Portal) -> int:
    """Ask for whatever is due; how many were answered. A failure ends the round for all: the node would fail them, too."""
    rows = await portal.db.read(lambda connection: _due(connection, portal.clock()))
    for count, row in enumerate(rows):
        if not await _asked(portal, row):
            return count
    return len(rows)


async def _asked(portal: Portal, row: Row[Any]) -> bool:
    try:
        found = await asyncio.to_thread(portal.link.registered, row.uscc)
    except PortalError as error:
        code = error.code
        await portal.db.write(lambda connection: _failed(portal, connection, row, code))
        return False
    await portal.db.write(lambda connection: _answered(portal, connection, row, found))
    return True


def prefill(portal: Portal, connection: Connection, registration_id: str, uscc: str) -> None:
    """Put what is registered into the facts of an enterprise that was let in (rule 4). Only inside `Database.write`."""
    row = connection.execute(select(checks).where(checks.c.registration_id == registration_id)).first()
    found = _facts(row) if row is not None else None
    if found is not None:
        facts.know(portal, connection, uscc, found.region, found.industry, found.founded)


def _due(connection: Connection, now_ms: int) -> Sequence[Row[Any]]:
    wanted = (checks.c.state == WAITING) & (checks.c.due_ms <= now_ms) & (registrations.c.state != REJECTED)
    joined = checks.join(registrations, registrations.c.registration_id == checks.c.registration_id)
    columns = (checks.c.registration_id, checks.c.tries, registrations.c.uscc)
    due = select(*columns).select_from(joined).where(wanted).order_by(checks.c.due_ms).limit(BATCH)
    return list(connection.execute(due))


def _failed(portal: Portal, connection: Connection, row: Row[Any], code: str) -> None:
    wait_ms = min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** min(row.tries, 20))
    values = {"tries": row.tries + 1, "due_ms": portal.clock() + wait_ms, "failure": code}
    connection.execute(_own(row.registration_id).values(**values))


def _answered(portal: Portal, connection: Connection, row: Row[Any], found: Registered) -> None:
    told = found.facts
    values = {
        "state": REGISTERED if told else ABSENT,
        "tries": row.tries + 1,
        "failure": "",
        "ent_name": told.ent_name if told else "",
        "status": told.status if told else "",
        "region": told.region if told else "",
        "industry": told.industry if told else "",
        "founded": told.founded.isoformat() if told and told.founded else "",
        "provider": found.provider,
        "exchange_id": found.exchange_id,
        "checked_ms": portal.clock(),
    }
    connection.execute(_own(row.registration_id).values(**values))
    state = select(registrations.c.state).where(registrations.c.registration_id == row.registration_id)
    if connection.execute(state).scalar() == APPROVED:
        prefill(portal, connection, row.registration_id, row.uscc)


def _own(registration_id: str) -> Update:
    return update(checks).where(checks.c.registration_id == registration_id)


def _facts(row: Row[Any]) -> RegisteredFacts | None:
    if row.state != REGISTERED:
        return None
    founded = date.fromisoformat(row.founded) if row.founded else None
    return RegisteredFacts(
        ent_name=row.ent_name, status=row.status, region=row.region, industry=row.industry, founded=founded
    )
