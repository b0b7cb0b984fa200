"""Sources that are database servers: rows in chunks, read in one read-only transaction, memory flat whatever the table's size.

PostgreSQL by psycopg (the extra `postgresql`), MySQL and MariaDB by PyMySQL (the extra `mysql`). A report is read by more people than
may open the database, so a server's own words are told only where they can name nothing but tables and columns: elsewhere they repeat
the user, the host, or the cell that the server stumbled over.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from nodes.sources.config import Source
from nodes.sources.errors import DriverMissing, SourceUnreadable
from nodes.sources.expressions import identifier

CHUNK_ROWS: Final = 65_536
_CONNECT_S: Final = 15
_READ_S: Final = 600
_MYSQL_PORT: Final = 3306
# By SQLSTATE class (PostgreSQL, appendix A).
_POSTGRESQL_NAMES: Final = "42"
_POSTGRESQL_SAYS: Final = {
    "": "the server cannot be reached, or does not accept the user",
    "08": "the connection broke",
    "22": "the query computes with a value that does not suit it",
    "25": "the query writes, and a source is only read",
    "28": "user and password are not accepted",
    "3D": "there is no such database",
    "53": "the server is short of memory, disk or connections",
    "57": "the server ended the query",
}
_MYSQL_SAYS: Final = {
    1044: "the user may not use this database",
    1045: "user and password are not accepted",
    1049: "there is no such database",
    1054: "there is no such column",
    1142: "the user may not read this table",
    1146: "there is no such table",
    1792: "the query writes, and a source is only read",
    2003: "the server cannot be reached",
    2013: "the connection broke",
}

Rows = Iterator[list[tuple[Any, ...]]]


def postgresql_rows(source: Source, columns: list[str]) -> Rows:
    """The named columns. Raises SourceUnreadable, DriverMissing."""
    try:
        import psycopg
    except ImportError as error:
        raise DriverMissing("PostgreSQL sources need psycopg: install xinqiao[postgresql].") from error
    address = _address(source)
    try:
        psycopg.conninfo.conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        raise _no_address(source, "postgresql://user:password@host/database") from None
    query = f"SELECT {', '.join(map(identifier, columns))} FROM {_origin(source)} AS source"
    try:
        with psycopg.connect(address) as opened:
            opened.read_only = True
            with opened.cursor("xinqiao") as cursor:
                cursor.execute(query.encode())
                while rows := cursor.fetchmany(CHUNK_ROWS):
                    yield rows
    except psycopg.Error as error:
        raise SourceUnreadable(
            f"Source {source.name!r}: PostgreSQL says: {_postgresql_says(error.sqlstate, error.diag.message_primary)}. "
            "Check the address, the table and the rights."
        ) from None


def _postgresql_says(state: str | None, words: str | None) -> str:
    kind = (state or "")[:2]
    if kind == _POSTGRESQL_NAMES and words:
        return words
    return _POSTGRESQL_SAYS.get(kind, f"look up SQLSTATE {state} in PostgreSQL's list of errors")


def mysql_rows(source: Source, columns: list[str]) -> Rows:
    """The named columns. Raises SourceUnreadable, DriverMissing."""
    try:
        import pymysql
        from pymysql.cursors import SSCursor
    except ImportError as error:
        raise DriverMissing("MySQL sources need PyMySQL: install xinqiao[mysql].") from error
    where = _mysql_address(source)
    query = f"SELECT {', '.join(map(_quoted, columns))} FROM {_origin(source, _quoted)} AS source"
    try:
        opened = pymysql.connect(
            host=where.hostname,
            port=where.port or _MYSQL_PORT,
            user=unquote(where.username or ""),
            password=unquote(where.password or ""),
            database=unquote(where.path.lstrip("/")),
            charset="utf8mb4",
            cursorclass=SSCursor,
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
        )
        try:
            with opened.cursor() as cursor:
                cursor.execute("START TRANSACTION READ ONLY")
                cursor.execute(query)
                while rows := cursor.fetchmany(CHUNK_ROWS):
                    yield list(rows)
        finally:
            opened.close()
    except pymysql.MySQLError as error:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        if not number:
            raise _no_mysql(source) from None
        said = _MYSQL_SAYS.get(number, "look it up in MySQL's list of errors")
        raise SourceUnreadable(
            f"Source {source.name!r}: MySQL answers with error {number} ({said}). Check the address, the table and the rights."
        ) from None
    except (struct.error, ValueError, IndexError, AssertionError):
        # The driver takes apart whatever it is sent.
        raise _no_mysql(source) from None


def _no_mysql(source: Source) -> SourceUnreadable:
    return SourceUnreadable(
        f"Source {source.name!r}: what answers at its address does not speak MySQL's protocol. Correct host and port."
    )


def _address(source: Source) -> str:
    if source.config.url is not None:
        return source.config.url
    return (source.directory / (source.config.url_file or "")).read_text(encoding="utf-8").strip()


def _mysql_address(source: Source) -> SplitResult:
    form = "mysql://user:password@host:port/database"
    try:
        where = urlsplit(_address(source))
        port_ok = where.port is None or where.port > 0
    except ValueError:
        raise _no_address(source, form) from None
    if where.scheme not in {"mysql", "mariadb"} or not where.hostname or not where.path.strip("/") or not port_ok:
        raise _no_address(source, form)
    return where


def _no_address(source: Source, form: str) -> SourceUnreadable:
    """What the address is stays unsaid: it may hold a password."""
    return SourceUnreadable(
        f"Source {source.name!r}: its address does not have the form {form}. Correct url or url_file."
    )


def _origin(source: Source, quoted: Callable[[str], str] = identifier) -> str:
    return f"({source.config.query})" if source.config.query is not None else quoted(source.config.table or "")


def _quoted(name: str) -> str:
    """An identifier as MySQL writes it."""
    return "`" + name.replace("`", "``") + "`"
