"""How hub processes over one PostgreSQL hear of each other's commits: LISTEN on a thread of its own.

A notice carries topics (names of logs and the like), never content, and is a hint only: who hears it reads the
database. When the connection breaks, a notice may be lost; after reconnecting every topic counts as touched
(`EVERYTHING`).
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from sqlalchemy.engine import URL

if TYPE_CHECKING:
    import psycopg  # of the extra `postgresql`; a hub on SQLite runs without it

CHANNEL: Final = "xinqiao"
EVERYTHING: Final = "*"
# PostgreSQL refuses payloads of 8000 bytes and more.
MAX_PAYLOAD: Final = 7000
RETRY_S: Final = 1.0
POLL_S: Final = 0.1

log = logging.getLogger(__name__)


class Notices:
    """The listener of one process; its own notices are recognised by a random name and left out."""

    def __init__(self, url: URL, hear: Callable[[frozenset[str]], None]) -> None:
        """Prepare; `hear` is called on the listener's thread."""
        self._url = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._hear = hear
        self._name = secrets.token_hex(4)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hub-notices", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """End within a fraction of a second."""
        self._stop.set()
        self._thread.join()

    def payloads(self, topics: list[str]) -> Iterator[str]:
        """Pack topics into as few notices as the limit allows."""
        lines = [self._name]
        for topic in topics:
            if sum(map(len, lines)) + len(lines) + len(topic) > MAX_PAYLOAD:
                yield "\n".join(lines)
                lines = [self._name]
            lines.append(topic)
        yield "\n".join(lines)

    def _run(self) -> None:
        import psycopg

        connected_before = False
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._url, autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    if connected_before:
                        self._hear(frozenset({EVERYTHING}))
                    connected_before = True
                    self._follow(connection)
            except psycopg.Error as problem:
                log.warning("the listener lost the database (%s); trying again", type(problem).__name__)
                self._stop.wait(RETRY_S)

    def _follow(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        while not self._stop.is_set():
            for notice in connection.notifies(timeout=POLL_S):
                name, *topics = notice.payload.split("\n")
                if name != self._name:
                    self._hear(frozenset(topics))
