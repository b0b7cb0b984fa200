"""Which programs act for an account.

Rules:
1. An account lets in a program by its public key, at most `MOST` at a time; what the program may do is what the account may.
2. A program's key is the second factor, too: a person with a full session let it in. A token holds for minutes, and an ended program's
   or removed account's for none.
3. Private keys of enterprises and operators are never open for a program: what needs them is signed outside, or refused.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, insert, select, update

from portal import events
from portal.accounts.notices import notify
from portal.accounts.tables import ACTIVE, accounts
from portal.clients import token as tokens
from portal.clients.tables import clients
from portal.errors import form_fault, not_found
from portal.permissions import Role
from portal.principal import Principal
from portal.state import Portal
from portal.text import Text
from trust.sm2 import PublicKey

MOST: Final = 20


@dataclass(frozen=True, kw_only=True)
class Client:
    """A program that acts for an account."""

    client_id: str
    name: str
    key_id: str
    added_ms: int


def listed(connection: Connection, account_id: str) -> Sequence[Client]:
    """An account's programs, the newest first."""
    own = (clients.c.account_id == account_id) & clients.c.ended_ms.is_(None)
    rows = connection.execute(select(clients).where(own).order_by(clients.c.added_ms.desc(), clients.c.client_id))
    return [
        Client(
            client_id=row.client_id,
            name=row.name,
            key_id=PublicKey.decode(row.public_key).key_id,
            added_ms=row.added_ms,
        )
        for row in rows
    ]


def add(portal: Portal, connection: Connection, who: Principal, name: str, key: PublicKey) -> str:
    """Let a program in; returns its id. Only inside `Database.write`. Raises PortalError INVALID_ARGUMENT."""
    own = (clients.c.account_id == who.account_id) & clients.c.ended_ms.is_(None)
    if connection.execute(select(func.count()).select_from(clients).where(own)).scalar_one() >= MOST:
        raise form_fault("name", Text("There are {most} programs already. End one first.", most=MOST))
    client_id, now_ms = str(uuid.uuid4()), portal.clock()
    row = {"client_id": client_id, "account_id": who.account_id, "name": name, "public_key": key.encode()}
    connection.execute(insert(clients), row | {"added_ms": now_ms, "ended_ms": None})
    events.record(connection, now_ms, who.login, "client_added", client_id, key.key_id)
    notify(connection, who.account_id, "client_added", name, now_ms)
    return client_id


def end(portal: Portal, connection: Connection, who: Principal, client_id: str) -> None:
    """Let a program in no more. Only inside `Database.write`. Raises PortalError NOT_FOUND."""
    own = (clients.c.client_id == client_id) & (clients.c.account_id == who.account_id) & clients.c.ended_ms.is_(None)
    if not connection.execute(update(clients).where(own).values(ended_ms=portal.clock())).rowcount:
        raise not_found()
    events.record(connection, portal.clock(), who.login, "client_ended", client_id)


def recognise(portal: Portal, connection: Connection, token: str) -> Principal:
    """Who a program acts for. Raises TokenInvalid."""
    client_id = tokens.client_of(token)
    joined = clients.join(accounts, accounts.c.account_id == clients.c.account_id)
    wanted = select(clients.c.public_key, clients.c.ended_ms, accounts).select_from(joined)
    row = connection.execute(wanted.where(clients.c.client_id == client_id)).first()
    if row is None or row.ended_ms is not None or row.state != ACTIVE:
        raise tokens.TokenInvalid("its iss is no program that is let in")
    tokens.verify(token, PublicKey.decode(row.public_key), portal.settings.origin, portal.clock() // 1000)
    return Principal(
        account_id=row.account_id,
        session_id=client_id,
        login=row.login,
        role=Role(row.role),
        institution=row.institution,
        second_factor=True,
    )
