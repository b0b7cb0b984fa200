"""What the sources of an item say together: each row once, with the sources that have it, and where they contradict each other.

The guideline (6.3) wants values of several sources compared and what differs recorded; the dictionary wants the quality and the origin
of each record. Both come from one number a row: bit n of `_sources` says that source n has it, in the same words.
1. Sources are in conflict where one of them lacks a row that another has of the same subject and key. The key is the period of the
   record unless the sources state another. A source that has nothing of a subject and key contradicts nobody.
2. Rows in conflict are all kept and are of quality `conflict`, the others `ok`. (Of the dictionary's other states, `error` rows are
   left out and counted, and `disputed` is nothing that a load knows.)
3. All conflicts stand in a file beside the snapshot, for the node's operator to look into; the report, which more people read, has
   their number and masked examples.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from nodes.sources.check import ROW
from nodes.sources.config import Source
from nodes.sources.expressions import identifier
from nodes.sources.facts import QUALITY, SOURCES
from nodes.sources.report import Conflict, Gap, masked_code, shape

_EXAMPLES: Final = 100


@dataclass(frozen=True, kw_only=True)
class Conflicts:
    """How many there are, and some of them with masked subjects."""

    count: int = 0
    examples: tuple[Conflict, ...] = ()


def item_columns(connection: duckdb.DuckDBPyConnection) -> str:
    """Subject and fields of the table `good`, quoted."""
    names = [name for name, *_ in connection.execute("DESCRIBE good").fetchall() if name not in {"_source", ROW}]
    return ", ".join(map(identifier, names))


def merge(sources: Sequence[Source], connection: duckdb.DuckDBPyConnection) -> str:
    """Make `merged` and `conflict` of `good`, in which each source has each row once; the query of what is kept, in order."""
    columns, by = item_columns(connection), _by(sources)
    if len(sources) == 1:
        connection.execute(f"CREATE VIEW merged AS SELECT {columns}, 1::BIGINT AS {SOURCES} FROM good")
        return f"SELECT {columns}, {SOURCES}, 'ok' AS {QUALITY} FROM merged ORDER BY {columns}"
    connection.execute(
        f"CREATE TABLE merged AS SELECT {columns}, bit_or(1::BIGINT << _source) AS {SOURCES} FROM good GROUP BY {columns}"
    )
    keys = ", ".join(by)
    connection.execute(
        f"CREATE TABLE conflict AS SELECT {keys}, bit_or({SOURCES}) AS {SOURCES} FROM merged GROUP BY {keys} "
        f"HAVING bit_or({SOURCES}) <> bit_and({SOURCES})"
    )
    same = " AND ".join(f"merged.{name} IS NOT DISTINCT FROM conflict.{name}" for name in by)
    return (
        f"SELECT {', '.join(f'merged.{name}' for name in columns.split(', '))}, merged.{SOURCES}, "
        f"CASE WHEN conflict.uscc IS NULL THEN 'ok' ELSE 'conflict' END AS {QUALITY} "
        f"FROM merged LEFT JOIN conflict ON {same} ORDER BY {columns}"
    )


def corroborated(place: int, connection: duckdb.DuckDBPyConnection) -> int:
    """How many rows of a source another one has in the same words."""
    bit = 1 << place
    # Fetched to the end: a connection with an unfinished result takes no other work.
    ((count,),) = connection.execute(
        f"SELECT count(*) FROM merged WHERE {SOURCES} & {bit} <> 0 AND {SOURCES} <> {bit}"
    ).fetchall()
    return int(count)


def record_conflicts(sources: Sequence[Source], connection: duckdb.DuckDBPyConnection, file: Path) -> Conflicts:
    """Write `file` (CSV: subject, key fields, sources), readable by its owner only, if there is a conflict."""
    if len(sources) < 2:
        return Conflicts()
    by = ", ".join(_by(sources))
    cursor = connection.execute(f"SELECT {by}, {SOURCES} FROM conflict ORDER BY {by}")
    first = cursor.fetchmany(_EXAMPLES)
    if not first:
        return Conflicts()
    period = sources[0].item.period_field
    # A period may stand in a report; a key that the sources state, a number of an account perhaps, only by its form.
    key = _key(sources)
    names = [source.name for source in sources]
    return Conflicts(
        count=_write(file, ("subject", *key, "sources"), names, first, cursor),
        examples=tuple(
            Conflict(
                subject=masked_code(row[0]),
                key=" ".join(
                    str(part) if name == period else shape(str(part)) for name, part in zip(key, row[1:-1], strict=True)
                ),
                sources=_named(names, row[-1]),
            )
            for row in first
        ),
    )


def find_gaps(sources: Sequence[Source], connection: duckdb.DuckDBPyConnection) -> tuple[Gap, ...]:
    """The item's fields that some subjects have in none of their records, and how many these are."""
    fields = sources[0].item.fields
    filled = ", ".join(f"bool_or({identifier(field.name)} IS NOT NULL)" for field in fields)
    lacking = ", ".join(f"count(*) FILTER (NOT f{place})" for place in range(len(fields)))
    aliases = ", ".join(f"f{place}" for place in range(len(fields)))
    (counts,) = connection.execute(
        f"SELECT {lacking} FROM (SELECT uscc, {filled} FROM merged GROUP BY uscc) AS subjects(uscc, {aliases})"
    ).fetchall()
    return tuple(Gap(field=field.name, subjects=count) for field, count in zip(fields, counts, strict=True) if count)


def _key(sources: Sequence[Source]) -> tuple[str, ...]:
    period = sources[0].item.period_field
    return sources[0].config.key or ((period,) if period is not None else ())


def _by(sources: Sequence[Source]) -> list[str]:
    return ["uscc", *map(identifier, _key(sources))]


def _named(names: Sequence[str], bits: int) -> tuple[str, ...]:
    return tuple(name for place, name in enumerate(names) if bits >> place & 1)


def _write(
    file: Path,
    header: Sequence[str],
    names: Sequence[str],
    rows: list[tuple[Any, ...]],
    cursor: duckdb.DuckDBPyConnection,
) -> int:
    count = 0
    file.touch(mode=0o600, exist_ok=False)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        while rows:
            count += len(rows)
            writer.writerows((*row[:-1], " ".join(_named(names, row[-1]))) for row in rows)
            rows = cursor.fetchmany(10_000)
    return count
