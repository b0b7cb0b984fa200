"""The permitted set of a transfer: which subjects, by which consents, how many records, until when. One file, never changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pyarrow as pa

from consent.usage import SubjectUse

CONSENTS_TABLE: Final = "consents"
CONSENTS_SCHEMA: Final = pa.schema(
    [
        ("uscc", pa.string()),
        ("consent_id", pa.string()),
        ("record_count", pa.int64()),
        ("salt", pa.string()),
        ("delete_by_ms", pa.int64()),
    ]
)


def permitted_table(uses: list[SubjectUse], delete_by: list[int]) -> pa.Table:
    """The permitted set as a table, one row a subject."""
    return pa.table(
        [
            [use.uscc for use in uses],
            [use.consent_id for use in uses],
            [use.record_count for use in uses],
            [use.salt for use in uses],
            delete_by,
        ],
        schema=CONSENTS_SCHEMA,
    )


def write_table(path: Path, table: pa.Table) -> None:
    """Write it whole or not at all; durable when this returns."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
        writer.close()
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_table(path: Path) -> pa.Table:
    """Read what `write_table` wrote."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()
