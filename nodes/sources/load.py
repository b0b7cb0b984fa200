"""One load, start to end: read every source, check every row, keep the good ones, and say what was rejected and why.

Rules:
1. A source that cannot be read leaves its item as it was: queries go on seeing the snapshot before. Nothing is half loaded.
2. Rows that break a rule are counted and left out; the good rows are kept (`check`). A source of which no row is good counts as one
   that cannot be read: most likely its mapping is wrong, and an empty snapshot would say that no enterprise has a record.
3. A row that stands twice in a source is kept once (duplicate); where the sources state a key, a source has one record a subject and
   key, the first (duplicate-key). A row that several sources have in the same words is kept once (corroborated), with all of them.
4. Sources that tell different things are a conflict (`merge`): all rows are kept, and the conflict is recorded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
from msgspec.structs import replace

from consent.catalogue import Catalogue, Item
from nodes.sources.check import ROW, check_batch
from nodes.sources.config import Source, load_config
from nodes.sources.errors import SourceUnreadable, without_result
from nodes.sources.expressions import cell, fast_value, identifier, literal, normalised, sql_type
from nodes.sources.facts import SourceFacts
from nodes.sources.merge import corroborated, find_gaps, item_columns, merge, record_conflicts
from nodes.sources.readers import data_ms, text_batches
from nodes.sources.report import ItemOutcome, LoadOutcome, LoadReport, Rejection, ReportBuilder, Rule
from nodes.sources.snapshot import Snapshot, write_snapshot

_MEMORY: Final = "1GB"


def load_items(
    sources_file: Path, catalogue: Catalogue, snapshots: Path, now_ms: int
) -> tuple[LoadOutcome, list[Snapshot]]:
    """Load every declared source; the outcome, and the new snapshots. Raises SourcesInvalid, LoadInterrupted."""
    sources = load_config(sources_file, catalogue)
    reports: list[LoadReport] = []
    outcomes: list[ItemOutcome] = []
    made: list[Snapshot] = []
    for item_id in dict.fromkeys(source.item.id for source in sources):
        of_item = [source for source in sources if source.item.id == item_id]
        with _workspace(snapshots) as (connection, scratch):
            _create(connection, of_item[0].item)
            told = [_read(source, place, connection, scratch, now_ms) for place, source in enumerate(of_item)]
            note = _obstacle(told)
            if note:
                outcomes.append(ItemOutcome(item_id=item_id, switched=False, note=note))
            else:
                rows, told = _merged(of_item, told, connection)
                snapshot = write_snapshot(
                    of_item[0].item,
                    rows,
                    snapshots,
                    loaded_ms=now_ms,
                    rejected=sum(report.rejected for report in told),
                    catalogue_version=catalogue.version,
                    sources=tuple(map(_origin, told)),
                )
                made.append(snapshot)
                outcomes.append(_outcome(of_item, connection, scratch, snapshot))
        reports += told
    whole = LoadOutcome(
        loaded_ms=now_ms, catalogue_version=catalogue.version, sources=tuple(reports), items=tuple(outcomes)
    )
    return whole, made


@contextmanager
def _workspace(snapshots: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    snapshots.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Nothing is fetched from a network while a node runs; DuckDB would.
    offline: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    with tempfile.TemporaryDirectory(dir=snapshots, prefix=".load-") as folder:
        connection = duckdb.connect(str(Path(folder) / "work.duckdb"), config=offline)
        try:
            connection.execute(f"SET memory_limit = '{_MEMORY}'")
            connection.execute(f"SET temp_directory = {literal(folder)}")
            connection.execute("SET preserve_insertion_order = true")
            yield connection, Path(folder)
        except duckdb.OutOfMemoryException:
            raise without_result("out of memory") from None
        finally:
            connection.close()


def _create(connection: duckdb.DuckDBPyConnection, item: Item) -> None:
    fields = ", ".join(f"{identifier(field.name)} {sql_type(field)}" for field in item.fields)
    connection.execute(f"CREATE TABLE good (_source INTEGER, {ROW} BIGINT, uscc VARCHAR, {fields})")


def _read(source: Source, place: int, connection: duckdb.DuckDBPyConnection, scratch: Path, now_ms: int) -> LoadReport:
    builder, encoding, code, error = ReportBuilder(), "", "", ""
    accepted = 0
    malformed: list[Rejection] = []
    updated_ms = now_ms
    reader = connection.cursor()
    try:
        row, updated_ms = 0, data_ms(source, now_ms)
        for told, texts in text_batches(source, reader, scratch, malformed):
            encoding = told
            checked = check_batch(source, _typed(source, connection, texts, row), builder)
            row += texts.num_rows
            accepted += _insert(connection, source, place, checked)
        _add_malformed(builder, malformed)
    except SourceUnreadable as failure:
        code, error = failure.code, failure.message
    finally:
        reader.close()
    return LoadReport(
        source=source.name,
        item_id=source.item.id,
        origin=source.config.origin,
        source_org=source.config.source_org,
        collect_method=source.collect_method,
        collected_ms=now_ms,
        updated_ms=updated_ms,
        rows=builder.rows,
        accepted=accepted,
        rejected=builder.rejected,
        encoding=encoding,
        by_rule=dict(builder.by_rule),
        examples=builder.examples(),
        error_code=code,
        error=error,
    )


def _add_malformed(builder: ReportBuilder, malformed: list[Rejection]) -> None:
    """Count lines that were no rows; the examples get the places that they have among them."""
    skipped = np.array(sorted(each.row for each in malformed), dtype=np.int64)
    gaps = skipped - np.arange(len(skipped))
    builder.shift(lambda row: row + int(np.searchsorted(gaps, row, side="right")))
    builder.rows += len(malformed)
    builder.rejected += len(malformed)
    builder.count(Rule.ROW, len(malformed))
    builder.add(malformed)


def _obstacle(reports: Sequence[LoadReport]) -> str:
    """Why an item keeps the snapshot that it has (rules 1 and 2); empty if it does not."""
    for report in reports:
        if report.error_code:
            return f"source {report.source} could not be read; queries see the load before"
        if report.rows and not report.accepted:
            return f"none of the {report.rows} rows of source {report.source} is good; queries see the load before"
    return ""


def _typed(source: Source, connection: duckdb.DuckDBPyConnection, texts: Any, first_row: int) -> Any:  # noqa: ANN401 - pyarrow
    """The batch that `check.check_batch` expects: typed values where they are sure, the text where they are not."""
    nulls = source.config.null_values
    cells = ", ".join(f"{cell(f'c{place}', nulls)} AS t{place}" for place in range(len(source.columns) + 1))
    texts_now = ", ".join(
        f"{normalised(column, f't{place}')} AS n{place}" for place, column in enumerate(source.columns, start=1)
    )
    wanted = [f"{first_row} + row_number() OVER () AS {ROW}", "t0 AS subject"]
    for place, column in enumerate(source.columns):
        value = fast_value(column, f"n{place + 1}")
        wanted.append(f"{value} AS v{place}")
        wanted.append(f"CASE WHEN ({value}) IS NULL THEN n{place + 1} END AS b{place}")
    query = f"SELECT {', '.join(wanted)} FROM (SELECT t0, {texts_now} FROM (SELECT {cells} FROM texts))"
    connection.register("texts", texts)
    try:
        table: Any = connection.sql(query).to_arrow_table()
    finally:
        connection.unregister("texts")
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def _insert(connection: duckdb.DuckDBPyConnection, source: Source, place: int, checked: Any) -> int:  # noqa: ANN401 - pyarrow
    if checked.num_rows == 0:
        return 0
    mapped = {column.field.name for column in source.columns}
    names = ", ".join(
        identifier(field.name) if field.name in mapped else f"NULL AS {identifier(field.name)}"
        for field in source.item.fields
    )
    connection.register("checked", pa.Table.from_batches([checked]))
    try:
        connection.execute(f"INSERT INTO good SELECT {place}, {ROW}, uscc, {names} FROM checked")
    finally:
        connection.unregister("checked")
    return int(checked.num_rows)


def _merged(
    sources: Sequence[Source], reports: Sequence[LoadReport], connection: duckdb.DuckDBPyConnection
) -> tuple[Any, list[LoadReport]]:
    """Rules 3 and 4: what is kept, as Arrow batches, and the reports with what that took from each source."""
    key = sources[0].config.key
    told = [_without_duplicates(report, place, key, connection) for place, report in enumerate(reports)]
    kept = merge(sources, connection)
    if len(sources) > 1:
        told = [replace(report, corroborated=corroborated(place, connection)) for place, report in enumerate(told)]
    rows: Any = connection.sql(kept).to_arrow_reader(16_384)
    return rows, told


def _without_duplicates(
    report: LoadReport, place: int, key: tuple[str, ...], connection: duckdb.DuckDBPyConnection
) -> LoadReport:
    """Rule 3 within one source."""
    groups = {Rule.DUPLICATE: item_columns(connection)}
    if key:
        groups[Rule.DUPLICATE_KEY] = ", ".join(["uscc", *map(identifier, key)])
    taken = {rule.value: _keep_first(connection, place, by) for rule, by in groups.items()}
    by_rule = report.by_rule | {rule: count for rule, count in taken.items() if count}
    lost = sum(taken.values())
    return replace(report, accepted=report.accepted - lost, rejected=report.rejected + lost, by_rule=by_rule)


def _keep_first(connection: duckdb.DuckDBPyConnection, place: int, by: str) -> int:
    """Delete all but the first row of each group of one source; how many that were."""
    before = _one(connection, f"SELECT count(*) FROM good WHERE _source = {place}")
    connection.execute(
        f"DELETE FROM good WHERE _source = {place} AND {ROW} NOT IN "
        f"(SELECT min({ROW}) FROM good WHERE _source = {place} GROUP BY {by})"
    )
    return before - _one(connection, f"SELECT count(*) FROM good WHERE _source = {place}")


def _origin(report: LoadReport) -> SourceFacts:
    return SourceFacts(
        name=report.source,
        origin=report.origin,
        source_org=report.source_org,
        collect_method=report.collect_method,
        updated_ms=report.updated_ms,
    )


def _outcome(
    sources: Sequence[Source], connection: duckdb.DuckDBPyConnection, scratch: Path, snapshot: Snapshot
) -> ItemOutcome:
    fields = sources[0].item.fields
    filled = {column.field.name for source in sources for column in source.columns}
    listed = scratch / "conflicts"
    conflicts = record_conflicts(sources, connection, listed)
    if conflicts.count:
        listed.replace(snapshot.conflicts_file)
    else:
        snapshot.conflicts_file.unlink(missing_ok=True)
    return ItemOutcome(
        item_id=snapshot.facts.item_id,
        switched=True,
        digest=snapshot.digest,
        rows=snapshot.records,
        subjects=snapshot.subjects,
        conflicts=conflicts.count,
        conflicts_file=str(snapshot.conflicts_file) if conflicts.count else "",
        conflict_examples=conflicts.examples,
        fields=len(fields),
        absent_fields=tuple(field.name for field in fields if field.name not in filled),
        gaps=find_gaps(sources, connection),
        data_ms=snapshot.facts.data_ms,
    )


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(row[0]) if row is not None else 0
