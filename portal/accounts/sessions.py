"""Sessions: an access token for minutes, and a refresh token that changes each time it is used.

Rules:
1. The access token (JWT, HS256 under a key of the portal's) says who somebody is; the database is not asked for every page.
2. A refresh token is used once. Who shows an older one than the last two, or the last but one after `GRACE_MS`, shows a stolen or
   copied one: the session ends for both (RFC 9700, 4.14.2).
3. A session ends at logout, when its account is disabled, and `refresh_s` after login whatever happens. This process refuses its
   access tokens at once.
"""

from __future__ import annotations

import hmac
import secrets
import uuid
from dataclasses import dataclass
from typing import Any, Final

import jwt
from sqlalchemy import Connection, Row, insert, select, update

from portal.accounts.tables import accounts, sessions
from portal.permissions import Role
from portal.principal import Principal
from portal.state import Portal
from trust.suite import sm3

GRACE_MS: Final = 30_000
_ALGORITHM: Final = "HS256"
_ISSUER: Final = "xinqiao-portal"
_REFRESH_BYTES: Final = 32


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A session and the tokens to give to the browser; an empty one stays as it is."""

    principal: Principal
    access: str = ""
    access_s: int = 0
    refresh: str = ""
    refresh_s: int = 0


def open_session(portal: Portal, connection: Connection, account_id: str, *, second_factor: bool) -> Opened:
    """Begin a session of an account. Only inside `Database.write`."""
    session_id, token = str(uuid.uuid4()), secrets.token_urlsafe(_REFRESH_BYTES)
    now_ms = portal.clock()
    row = {
        "session_id": session_id,
        "account_id": account_id,
        "refresh_sm3": _digest(token),
        "previous_sm3": "",
        "renewed_ms": now_ms,
        "expires_ms": now_ms + 1000 * portal.settings.refresh_s,
        "second_factor": int(second_factor),
        "ended_ms": None,
    }
    connection.execute(insert(sessions), row)
    found = _find(connection, session_id)
    assert found is not None  # noqa: S101 (just inserted)
    return _tokens(portal, found, token)


async def recognise(portal: Portal, access: str, refresh: str) -> Opened | None:
    """Who shows these tokens; with new ones if they had to be renewed. None: nobody."""
    principal = _read(portal, access) if access else None
    if principal is not None:
        return Opened(principal=principal)
    if not refresh or len(refresh) > 200:
        return None
    return await portal.db.write(lambda connection: renew(portal, connection, refresh))


def renew(portal: Portal, connection: Connection, refresh: str) -> Opened | None:
    """Use a refresh token (rule 2). Only inside `Database.write`."""
    session_id, _, token = refresh.partition(".")
    found, now_ms, digest = _find(connection, session_id), portal.clock(), _digest(token)
    if found is None or found.ended_ms is not None or found.expires_ms <= now_ms or found.state != "active":
        return None
    if hmac.compare_digest(found.refresh_sm3, digest):
        fresh = secrets.token_urlsafe(_REFRESH_BYTES)
        values = {"refresh_sm3": _digest(fresh), "previous_sm3": digest, "renewed_ms": now_ms}
        connection.execute(update(sessions).where(sessions.c.session_id == session_id).values(**values))
        return _tokens(portal, found, fresh)
    if hmac.compare_digest(found.previous_sm3, digest) and now_ms - found.renewed_ms <= GRACE_MS:
        return _tokens(portal, found, "")
    end(portal, connection, session_id)
    return None


def end(portal: Portal, connection: Connection, session_id: str) -> None:
    """End one session. Only inside `Database.write`."""
    own = (sessions.c.session_id == session_id) & sessions.c.ended_ms.is_(None)
    connection.execute(update(sessions).where(own).values(ended_ms=portal.clock()))
    portal.end_session(session_id)


def end_all(portal: Portal, connection: Connection, account_id: str) -> None:
    """End all sessions of an account. Only inside `Database.write`."""
    own = (sessions.c.account_id == account_id) & sessions.c.ended_ms.is_(None)
    for session_id in connection.execute(select(sessions.c.session_id).where(own)).scalars().all():
        end(portal, connection, session_id)


def _find(connection: Connection, session_id: str) -> Row[Any] | None:
    joined = sessions.join(accounts, accounts.c.account_id == sessions.c.account_id)
    wanted = select(sessions, accounts.c.login, accounts.c.role, accounts.c.institution, accounts.c.state)
    return connection.execute(wanted.select_from(joined).where(sessions.c.session_id == session_id)).first()


def _tokens(portal: Portal, row: Row[Any], refresh: str) -> Opened:
    now_s = portal.clock() // 1000
    principal = Principal(
        account_id=row.account_id,
        session_id=row.session_id,
        login=row.login,
        role=Role(row.role),
        institution=row.institution,
        second_factor=bool(row.second_factor),
    )
    claims = {
        "iss": _ISSUER,
        "sub": row.account_id,
        "sid": row.session_id,
        "login": row.login,
        "role": row.role,
        "inst": row.institution,
        "sf": bool(row.second_factor),
        "iat": now_s,
        "exp": now_s + portal.settings.access_s,
    }
    return Opened(
        principal=principal,
        access=jwt.encode(claims, portal.keys.tokens, algorithm=_ALGORITHM),
        access_s=portal.settings.access_s,
        refresh=f"{row.session_id}.{refresh}" if refresh else "",
        refresh_s=max(1, row.expires_ms // 1000 - now_s),
    )


def _read(portal: Portal, access: str) -> Principal | None:
    # The portal's clock decides about the time, not the library's.
    options: Any = {"require": ["exp", "sub", "sid"], "verify_exp": False, "verify_iat": False}
    try:
        claims = jwt.decode(access, portal.keys.tokens, algorithms=[_ALGORITHM], issuer=_ISSUER, options=options)
        if claims["exp"] * 1000 <= portal.clock() or claims["sid"] in portal.ended:
            return None
        return Principal(
            account_id=claims["sub"],
            session_id=claims["sid"],
            login=claims["login"],
            role=Role(claims["role"]),
            institution=claims["inst"],
            second_factor=claims["sf"],
        )
    except (jwt.InvalidTokenError, KeyError, ValueError):
        return None


def _digest(token: str) -> str:
    return sm3(token.encode()).hex()
