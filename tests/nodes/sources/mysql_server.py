"""A server of MySQL's protocol on loopback, in a thread: one table, one user, and a record of what was asked."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mysql_mimic import IdentityProvider, MysqlServer, Session, User
from mysql_mimic.auth import AuthPlugin, NativePasswordAuthPlugin
from mysql_mimic.errors import MysqlError

from cli.demo.network import free_ports

USER, PASSWORD = "reader", "hunter2 %/@:"
NO_SUCH_TABLE: Any = 1146
NO_SUCH_COLUMN: Any = 1054
QUERY_INTERRUPTED: Any = 1317


@dataclass
class Table:
    """What the server has. `asked`: the statements that reached it; `cut_after`: rows before it breaks off, if it does."""

    name: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    asked: list[str] = field(default_factory=list)
    cut_after: int | None = None
    port: int = 0


class _Users(IdentityProvider):
    def get_plugins(self) -> list[AuthPlugin]:
        return [NativePasswordAuthPlugin()]

    async def get_user(self, username: str) -> User | None:
        if username != USER:
            return None
        stored = NativePasswordAuthPlugin.create_auth_string(PASSWORD)
        return User(name=USER, auth_string=stored, auth_plugin=NativePasswordAuthPlugin.name)


class _Session(Session):
    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table = table

    async def handle_query(self, sql: str, attrs: dict[str, str]) -> Any:
        self.table.asked.append(sql)
        if not sql.upper().startswith("SELECT"):
            return await super().handle_query(sql, attrs) if not sql.upper().startswith("START") else ([], [])
        if f"`{self.table.name}`" not in sql and f"FROM {self.table.name}" not in sql:
            raise MysqlError(f"Table for {USER} does not exist", code=NO_SUCH_TABLE)
        wanted = sql[len("SELECT ") : sql.index(" FROM ")].replace("`", "").split(", ")
        if missing := [name for name in wanted if name not in self.table.columns]:
            raise MysqlError(f"Unknown column {missing}", code=NO_SUCH_COLUMN)
        places = [self.table.columns.index(name) for name in wanted]
        return self._rows(places), wanted

    def _rows(self, places: list[int]) -> Iterator[tuple[Any, ...]]:
        for number, row in enumerate(self.table.rows):
            if number == self.table.cut_after:
                raise MysqlError(f"Query execution was interrupted for {USER}", code=QUERY_INTERRUPTED)
            yield tuple(row[place] for place in places)


@contextmanager
def serving(table: Table) -> Iterator[Table]:
    """The table at `127.0.0.1:table.port` for as long as the context lasts."""
    loop = asyncio.new_event_loop()
    started = threading.Event()

    def run() -> None:
        asyncio.set_event_loop(loop)
        (table.port,) = free_ports(1)
        server = MysqlServer(
            session_factory=lambda: _Session(table), identity_provider=_Users(), host="127.0.0.1", port=table.port
        )
        loop.run_until_complete(server.start_server())
        started.set()
        loop.run_forever()
        server.close()
        loop.run_until_complete(server.wait_closed())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield table
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
