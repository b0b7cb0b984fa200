"""The portal's process: its database and pages, until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import uvicorn

from hub.database import Database, open_database
from hub.settings import SettingsInvalid
from portal import migrations, rounds
from portal.hub_link import HubLink
from portal.keys import PortalKeys
from portal.mail.sender import password_of
from portal.settings import Settings
from portal.state import Portal
from portal.web.app import application

log = logging.getLogger(__name__)

GRACE_S: Final = 5
_BACKLOG: Final = 256


def open_portal(settings: Settings, secret_file: Path, link: HubLink, clock: Callable[[], int]) -> Portal:
    """Open the database, its schema up to date. Raises HubError, KeyFileError. Close it by `portal.db.close()`."""
    keys = PortalKeys.load(secret_file)
    db = open_db(settings)
    if db.dialect == "sqlite":
        # Which index a list is read by is chosen by what the tables hold; PostgreSQL looks by itself.
        db.write_now(lambda connection: connection.exec_driver_sql("PRAGMA optimize=0x10002").close())
    return Portal(settings=settings, db=db, keys=keys, link=link, clock=clock)


def open_db(settings: Settings) -> Database:
    """The portal's database. Raises HubError."""
    return open_database(settings.url, migrations.upgrade)


class _Server(uvicorn.Server):
    """Tells once it answers, and makes the rounds meanwhile."""

    def __init__(self, config: uvicorn.Config, portal: Portal, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._portal = portal
        self._ready = ready
        self._rounds: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self._rounds = asyncio.create_task(rounds.run(self._portal))
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way."""
        if self._rounds is not None:
            await rounds.stop(self._rounds)
        await super().shutdown(sockets)


def serve(portal: Portal, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished. Raises SettingsInvalid if the address is taken, KeyFileError."""
    settings = portal.settings
    password_of(settings)
    config = uvicorn.Config(
        application(portal),
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.private_key,
    )
    with closing(listen(settings)) as listening:
        _Server(config, portal, ready).run(sockets=[listening])


def listen(settings: Settings) -> socket.socket:
    """A bound socket. Raises SettingsInvalid if it cannot be had."""
    host, _, port = settings.listen.rpartition(":")
    try:
        family, *_, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        return socket.create_server(where[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SettingsInvalid(
            f"{settings.listen} cannot be listened on ({error.strerror}); choose a free port."
        ) from error
