"""Passwords that change, passwords and second factors that are lost.

Rules:
1. Who changes a password knows the old one: the private key that an account keeps is encrypted anew under the new one. Every other
   session of the account ends, and a notice says so.
2. Staff who lost their password get a link from their administrator, once, for `invitation_s`; the administrator learns no
   password, and the second factor is asked for as before. An operator key is lost with the password and is added anew.
3. Staff who lost their second factor are given a new one by their administrator, with a reason; the password is asked for as before.
   Nobody does either for themselves. Never both one after the other, or an administrator could take the account over: between them
   its owner logs in with what was not lost. Whoever lost both is removed and invited anew.
4. An enterprise's key is lost with its password: nobody can help (docs/adr/0008). It registers anew.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from portal import events
from portal.accounts import sessions, totp
from portal.accounts.keys import under_another
from portal.accounts.notices import notify
from portal.accounts.passwords import hash_password, matches, require_strong
from portal.accounts.service import count_failure, get, require_unlocked
from portal.accounts.tables import ACTIVE, accounts, password_links
from portal.errors import PortalError, form_fault, not_found
from portal.forms import Wrong
from portal.permissions import SECOND_FACTOR, Role
from portal.principal import Principal
from portal.state import Portal
from portal.text import Text
from trust.suite import sm3

_TOKEN_BYTES: Final = 32
_BOTH: Final = Text(
    "Password and authenticator are not both renewed: log in once in between, or have the account removed and be invited anew."
)


async def change_password(portal: Portal, who: Principal, old: str, new: str) -> sessions.Opened:
    """Change one's own password (rule 1); returns the session that goes on. Raises PortalError INVALID_ARGUMENT, ACCOUNT_LOCKED."""
    tried = portal.keys.digest(f"key:{who.account_id}")
    await portal.db.read(lambda connection: require_unlocked(portal, connection, tried))
    row = await portal.db.read(lambda connection: get(connection, who.account_id))
    if not await asyncio.to_thread(matches, row.password_hash, old):
        await portal.db.write(lambda connection: count_failure(portal, connection, tried, who.login))
        raise form_fault("old", Text("This is not your password."))
    _require_strong(portal, row, new)
    before = bytes(row.key_pem)
    key, key_pem = await asyncio.to_thread(under_another, before, old, new) if before else (None, b"")
    hashed = await asyncio.to_thread(hash_password, new)

    def write(connection: Connection) -> sessions.Opened:
        now = get(connection, who.account_id)
        if bytes(now.key_pem) != before or now.password_hash != row.password_hash:
            raise PortalError("WRONG_STATE", Text("Your password or key was changed meanwhile. Load the page again."))
        own = accounts.c.account_id == who.account_id
        connection.execute(update(accounts).where(own).values(password_hash=hashed, key_pem=key_pem))
        sessions.end_all(portal, connection, who.account_id)
        events.record(connection, portal.clock(), who.login, "password_changed", who.login)
        notify(connection, who.account_id, "password_changed", "", portal.clock())
        return sessions.open_session(portal, connection, who.account_id, second_factor=who.second_factor)

    opened = await portal.db.write(write)
    if key is not None and who.role is Role.ENTERPRISE:
        portal.ring.hold(opened.principal.session_id, key)
    return opened


def make_link(
    portal: Portal, connection: Connection, who: Principal, institution: str | None, account_id: str, reason: str
) -> str:
    """A link by which one of the staff sets a new password (rule 2); returns its token. Only inside `Database.write`.

    Raises PortalError NOT_FOUND, WRONG_STATE.
    """
    row, now_ms = _colleague(connection, who, institution, account_id), portal.clock()
    if not row.totp_confirmed:
        raise PortalError("WRONG_STATE", _BOTH)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    values = {"token_sm3": _digest(token), "account_id": account_id, "used_ms": None}
    connection.execute(insert(password_links), values | {"expires_ms": now_ms + 1000 * portal.settings.invitation_s})
    events.record(connection, now_ms, who.login, "password_link_made", row.login, reason)
    notify(connection, account_id, "password_link_made", "", now_ms)
    return token


def login_of_link(portal: Portal, connection: Connection, token: str) -> str:
    """Whose link this is. Raises PortalError NOT_FOUND."""
    return str(_linked(portal, connection, token).login)


async def use_link(portal: Portal, token: str, new: str) -> None:
    """Set a new password by a link (rule 2). Raises PortalError NOT_FOUND, INVALID_ARGUMENT."""
    row = await portal.db.read(lambda connection: _linked(portal, connection, token))
    _require_strong(portal, row, new)
    hashed = await asyncio.to_thread(hash_password, new)

    def write(connection: Connection) -> None:
        account_id, now_ms = _linked(portal, connection, token).account_id, portal.clock()
        own = accounts.c.account_id == account_id
        connection.execute(update(accounts).where(own).values(password_hash=hashed, key_pem=b"", operator=""))
        every = (password_links.c.account_id == account_id) & password_links.c.used_ms.is_(None)
        connection.execute(update(password_links).where(every).values(used_ms=now_ms))
        sessions.end_all(portal, connection, account_id)
        events.record(connection, now_ms, row.login, "password_changed", row.login)
        notify(connection, account_id, "password_changed", "", now_ms)

    await portal.db.write(write)


def renew_second_factor(
    portal: Portal, connection: Connection, who: Principal, institution: str | None, account_id: str, reason: str
) -> None:
    """Let one of the staff set up an authenticator anew (rule 3). Only inside `Database.write`. Raises NOT_FOUND, WRONG_STATE."""
    row, now_ms = _colleague(connection, who, institution, account_id), portal.clock()
    if _password_by_link(connection, row, now_ms):
        raise PortalError("WRONG_STATE", _BOTH)
    sealed = portal.keys.seal("accounts", "totp", account_id, totp.new_secret())
    own = accounts.c.account_id == account_id
    connection.execute(update(accounts).where(own).values(totp_sealed=sealed, totp_confirmed=0, totp_step=0))
    sessions.end_all(portal, connection, account_id)
    events.record(connection, now_ms, who.login, "second_factor_renewed", row.login, reason)
    notify(connection, account_id, "second_factor_renewed", "", now_ms)


def _colleague(connection: Connection, who: Principal, institution: str | None, account_id: str) -> Row[Any]:
    """The row of an active member of staff whom `who` may help."""
    row = get(connection, account_id)
    if Role(row.role) not in SECOND_FACTOR or institution not in {None, row.institution} or row.state != ACTIVE:
        raise not_found()
    if account_id == who.account_id:
        raise PortalError("WRONG_STATE", Text("You cannot do this for your own account; another administrator can."))
    return row


def _password_by_link(connection: Connection, row: Row[Any], now_ms: int) -> bool:
    """Whether the password is, or may soon be, whoever's who has the link: since then no code of the old authenticator was given."""
    wanted = select(password_links.c.used_ms, password_links.c.expires_ms)
    links = connection.execute(wanted.where(password_links.c.account_id == row.account_id)).all()
    # A code may be of the step after its moment: only a later one was surely given after the link was used.
    before_ms = 1000 * totp.STEP_S * (row.totp_step - 1)
    return any(link.expires_ms > now_ms if link.used_ms is None else link.used_ms >= before_ms for link in links)


def _linked(portal: Portal, connection: Connection, token: str) -> Row[Any]:
    joined = password_links.join(accounts, accounts.c.account_id == password_links.c.account_id)
    wanted = select(accounts, password_links.c.expires_ms, password_links.c.used_ms).select_from(joined)
    row = connection.execute(wanted.where(password_links.c.token_sm3 == _digest(token))).first()
    if row is None or row.used_ms is not None or row.expires_ms <= portal.clock() or row.state != ACTIVE:
        raise PortalError("NOT_FOUND", Text("This link was used or has expired. Ask for a new one."))
    return row


def _require_strong(portal: Portal, row: Row[Any], new: str) -> None:
    name = portal.keys.open("accounts", "name", row.account_id, bytes(row.name_sealed))
    try:
        require_strong(new, [row.login, name, row.institution])
    except Wrong as wrong:
        raise form_fault("password", wrong.text) from None


def _digest(token: str) -> str:
    return sm3(token.encode()).hex()
