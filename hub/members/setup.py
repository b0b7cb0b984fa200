"""How a hub comes to be (`init_hub`) and how its database and directory are opened at every start (`open_parts`)."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Connection

from consent.directory import OPERATOR_KEY_TYPE, OperatorKey
from consent.documents import encode
from hub.database import Database, open_database
from hub.keys import HubKeys, create_keys, load_keys, utc
from hub.logs import service as logs
from hub.members.directory import LiveDirectory
from hub.settings import Settings
from trust.document import sign_document
from trust.sm2 import PublicKey


def system_clock() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def init_hub(settings: Settings, secret: bytes, *, clock: Callable[[], int] = system_clock) -> HubKeys:
    """Make home, keys and database of a new hub. Raises KeyFileError if there is one already."""
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    keys = create_keys(settings.keys, secret, now=utc(clock()))
    db = open_database(settings.url)
    try:
        db.write_now(_create_logs)
    finally:
        db.close()
    return keys


def _create_logs(connection: Connection) -> None:
    for origin in (logs.DIRECTORY, logs.USAGE):
        logs.create(connection, origin)


def add_first_operator(
    settings: Settings, secret: bytes, name: str, key: PublicKey, *, clock: Callable[[], int] = system_clock
) -> int:
    """Write the first operator's public key into the directory, signed by the hub's key; returns the entry's index.

    A local act of whoever holds the hub's secret, when the hub is made. Every further operator is let in by one that
    stands. Raises DirectoryRule if there is an operator already.
    """
    keys = load_keys(settings.keys, secret)
    entry = OperatorKey(operator=name, public_key=key.encode(), time_ms=clock())
    document = sign_document(OPERATOR_KEY_TYPE, encode(entry), keys.log_key)
    db, directory = open_parts(settings, keys)
    try:
        return db.write_now(lambda connection: directory.append(connection, document))
    finally:
        db.close()


def open_parts(settings: Settings, keys: HubKeys) -> tuple[Database, LiveDirectory]:
    """Open the database and fold the directory out of its log."""
    db = open_database(settings.url)
    try:
        directory = LiveDirectory(keys.log_key)
        db.read_now(directory.load)
    except BaseException:
        db.close()
        raise
    return db, directory
