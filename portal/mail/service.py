"""An account's e-mail address and its switches.

Rules:
1. Mail goes to an address only after its owner opened the link that was sent there, logged in to the account that gave it.
2. The link carries a code that is derived from account, address and time, so that nothing secret is kept; it holds for a day.
3. A mail says what a notice is about and where to read it: no name, figure or number leaves the portal by mail.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from portal import events
from portal.errors import PortalError
from portal.mail.outbox import CONFIRM, leave
from portal.mail.tables import addresses, switches
from portal.mail.topics import ALWAYS_IN_INBOX, Topic
from portal.principal import Principal
from portal.state import Portal
from portal.text import Text

LINK_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where an account wants its mail, and in which language. `confirmed`: its owner has opened the link."""

    address: str
    language: str
    asked_ms: int
    confirmed: bool


@dataclass(frozen=True, kw_only=True)
class Switch:
    """Where notices of one topic go."""

    inbox: bool = True
    mail: bool = True


def address_of(portal: Portal, connection: Connection, account_id: str) -> Address | None:
    """The address that an account gave, None without one."""
    row = connection.execute(select(addresses).where(addresses.c.account_id == account_id)).first()
    if row is None:
        return None
    return Address(
        address=portal.keys.open("mail_addresses", "address", account_id, bytes(row.address_sealed)),
        language=row.language,
        asked_ms=row.asked_ms,
        confirmed=row.confirmed_ms is not None,
    )


def give_address(portal: Portal, connection: Connection, who: Principal, address: str, language: str) -> None:
    """Ask for mail at an address, or (empty) for none any more. Only inside `Database.write`."""
    now_ms = portal.clock()
    connection.execute(delete(addresses).where(addresses.c.account_id == who.account_id))
    events.record(connection, now_ms, who.login, "mail_address_given" if address else "mail_address_removed", who.login)
    if not address:
        return
    row = {
        "account_id": who.account_id,
        "address_sealed": portal.keys.seal("mail_addresses", "address", who.account_id, address),
        "language": language,
        "asked_ms": now_ms,
        "confirmed_ms": None,
    }
    connection.execute(insert(addresses), row)
    leave(connection, who.account_id, CONFIRM, now_ms)


def code_of(portal: Portal, account_id: str, given: Address) -> str:
    """What the link to an address carries (rule 2)."""
    return portal.keys.digest(f"mail:{account_id}:{given.address}:{given.asked_ms}")


def confirm(portal: Portal, connection: Connection, who: Principal, code: str) -> None:
    """The owner of the address has opened the link. Only inside `Database.write`. Raises PortalError NOT_FOUND."""
    given, now_ms = address_of(portal, connection, who.account_id), portal.clock()
    right = given is not None and hmac.compare_digest(code_of(portal, who.account_id, given).encode(), code.encode())
    if given is None or not right or given.asked_ms + LINK_MS <= now_ms:
        raise PortalError(
            "NOT_FOUND",
            Text("This link was for another address or account, or is older than a day. Give the address once more."),
        )
    own = addresses.c.account_id == who.account_id
    connection.execute(update(addresses).where(own).values(confirmed_ms=now_ms))
    events.record(connection, now_ms, who.login, "mail_address_confirmed", who.login)


def switches_of(connection: Connection, account_id: str) -> Mapping[Topic, Switch]:
    """Every topic's switch; what was not said is wanted."""
    rows = connection.execute(select(switches).where(switches.c.account_id == account_id)).all()
    told = {row.topic: Switch(inbox=bool(row.inbox), mail=bool(row.mail)) for row in rows}
    return {topic: told.get(topic.value, Switch()) for topic in Topic}


def switch_of(connection: Connection, account_id: str, topic: Topic) -> Switch:
    """One topic's switch."""
    own = (switches.c.account_id == account_id) & (switches.c.topic == topic.value)
    row = connection.execute(select(switches.c.inbox, switches.c.mail).where(own)).first()
    return Switch() if row is None else Switch(inbox=bool(row.inbox), mail=bool(row.mail))


def set_switches(portal: Portal, connection: Connection, who: Principal, wanted: Mapping[Topic, Switch]) -> None:
    """Set the switches of some topics. Only inside `Database.write`."""
    for topic, switch in wanted.items():
        own = (switches.c.account_id == who.account_id) & (switches.c.topic == topic.value)
        connection.execute(delete(switches).where(own))
        values = {"inbox": int(switch.inbox or topic in ALWAYS_IN_INBOX), "mail": int(switch.mail)}
        connection.execute(insert(switches), {"account_id": who.account_id, "topic": topic.value} | values)
    events.record(connection, portal.clock(), who.login, "notices_switched", who.login)
