"""Accounts: made by a registration or an invitation, opened by a password and, for staff, a code.

Rules of a login; the first that fails is the answer:
1. After `FREE_FAILURES` wrong tries under one login it is locked for a minute, and twice as long after each further one, up to an
   hour. Whether there is such an account cannot be told from it, nor from how long an answer takes.
2. Password and account are right, and the account is active; else one sentence for all three.
3. A login from a network and browser that this account never used leaves a notice.
A second factor has the same lock, and a code is used once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from portal import events
from portal.accounts import sessions, totp
from portal.accounts.notices import notify
from portal.accounts.passwords import matches
from portal.accounts.tables import ACTIVE, accounts, attempts, login_sources
from portal.errors import PortalError
from portal.permissions import SECOND_FACTOR, Role
from portal.principal import Principal
from portal.state import Portal
from portal.text import Text

DISABLED: Final = "disabled"
FREE_FAILURES: Final = 5
_LOCK_MS: Final = 60_000
_LONGEST_LOCK_MS: Final = 3_600_000
_FORGET_MS: Final = 24 * _LONGEST_LOCK_MS
_BROWSERS: Final = ("Edg", "Firefox", "Chrome", "Safari")


@dataclass(frozen=True, kw_only=True)
class NewAccount:
    """What an account begins with. `password_hash` from `passwords.hash_password`; `key_pem` opens with the same password."""

    login: str
    role: Role
    institution: str
    name: str
    phone: str = ""
    password_hash: str = field(repr=False)
    key_pem: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a login comes from."""

    address: str
    agent: str

    @property
    def browser(self) -> str:
        """The browser's family."""
        return next((name for name in _BROWSERS if name in self.agent), "?").replace("Edg", "Edge")

    @property
    def network(self) -> str:
        """The address without its last part: a household or office, not a device."""
        try:
            address = ipaddress.ip_address(self.address)
        except ValueError:
            return ""
        return str(ipaddress.ip_network(f"{address}/{24 if address.version == 4 else 48}", strict=False))


def normalise(login: str) -> str:
    """A login as it is kept: codes and user names are the same in either case."""
    return re.sub(r"\s", "", login).casefold()


def create(portal: Portal, connection: Connection, new: NewAccount) -> str:
    """Make an account; returns its id. Only inside `Database.write`. Raises PortalError ALREADY_EXISTS."""
    if connection.execute(select(accounts.c.login).where(accounts.c.login == normalise(new.login))).first():
        raise PortalError(
            "ALREADY_EXISTS", Text("There is an account under this name already. Log in, or choose another.")
        )
    account_id = str(uuid.uuid4())

    def sealed(column: str, text: str) -> bytes:
        return portal.keys.seal("accounts", column, account_id, text)

    row = {
        "account_id": account_id,
        "login": normalise(new.login),
        "role": new.role.value,
        "institution": new.institution,
        "state": ACTIVE,
        "name_sealed": sealed("name", new.name),
        "phone_sealed": sealed("phone", new.phone),
        "password_hash": new.password_hash,
        "totp_sealed": sealed("totp", totp.new_secret()) if new.role in SECOND_FACTOR else b"",
        "totp_confirmed": 0,
        "totp_step": 0,
        "key_pem": new.key_pem,
        "operator": "",
        "created_ms": portal.clock(),
    }
    connection.execute(insert(accounts), row)
    return account_id


async def log_in(portal: Portal, login: str, password: str, source: Source) -> sessions.Opened:
    """Open a session (rules above). Raises PortalError ACCOUNT_LOCKED, UNAUTHENTICATED."""
    name = normalise(login)
    tried = portal.keys.digest(f"login:{name}")
    await portal.db.read(lambda connection: require_unlocked(portal, connection, tried))
    row = await portal.db.read(lambda connection: _by_login(connection, name))
    kept = row.password_hash if row is not None else ""
    right = await asyncio.to_thread(matches, kept, password)
    if row is None or not right or row.state != ACTIVE:
        await portal.db.write(lambda connection: count_failure(portal, connection, tried, name))
        raise PortalError("UNAUTHENTICATED", Text("The code or name and the password do not belong together."))
    account_id = row.account_id

    def write(connection: Connection) -> sessions.Opened:
        connection.execute(delete(attempts).where(attempts.c.login_digest == tried))
        _remember_source(portal, connection, account_id, source)
        events.record(connection, portal.clock(), name, "login", name)
        return sessions.open_session(portal, connection, account_id, second_factor=False)

    return await portal.db.write(write)


async def give_code(portal: Portal, who: Principal, code: str) -> sessions.Opened:
    """Pass the second factor; the session goes on as a new one. Raises PortalError ACCOUNT_LOCKED, UNAUTHENTICATED."""
    tried = portal.keys.digest(f"code:{who.account_id}")

    def write(connection: Connection) -> sessions.Opened | None:
        require_unlocked(portal, connection, tried)
        row = get(connection, who.account_id)
        secret = portal.keys.open("accounts", "totp", who.account_id, bytes(row.totp_sealed))
        step = totp.matching_step(secret, code, portal.clock(), row.totp_step)
        if step is None or row.state != ACTIVE:
            count_failure(portal, connection, tried, who.login)
            return None
        own = accounts.c.account_id == who.account_id
        connection.execute(update(accounts).where(own).values(totp_step=step, totp_confirmed=1))
        connection.execute(delete(attempts).where(attempts.c.login_digest == tried))
        sessions.end(portal, connection, who.session_id)
        return sessions.open_session(portal, connection, who.account_id, second_factor=True)

    opened = await portal.db.write(write)
    if opened is None:
        raise PortalError(
            "UNAUTHENTICATED", Text("This code is wrong or was used. Wait for the next one and type that.")
        )
    return opened


def unconfirmed_secret(portal: Portal, connection: Connection, account_id: str) -> str | None:
    """The secret for an authenticator app, until its first code was given; None from then on."""
    row = get(connection, account_id)
    if row.totp_confirmed:
        return None
    return portal.keys.open("accounts", "totp", account_id, bytes(row.totp_sealed))


@dataclass(frozen=True, kw_only=True)
class KnownSource:
    """A browser that an account logged in with, and when."""

    browser: str
    first_ms: int
    last_ms: int


def known_sources(connection: Connection, account_id: str) -> list[KnownSource]:
    """Where an account logged in from, the newest first."""
    own = select(login_sources).where(login_sources.c.account_id == account_id).order_by(login_sources.c.last_ms.desc())
    return [
        KnownSource(browser=row.label, first_ms=row.first_ms, last_ms=row.last_ms) for row in connection.execute(own)
    ]


def get(connection: Connection, account_id: str) -> Row[Any]:
    """An account's row. Raises PortalError NOT_FOUND."""
    row = connection.execute(select(accounts).where(accounts.c.account_id == account_id)).first()
    if row is None:
        raise PortalError("NOT_FOUND", Text("There is no such account."))
    return row


def _by_login(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(accounts).where(accounts.c.login == name)).first()


def require_unlocked(portal: Portal, connection: Connection, tried: str) -> None:
    """Raise PortalError ACCOUNT_LOCKED after too many failures under this digest."""
    wanted = select(attempts.c.locked_until_ms).where(attempts.c.login_digest == tried)
    wait_ms = (connection.execute(wanted).scalar() or 0) - portal.clock()
    if wait_ms > 0:
        wait_s = -(-wait_ms // 1000)
        raise PortalError(
            "ACCOUNT_LOCKED",
            Text("Too many wrong tries. Try again in {seconds} seconds.", seconds=wait_s),
            retry_after_s=wait_s,
        )


def count_failure(portal: Portal, connection: Connection, tried: str, name: str) -> None:
    """Count a wrong try, and lock after too many. Only inside `Database.write`."""
    now_ms = portal.clock()
    connection.execute(delete(attempts).where(attempts.c.time_ms < now_ms - _FORGET_MS))
    failures = 1 + (
        connection.execute(select(attempts.c.failures).where(attempts.c.login_digest == tried)).scalar() or 0
    )
    lock_ms = 0 if failures < FREE_FAILURES else min(_LONGEST_LOCK_MS, _LOCK_MS << min(20, failures - FREE_FAILURES))
    connection.execute(delete(attempts).where(attempts.c.login_digest == tried))
    row = {"login_digest": tried, "failures": failures, "locked_until_ms": now_ms + lock_ms, "time_ms": now_ms}
    connection.execute(insert(attempts), row)
    # Not what was typed: a password lands in the wrong field often enough.
    known = name if _by_login(connection, name) is not None else "?"
    events.record(connection, now_ms, known, "login_failed" if not lock_ms else "login_locked", known)


def _remember_source(portal: Portal, connection: Connection, account_id: str, source: Source) -> None:
    digest, now_ms = portal.keys.digest(f"source:{source.network}|{source.browser}"), portal.clock()
    own = (login_sources.c.account_id == account_id) & (login_sources.c.source == digest)
    if connection.execute(update(login_sources).where(own).values(last_ms=now_ms)).rowcount:
        return
    first = connection.execute(
        select(login_sources.c.source).where(login_sources.c.account_id == account_id).limit(1)
    ).first()
    row = {"account_id": account_id, "source": digest, "label": source.browser, "first_ms": now_ms, "last_ms": now_ms}
    connection.execute(insert(login_sources), row)
    if first is not None:
        notify(connection, account_id, "new_source", source.browser, now_ms)
