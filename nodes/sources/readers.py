"""Where rows come from: every source as batches of text columns, whatever its type.

CSV and Parquet are read by DuckDB, SQLite by the standard library, database servers as `servers` says. A CSV file that is not UTF-8 is
brought to UTF-8 first; bytes that are no character become U+FFFD, so that the cell is rejected and told.

The dialect of a CSV file is what `sources.toml` states, never a guess from its first rows. A line that is no row (cells too few or too
many, a quotation mark in a wrong place) is left out and told: read with good will, its values would stand in other columns.
"""

from __future__ import annotations

import codecs
import csv
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime, time
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from consent.identifiers import CHINA_TIME
from nodes.sources.config import FILE_TYPES, Source
from nodes.sources.errors import SourceUnreadable
from nodes.sources.expressions import identifier, literal
from nodes.sources.report import Rejection, Rule, shape
from nodes.sources.servers import CHUNK_ROWS, Rows, mysql_rows, postgresql_rows

_DAY_MS: Final = 86_400_000
_HEADER_LIMIT: Final = 1 << 20
_MALFORMED_LIMIT: Final = 100_000
_MALFORMED: Final = {
    "MISSING COLUMNS": "has fewer cells than the header has columns",
    "TOO MANY COLUMNS": "has more cells than the header has columns; quote a text that holds the delimiter",
    "UNQUOTED VALUE": "has a quotation mark in a wrong place, or never closed; what follows up to the next one is lost",
    "LINE SIZE OVER MAXIMUM": "is longer than two million characters; a quotation mark before it may be unclosed",
}


def text_batches(
    source: Source, connection: duckdb.DuckDBPyConnection, scratch: Path, malformed: list[Rejection]
) -> Iterator[tuple[str, Any]]:
    """Yield (encoding, Arrow table of text columns `c0`: subject, `c1`…: the mapped columns). Raises SourceUnreadable.

    Lines that were no rows are in `malformed` when the last batch was taken.
    """
    columns = [source.config.subject, *(column.column for column in source.columns)]
    try:
        if source.config.type in {"csv", "parquet"}:
            yield from _files(source, columns, connection, scratch, malformed)
        else:
            for rows in _rows(source, columns):
                yield "", _as_text(rows, len(columns))
    except duckdb.OutOfMemoryException:
        raise  # nothing is wrong with the source
    except (duckdb.Error, sqlite3.Error, OSError, UnicodeError, LookupError) as error:
        raise SourceUnreadable(
            f"Source {source.name!r} cannot be read: {error}. Check its path, its columns and its rights."
        ) from error


def data_ms(source: Source, now_ms: int) -> int:
    """How old a source's data is: the end of the day that it states, or when the newest of its files was written, or now for a server.

    Raises SourceUnreadable if it states a day that has not begun.
    """
    if source.config.as_of is not None:
        day = datetime.combine(source.config.as_of, time(), CHINA_TIME)
        begun_ms = int(day.timestamp() * 1000)
        if begun_ms > now_ms:
            raise SourceUnreadable(
                f"Source {source.name!r} states as_of = {source.config.as_of}, which is yet to come. Correct it in sources.toml, "
                "or this machine's clock."
            )
        return min(now_ms, begun_ms + _DAY_MS)
    if source.config.type not in FILE_TYPES:
        return now_ms
    try:
        times = [path.stat().st_mtime_ns // 1_000_000 for path in source.path.parent.glob(source.path.name)]
    except OSError as error:
        raise SourceUnreadable(f"Source {source.name!r}: {error}. Check its path and its rights.") from error
    return min(now_ms, max(times, default=now_ms))


def _files(
    source: Source,
    columns: list[str],
    connection: duckdb.DuckDBPyConnection,
    scratch: Path,
    malformed: list[Rejection],
) -> Iterator[tuple[str, Any]]:
    paths = sorted(source.path.parent.glob(source.path.name))
    if not paths:
        raise SourceUnreadable(f"Source {source.name!r}: there is no file {source.path}. Correct its path.")
    rows = 0
    for number, path in enumerate(paths):
        encoding, table, before = "", f"rejects_{number}", rows + len(malformed)
        if source.config.type == "csv":
            encoding, readable = _as_utf8(path, source.config.encoding, scratch)
            relation = _csv_relation(source, columns, readable, table)
        else:
            relation = f"read_parquet({literal(str(path))})"
        wanted = ", ".join(f"CAST({identifier(name)} AS VARCHAR) AS c{place}" for place, name in enumerate(columns))
        batches: Any = connection.sql(f"SELECT {wanted} FROM {relation}").to_arrow_reader(CHUNK_ROWS)
        for batch in batches:
            rows += batch.num_rows
            yield encoding, pa.Table.from_batches([batch])
        if source.config.type == "csv":
            malformed += _malformed(source, connection, table, before)


def _csv_relation(source: Source, columns: list[str], file: Path, table: str) -> str:
    with file.open(encoding="utf-8", newline="") as text:
        names = next(csv.reader([text.readline(_HEADER_LIMIT)], delimiter=source.config.delimiter), [])
    names = [name.strip() for name in names]
    wrong = [name for name in dict.fromkeys(columns) if names.count(name) != 1]
    if wrong:
        raise SourceUnreadable(
            f"Source {source.name!r}: its first line does not name the column {', '.join(wrong)} once; it names "
            f"{', '.join(names)[:500]}. Correct the file, its delimiter, or sources.toml."
        )
    # Columns that nobody asked for may have any name, also the same one twice.
    known = [name if name in columns else f"_{place}" for place, name in enumerate(names)]
    types = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in known)
    return (
        f"read_csv({literal(str(file))}, auto_detect=false, header=true, columns={{{types}}}, "
        f"delim={literal(source.config.delimiter)}, quote='\"', escape='\"', strict_mode=true, store_rejects=true, "
        f"rejects_table={literal(table)}, rejects_scan={literal(table + '_scan')}, rejects_limit={_MALFORMED_LIMIT})"
    )


def _malformed(source: Source, connection: duckdb.DuckDBPyConnection, table: str, before: int) -> list[Rejection]:
    """What DuckDB refused of a file that `before` rows of the source precede, told by place and form. The header is line 1.

    Raises SourceUnreadable where it refused so much that it stopped recording: the rest could not be counted.
    """
    refused = connection.execute(f"SELECT line, error_type, csv_line FROM {table} ORDER BY line").fetchall()
    if len(refused) >= _MALFORMED_LIMIT:
        raise SourceUnreadable(
            f"Source {source.name!r}: {_MALFORMED_LIMIT:,} cells and more stand where no row can be made of them. "
            "Most likely the delimiter or the quotation marks of the file are not those of sources.toml."
        )
    found = {int(line): (kind, text) for line, kind, text in reversed(refused)}
    return [
        Rejection(
            row=before + line - 1,
            column="",
            rule=Rule.ROW,
            message=_MALFORMED.get(kind, "is no row"),
            shown=shape(text or ""),
        )
        for line, (kind, text) in sorted(found.items())
    ]


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


def _rows(source: Source, columns: list[str]) -> Rows:
    match source.config.type:
        case "sqlite":
            origin = (
                f"({source.config.query})" if source.config.query is not None else identifier(source.config.table or "")
            )
            query = f"SELECT {', '.join(map(identifier, columns))} FROM {origin} AS source"
            if not source.path.exists():
                raise SourceUnreadable(f"Source {source.name!r}: there is no file {source.path}. Correct its path.")
            opened = sqlite3.connect(f"{source.path.resolve().as_uri()}?mode=ro", uri=True)
            # Without this, SQLite's message on bytes that are no UTF-8 repeats the cell, and one cell costs the whole source.
            opened.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
            try:
                yield from _chunks(opened.execute(query))
            finally:
                opened.close()
        case "postgresql":
            yield from postgresql_rows(source, columns)
        case _:
            yield from mysql_rows(source, columns)


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
