"""Private SM2 keys of accounts: kept under the account's own password (`trust.keyfile`), opened for one signature, kept nowhere."""

from __future__ import annotations

import asyncio

from sqlalchemy import Connection, update

from portal import events
from portal.accounts.passwords import matches
from portal.accounts.service import count_failure, get, require_unlocked
from portal.accounts.tables import accounts
from portal.errors import PortalError, form_fault
from portal.principal import Principal
from portal.state import Portal
from portal.text import Text
from trust.errors import KeyFileError, WrongPassphrase
from trust.keyfile import decode_private_key, encode_private_key, secret_from_passphrase
from trust.sm2 import PrivateKey


def new_key(password: str) -> tuple[PrivateKey, bytes]:
    """A new key, and its file under a password. Takes some 0.1 s."""
    key = PrivateKey.generate()
    return key, encode_private_key(key, secret_from_passphrase(password))


def under_another(pem: bytes, old: str, new: str) -> tuple[PrivateKey, bytes]:
    """A key, and its file under another password. Takes some 0.2 s. Raises WrongPassphrase, KeyFileError."""
    key = _open(pem, old)
    return key, encode_private_key(key, secret_from_passphrase(new))


async def open_operator_key(portal: Portal, who: Principal, password: str) -> tuple[str, PrivateKey]:
    """A reviewer's name at the hub and its key. Raises PortalError WRONG_STATE, UNAUTHENTICATED, ACCOUNT_LOCKED."""
    row = await portal.db.read(lambda connection: get(connection, who.account_id))
    if not row.operator:
        raise PortalError("WRONG_STATE", Text("You have no operator key here yet. Add it on the page “Operator key”."))
    return row.operator, await _open_own(portal, who, password)


async def unlock(portal: Portal, who: Principal, password: str) -> None:
    """Open an enterprise's key for its session (`portal.keyring`). Raises PortalError UNAUTHENTICATED, ACCOUNT_LOCKED.

    An enterprise that keeps its key outside has none here to open.
    """
    if await kept_outside(portal, who):
        return
    portal.ring.hold(who.session_id, await _open_own(portal, who, password))


async def kept_outside(portal: Portal, who: Principal) -> bool:
    """Whether an enterprise's key is not here at all."""
    return not (await portal.db.read(lambda connection: get(connection, who.account_id))).key_pem


async def _open_own(portal: Portal, who: Principal, password: str) -> PrivateKey:
    tried = portal.keys.digest(f"key:{who.account_id}")
    await portal.db.read(lambda connection: require_unlocked(portal, connection, tried))
    row = await portal.db.read(lambda connection: get(connection, who.account_id))
    try:
        return await asyncio.to_thread(_open, bytes(row.key_pem), password)
    except (WrongPassphrase, KeyFileError):
        await portal.db.write(lambda connection: count_failure(portal, connection, tried, who.login))
        raise PortalError(
            "UNAUTHENTICATED",
            Text("This is not your password."),
            faults={"password": Text("This is not your password.")},
        ) from None


async def keep_operator_key(
    portal: Portal, who: Principal, *, operator: str, pem: str, secret: str, password: str
) -> str:
    """Keep a reviewer's operator key under its password instead of the secret of the file; returns the key's id.

    Raises PortalError INVALID_ARGUMENT, ACCOUNT_LOCKED.
    """
    tried = portal.keys.digest(f"key:{who.account_id}")
    await portal.db.read(lambda connection: require_unlocked(portal, connection, tried))
    row = await portal.db.read(lambda connection: get(connection, who.account_id))
    if not await asyncio.to_thread(matches, row.password_hash, password):
        await portal.db.write(lambda connection: count_failure(portal, connection, tried, who.login))
        raise form_fault("password", Text("This is not your password."))
    content = (pem.replace("\r\n", "\n").strip() + "\n").encode()
    try:
        key = await asyncio.to_thread(_open, content, secret)
    except WrongPassphrase:
        raise form_fault("secret", Text("This secret does not open the key file.")) from None
    except KeyFileError:
        raise form_fault(
            "pem", Text("This is no key file of an operator. Paste it whole, with its first and last line.")
        ) from None
    kept = await asyncio.to_thread(encode_private_key, key, secret_from_passphrase(password))

    def write(connection: Connection) -> None:
        own = accounts.c.account_id == who.account_id
        connection.execute(update(accounts).where(own).values(operator=operator, key_pem=kept))
        events.record(connection, portal.clock(), who.login, "operator_key_kept", operator, key.public.key_id)

    await portal.db.write(write)
    return key.public.key_id


def _open(content: bytes, secret: str) -> PrivateKey:
    return decode_private_key(content, secret_from_passphrase(secret))
