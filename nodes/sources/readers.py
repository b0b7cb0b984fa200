"""Where rows come from: each type of source as one SELECT over text columns of a DuckDB connection.

| type       | read by                                                                                             |
|------------|-----------------------------------------------------------------------------------------------------|
| csv        | DuckDB, after the encoding was settled (`encoding`); malformed lines are left out and reported        |
| parquet    | DuckDB                                                                                              |
| sqlite     | the sqlite3 of Python, read-only                                                                    |
| postgresql | psycopg (an extra), one read-only COPY into a temporary file in the staging folder                    |
| mysql      | DuckDB's extension mysql_scanner, if its file is installed; else an error that says what to do         |

Nothing is downloaded while a node runs: DuckDB's automatic extensions are off. Every value arrives as text, so that a date or an
amount is judged by the same rules whatever it came from.
"""

from __future__ import annotations

import csv
import glob
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from nodes.sources.config import Source
from nodes.sources.encoding import as_utf8
from nodes.sources.errors import DriverMissing, SourceUnreadable
from nodes.sources.expressions import identifier, literal
from nodes.sources.report import Rejection, Rule, shape

_FETCHED_ROWS: Final = 20_000
_HEADER_LIMIT: Final = 1 << 20
_MALFORMED: Final = {
    "MISSING COLUMNS": "has fewer cells than the header has columns",
    "TOO MANY COLUMNS": "has more cells than the header has columns; a delimiter in a text needs quotation marks around it",
    "UNQUOTED VALUE": "has a quotation mark in a wrong place, or one that is never closed; what follows up to the next one is lost",
    "LINE SIZE OVER MAXIMUM": "is longer than two million characters; a quotation mark may be unclosed before it",
}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A source that is open. `sql` selects text columns named as `columns` says, in a stable order where the source has one.

    `malformed`: lines that were no rows, known once the SELECT has run to its end. `close`: let go of files and connections.
    """

    sql: str
    columns: dict[str, str]
    collected_ms: int
    encoding: str = ""
    malformed: Callable[[], list[Rejection]] = field(default=list)
    close: Callable[[], None] = field(default=lambda: None)


def open_reading(source: Source, connection: Any, staging: Path, now_ms: int) -> Reading:  # noqa: ANN401 (duckdb)
    """Open a source. Raises SourceUnreadable, saying what to do; DriverMissing where software is not installed."""
    readers = {"csv": _csv, "parquet": _parquet, "sqlite": _sqlite, "postgresql": _postgresql, "mysql": _mysql}
    reading = readers[source.config.type](source, connection, staging, now_ms)
    wanted = [source.config.subject, *(column.column for column in source.columns)]
    missing = [name for name in dict.fromkeys(wanted) if name not in reading.columns]
    if missing:
        reading.close()
        raise _unreadable(source, f"has no column {', '.join(missing)}; it has {', '.join(reading.columns)[:500]}")
    return reading


def _unreadable(source: Source, what: str) -> SourceUnreadable:
    return SourceUnreadable(f"Source {source.name} ({source.config.type}) {what}. Correct the source or sources.toml.")


def _modified_ms(path: Path) -> int:
    """When a file was collected: loading an old file again does not make it new."""
    return path.stat().st_mtime_ns // 1_000_000


def _csv(source: Source, connection: Any, staging: Path, now_ms: int) -> Reading:  # noqa: ANN401
    path = source.path
    file, encoding = as_utf8(path, source.config.encoding, staging / f"{source.name}.csv")
    return _read_csv(source, connection, file, _modified_ms(path), encoding, source.config.delimiter)


def _read_csv(source: Source, connection: Any, file: Path, collected_ms: int, encoding: str, delimiter: str) -> Reading:  # noqa: ANN401
    names = _header(source, file, delimiter)
    columns = {name: f"c{place}" for place, name in enumerate(names)}
    types = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(names)))
    table = f"rejects_{connection.execute('SELECT count(*) FROM duckdb_tables()').fetchone()[0]}"
    # The dialect is stated, never sniffed: a guess from the first rows would be wrong in the millionth.
    sql = (
        f"SELECT * FROM read_csv({literal(str(file))}, auto_detect=false, header=true, columns={{{types}}}, "
        f"delim={literal(delimiter)}, quote='\"', escape='\"', strict_mode=true, store_rejects=true, "
        f"rejects_table={literal(table)}, rejects_scan={literal(table + '_scan')}, rejects_limit=100000)"
    )
    return Reading(
        sql=sql,
        columns=columns,
        collected_ms=collected_ms,
        encoding=encoding,
        malformed=lambda: _malformed(connection, table),
    )


def _header(source: Source, file: Path, delimiter: str) -> list[str]:
    with file.open(encoding="utf-8", errors="replace", newline="") as text:
        try:
            names = next(csv.reader([text.readline(_HEADER_LIMIT)], delimiter=delimiter, strict=True), [])
        except csv.Error as error:
            raise _unreadable(source, f"has a first line that is no header ({error})") from error
    names = [name.strip() for name in names]
    if not any(names):
        raise _unreadable(source, "is empty: the first line must name the columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _unreadable(source, f"names the column {', '.join(map(repr, twice))} twice in its header")
    return names


def _malformed(connection: Any, table: str) -> list[Rejection]:  # noqa: ANN401
    rows = connection.execute(f"SELECT line, error_type, csv_line FROM {table} ORDER BY line").fetchall()  # noqa: S608
    found: dict[int, Rejection] = {}
    for line, kind, text in rows:
        # The header is line 1; a line with several errors is one row.
        message = _MALFORMED.get(kind, "is no row of this file")
        rejection = Rejection(row=int(line) - 1, column="", rule=Rule.ROW, message=message, shown=shape(str(text or "")))
        found.setdefault(rejection.row, rejection)
    return list(found.values())


def _parquet(source: Source, connection: Any, staging: Path, now_ms: int) -> Reading:  # noqa: ANN401
    files = [Path(name) for name in sorted(glob.glob(str(source.path)))]  # noqa: PTH207 (a pattern that may be absolute)
    if not files:
        raise _unreadable(source, f"has no file at {source.path}")
    listed = ", ".join(literal(str(file)) for file in files)
    try:
        return _typed(connection, f"read_parquet([{listed}])", min(map(_modified_ms, files)))
    except (duckdb.Error, OSError) as error:
        raise _unreadable(source, f"cannot be read as Parquet: {_first_line(error)}") from error


def _typed(connection: Any, relation: str, collected_ms: int) -> Reading:  # noqa: ANN401
    """Columns of any type as text. Lists are written with | between their parts."""
    described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()  # noqa: S608
    selected = []
    for place, (name, kind, *_) in enumerate(described):
        text = f"array_to_string({identifier(name)}, '|')" if kind.endswith("[]") else f"CAST({identifier(name)} AS VARCHAR)"
        selected.append(f"{text} AS c{place}")
    columns = {name: f"c{place}" for place, (name, *_) in enumerate(described)}
    return Reading(sql=f"SELECT {', '.join(selected)} FROM {relation}", columns=columns, collected_ms=collected_ms)  # noqa: S608


def _sqlite(source: Source, connection: Any, staging: Path, now_ms: int) -> Reading:  # noqa: ANN401
    try:
        collected_ms = _modified_ms(source.path)
        # DuckDB pulls the rows from a thread of its own, one at a time.
        database = sqlite3.connect(f"{source.path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        raise _unreadable(source, f"cannot be opened at {source.path}: {error}") from error
    try:
        database.text_factory = bytes
        selected = source.config.query or f"SELECT * FROM {identifier(source.config.table or '')}"  # noqa: S608
        described = database.execute(f"SELECT * FROM ({selected}) LIMIT 0").description  # noqa: S608
        names = [each[0] for each in described]
        cast = ", ".join(f"CAST({identifier(name)} AS TEXT)" for name in names)
        cursor = database.execute(f"SELECT {cast} FROM ({selected})")  # noqa: S608
    except sqlite3.Error as error:
        database.close()
        raise _unreadable(source, f"cannot be queried: {error}") from error
    columns = {name: f"c{place}" for place, name in enumerate(names)}
    schema = pa.schema([(column, pa.string()) for column in columns.values()])
    connection.register("sqlite_rows", pa.RecordBatchReader.from_batches(schema, _sqlite_batches(cursor, schema)))
    return Reading(sql="SELECT * FROM sqlite_rows", columns=columns, collected_ms=collected_ms, close=database.close)


def _sqlite_batches(cursor: sqlite3.Cursor, schema: Any) -> Iterator[Any]:  # noqa: ANN401
    while rows := cursor.fetchmany(_FETCHED_ROWS):
        arrays = [_decode(list(cells)) for cells in zip(*rows, strict=True)]
        yield pa.record_batch(arrays, schema=schema)


def _decode(cells: list[bytes | None]) -> Any:  # noqa: ANN401 (a pyarrow array)
    try:
        return pa.array(cells, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([None if cell is None else cell.decode("utf-8", "replace") for cell in cells], pa.string())


def address(source: Source) -> str:
    """The address of a database. Raises SourceUnreadable if the file that holds it cannot be read."""
    if source.config.url is not None:
        return source.config.url
    path = source.directory / (source.config.url_file or "")
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(source, f"has its address in {path}, which cannot be read") from error


def _postgresql(source: Source, connection: Any, staging: Path, now_ms: int) -> Reading:  # noqa: ANN401
    try:
        import psycopg
        from psycopg import sql
    except ImportError as error:
        raise DriverMissing(
            f"Source {source.name} is a PostgreSQL database, and the driver is not installed. Install the extra: "
            "pip install 'xinqiao[postgresql]'."
        ) from error
    file = staging / f"{source.name}.csv"
    config = source.config
    chosen = sql.SQL(config.query or "") if config.query else sql.SQL("SELECT * FROM {}").format(  # type: ignore[arg-type]
        sql.Identifier(*(config.table or "").split("."))
    )
    try:
        with psycopg.connect(address(source), connect_timeout=10, autocommit=False) as database:
            database.read_only = True
            with database.cursor() as cursor:
                described = cursor.execute(sql.SQL("SELECT * FROM ({}) AS source LIMIT 0").format(chosen)).description or []
                texts = sql.SQL(", ").join(sql.SQL("{0}::text AS {0}").format(sql.Identifier(each.name)) for each in described)
                copy = sql.SQL("COPY (SELECT {} FROM ({}) AS source) TO STDOUT (FORMAT csv, HEADER, ENCODING 'UTF8')")
                with cursor.copy(copy.format(texts, chosen)) as stream, file.open("wb") as rows:
                    for block in stream:
                        rows.write(block)
    except psycopg.Error as error:
        # The driver's message may repeat parts of the address, never its password; the address itself is not told.
        raise _unreadable(source, f"cannot be read: {_first_line(error)}") from error
    return _read_csv(source, connection, file, now_ms, "utf-8", ",")


def _mysql(source: Source, connection: Any, staging: Path, now_ms: int) -> Reading:  # noqa: ANN401
    try:
        connection.execute("LOAD mysql")
    except duckdb.Error as error:
        raise DriverMissing(
            f"Source {source.name} is a MySQL database, and DuckDB's extension mysql_scanner for version {duckdb.__version__} is not "
            "installed. Install it where there is a network (duckdb: INSTALL mysql) and copy its folder of extensions to this "
            "account, or export the table to Parquet or CSV."
        ) from error
    config = source.config
    try:
        connection.execute(f"ATTACH {literal(address(source))} AS mysql_source (TYPE mysql, READ_ONLY)")
        if config.query is not None:
            return _typed(connection, f"mysql_query('mysql_source', {literal(config.query)})", now_ms)
        table = ".".join(map(identifier, (config.table or "").split(".")))
        return _typed(connection, f"mysql_source.{table}", now_ms)
    except duckdb.Error as error:
        # DuckDB's message repeats the whole address, with its password.
        raise _unreadable(source, "cannot be reached or has no such table; try the address with a client of MySQL") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300].rstrip(".")
