"""Sources that tell different things of one subject and key: all rows are kept, and the conflict is recorded (guideline 6.3).

Sources are in conflict where their sets of rows of the same subject and key differ. The key is the period of the record unless the
sources state another. All conflicts stand in a file beside the snapshot, for the node's operator to look into; the report, which more
people read, has their number and masked examples.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from nodes.sources.config import Source
from nodes.sources.expressions import identifier
from nodes.sources.report import Conflict, masked_code

_EXAMPLES: Final = 100


@dataclass(frozen=True, kw_only=True)
class Conflicts:
    """How many there are, and some of them with masked subjects."""

    count: int = 0
    examples: tuple[Conflict, ...] = ()


def find_conflicts(sources: Sequence[Source], connection: duckdb.DuckDBPyConnection, file: Path) -> Conflicts:
    """Compare the sources of the rows in `good`. Writes `file` (CSV: subject, key fields, sources) if there is a conflict."""
    file.unlink(missing_ok=True)
    if len(sources) < 2:
        return Conflicts()
    item = sources[0].item
    key = sources[0].config.key or ((item.period_field,) if item.period_field is not None else ())
    by = ", ".join(["uscc", *map(identifier, key)])
    values = ", ".join(identifier(field.name) for field in item.fields)
    cursor = connection.execute(
        f"SELECT {by}, list(DISTINCT _source) AS places FROM good GROUP BY {by} "
        f"HAVING count(DISTINCT _source) > 1 "
        # Sources agree if each of them has each of the rows.
        f"AND count(DISTINCT (_source, {values})) <> count(DISTINCT _source) * count(DISTINCT ({values})) ORDER BY {by}"
    )
    first = cursor.fetchmany(_EXAMPLES)
    if not first:
        return Conflicts()
    names = [source.name for source in sources]
    return Conflicts(
        count=_write(file, ("subject", *key, "sources"), names, first, cursor),
        examples=tuple(
            Conflict(
                subject=masked_code(row[0]),
                key=" ".join(str(part) for part in row[1:-1]),
                sources=tuple(names[place] for place in sorted(row[-1])),
            )
            for row in first
        ),
    )


def _write(
    file: Path,
    header: Sequence[str],
    names: Sequence[str],
    rows: list[tuple[Any, ...]],
    cursor: duckdb.DuckDBPyConnection,
) -> int:
    count = 0
    file.touch(mode=0o600)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        while rows:
            count += len(rows)
            writer.writerows((*row[:-1], " ".join(names[place] for place in sorted(row[-1]))) for row in rows)
            rows = cursor.fetchmany(10_000)
    return count
