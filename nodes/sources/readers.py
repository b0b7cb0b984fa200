"""Where rows come from: every source as batches of text columns, whatever its type.

CSV and Parquet are read by DuckDB; SQLite by the standard library; PostgreSQL by psycopg (the extra `postgresql`);
MySQL by DuckDB's own extension, which has to be installed once where the machine has no internet. A CSV file that is
not UTF-8 is brought to UTF-8 first; bytes that are no character become U+FFFD, so that the cell is rejected and told.
"""

from __future__ import annotations

import codecs
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from nodes.sources.config import Source
from nodes.sources.errors import DriverMissing, SourceUnreadable
from nodes.sources.expressions import identifier, literal

CHUNK_ROWS: Final = 65_536
_ENCODINGS: Final = ("utf-8-sig", "gb18030")


def text_batches(source: Source, connection: duckdb.DuckDBPyConnection, scratch: Path) -> Iterator[tuple[str, Any]]:
    """Yield (encoding, Arrow table of text columns `c0`: subject, `c1`…: the mapped columns). Raises SourceUnreadable."""
    columns = [source.config.subject, *(column.column for column in source.columns)]
    try:
        if source.config.type in {"csv", "parquet"}:
            yield from _files(source, columns, connection, scratch)
        else:
            for rows in _rows(source, columns, connection):
                yield "", _as_text(rows, len(columns))
    except (duckdb.Error, sqlite3.Error, OSError, UnicodeError) as error:
        raise SourceUnreadable(
            f"Source {source.name!r} cannot be read: {error}. Check its path, its columns and its rights."
        ) from error


def _files(
    source: Source, columns: list[str], connection: duckdb.DuckDBPyConnection, scratch: Path
) -> Iterator[tuple[str, Any]]:
    paths = sorted(source.path.parent.glob(source.path.name))
    if not paths:
        raise SourceUnreadable(f"Source {source.name!r}: there is no file {source.path}. Correct its path.")
    for path in paths:
        encoding = ""
        if source.config.type == "csv":
            encoding, readable = _as_utf8(path, source.config.encoding, scratch)
            relation = (
                f"read_csv({literal(str(readable))}, header=true, all_varchar=true, delim={literal(source.config.delimiter)}, "
                "quote='\"', escape='\"', strict_mode=false, null_padding=true)"
            )
        else:
            relation = f"read_parquet({literal(str(path))})"
        wanted = ", ".join(f"CAST({identifier(name)} AS VARCHAR) AS c{place}" for place, name in enumerate(columns))
        batches: Any = connection.sql(f"SELECT {wanted} FROM {relation}").to_arrow_reader(CHUNK_ROWS)
        for batch in batches:
            yield encoding, pa.Table.from_batches([batch])


def _as_utf8(path: Path, declared: str, scratch: Path) -> tuple[str, Path]:
    """The file's encoding, and the file itself or a copy in UTF-8."""
    encoding = _detect(path) if declared == "auto" else codecs.lookup(declared).name
    with path.open("rb") as file:
        marked = file.read(3).startswith(codecs.BOM_UTF8)
    if encoding == "utf-8" and not marked and _is_utf8(path):
        return encoding, path
    copy = scratch / f"{path.name}.utf8"
    with (
        path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, errors="replace", newline="") as old,
        copy.open("w", encoding="utf-8", newline="") as new,
    ):
        while block := old.read(1 << 20):
            new.write(block)
    return encoding, copy


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _detect(path: Path) -> str:
    """UTF-8 if all of it is, else GB 18030 (a superset of GBK) if that holds, else UTF-8 with the bad cells told."""
    if _is_utf8(path):
        return "utf-8"
    decoder = codecs.getincrementaldecoder("gb18030")()
    with path.open("rb") as file:
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
        except UnicodeDecodeError:
            return "utf-8"
    return "gb18030"


def _rows(source: Source, columns: list[str], connection: duckdb.DuckDBPyConnection) -> Iterator[list[tuple[Any, ...]]]:
    origin = f"({source.config.query})" if source.config.query is not None else identifier(source.config.table or "")
    query = f"SELECT {', '.join(map(identifier, columns))} FROM {origin} AS source"
    match source.config.type:
        case "sqlite":
            if not source.path.exists():
                raise SourceUnreadable(f"Source {source.name!r}: there is no file {source.path}. Correct its path.")
            opened = sqlite3.connect(f"file:{source.path}?mode=ro", uri=True)
            try:
                yield from _chunks(opened.execute(query))
            finally:
                opened.close()
        case "postgresql":
            yield from _postgresql(source, query)
        case _:
            yield from _mysql(source, columns, origin, connection)


def _url(source: Source) -> str:
    if source.config.url is not None:
        return source.config.url
    return (source.directory / (source.config.url_file or "")).read_text(encoding="utf-8").strip()


def _postgresql(source: Source, query: str) -> Iterator[list[tuple[Any, ...]]]:
    try:
        import psycopg
    except ImportError as error:
        raise DriverMissing("PostgreSQL sources need psycopg: install xinqiao[postgresql].") from error
    try:
        with psycopg.connect(_url(source)) as opened, opened.cursor("xinqiao") as cursor:
            cursor.execute(query.encode())
            while rows := cursor.fetchmany(CHUNK_ROWS):
                yield rows
    except psycopg.Error as error:
        raise SourceUnreadable(
            f"Source {source.name!r}: PostgreSQL says {error}. Check the address and the rights."
        ) from error


def _mysql(
    source: Source, columns: list[str], origin: str, connection: duckdb.DuckDBPyConnection
) -> Iterator[list[tuple[Any, ...]]]:
    try:
        connection.execute("LOAD mysql")
    except duckdb.Error as error:
        raise DriverMissing(
            "MySQL sources need DuckDB's mysql extension: run `INSTALL mysql` in DuckDB once, or copy the extension there."
        ) from error
    connection.execute(f"ATTACH {literal(_url(source))} AS mysql_source (TYPE mysql, READ_ONLY)")
    try:
        table = origin if source.config.query is not None else f"mysql_source.{origin}"
        wanted = ", ".join(map(identifier, columns))
        cursor = connection.execute(f"SELECT {wanted} FROM {table} AS source")
        while rows := cursor.fetchmany(CHUNK_ROWS):
            yield rows
    finally:
        connection.execute("DETACH mysql_source")


def _chunks(cursor: sqlite3.Cursor) -> Iterator[list[tuple[Any, ...]]]:
    while rows := cursor.fetchmany(CHUNK_ROWS):
        yield rows


def _as_text(rows: Iterable[tuple[Any, ...]], width: int) -> Any:  # noqa: ANN401 - a pyarrow table
    columns = list(zip(*rows, strict=True)) or [() for _ in range(width)]
    return pa.table(
        {f"c{place}": pa.array([_text(value) for value in column], pa.string()) for place, column in enumerate(columns)}
    )


def _text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, list | tuple):
        return "|".join(map(str, value))
    return str(value)
