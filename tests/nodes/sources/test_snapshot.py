"""One snapshot: lookups and scans equal a plain filter, however the rows fall into batches; damage is told."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.sources import snapshot as module
from nodes.sources.errors import SnapshotDamaged
from nodes.sources.snapshot import Snapshot, write_snapshot
from tests.nodes.sources.bureau import CATALOGUE, CODES, ITEM

SCHEMA = pa.schema([("uscc", pa.string()), ("months", pa.int64())])
SORTED = sorted(CODES)
Row = tuple[str, int]


def written(rows: list[Row], folder: Path, chunk: int = 3) -> Snapshot:
    table = pa.table({"uscc": [code for code, _ in rows], "months": [months for _, months in rows]}, schema=SCHEMA)
    return write_snapshot(CATALOGUE.item(ITEM), table.to_batches(chunk), folder, loaded_ms=1, rejected=0)


def scanned(made: Snapshot, codes: list[str], batch_rows: int) -> list[list[Row]]:
    batches: list[Any] = list(made.scan(pa.array(codes, pa.string()), ["months"], batch_rows))
    return [[(row["uscc"], row["months"]) for row in batch.to_pylist()] for batch in batches]


@settings(max_examples=80, deadline=None)
@given(
    counts=st.lists(st.integers(0, 9), min_size=len(SORTED), max_size=len(SORTED)),
    wanted=st.sets(st.sampled_from(SORTED)),
    stored=st.integers(1, 8),
    batch_rows=st.integers(1, 12),
    chunk=st.integers(1, 20),
)
def test_lookups_and_scans_are_a_plain_filter_whatever_the_batches(
    counts: list[int], wanted: set[str], stored: int, batch_rows: int, chunk: int
) -> None:
    rows = [(code, months) for code, count in zip(SORTED, counts, strict=True) for months in range(count)]
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(module, "BATCH_ROWS", stored):
        made = written(rows, Path(folder), chunk)
        for code, count in zip(SORTED, counts, strict=True):
            assert made.lookup(code) == [{"months": months} for months in range(count)]
        batches = scanned(made, sorted(wanted), batch_rows)
        assert scanned(made, sorted(wanted), batch_rows) == batches
    assert [row for batch in batches for row in batch] == [row for row in rows if row[0] in wanted]
    assert all(len(batch) == batch_rows for batch in batches[:-1])
    assert all(0 < len(batch) <= batch_rows for batch in batches)
    assert (made.records, made.subjects) == (len(rows), sum(count > 0 for count in counts))


def test_how_the_rows_arrive_does_not_change_the_digest(tmp_path: Path) -> None:
    rows = [(code, months) for code in SORTED for months in range(7)]
    assert len({written(rows, tmp_path, chunk).digest for chunk in (1, 4, 100)}) == 1


@pytest.mark.parametrize("unknown", ["", "9", "Z" * 18, CODES[0] + "0", "张三", CODES[0].lower()])
def test_a_text_that_is_no_subject_of_the_snapshot_finds_nothing(tmp_path: Path, unknown: str) -> None:
    made = written([(code, 1) for code in SORTED], tmp_path)
    assert made.lookup(unknown) == []
    assert made.lookup(SORTED[0]) == [{"months": 1}]


def test_an_empty_snapshot_finds_nothing_and_scans_nothing(tmp_path: Path) -> None:
    made = written([], tmp_path)
    assert (made.records, made.subjects, made.lookup(CODES[0]), scanned(made, SORTED, 5)) == (0, 0, [], [])


@pytest.mark.parametrize("kind", ["arrow", "keys"])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut"])
def test_a_damaged_file_is_told(tmp_path: Path, kind: str, damage: str) -> None:
    made = written([(code, 1) for code in SORTED], tmp_path)
    path = tmp_path / f"{ITEM}-{made.digest}.{kind}"
    content = path.read_bytes()
    path.unlink()  # a new file, for the old one is mapped
    if damage != "gone":
        path.write_bytes(b"" if damage == "empty" else content[:-18])
    with pytest.raises(SnapshotDamaged, match=ITEM) as told:
        Snapshot(tmp_path, made.facts)
    assert "Load the sources again" in told.value.message


def test_an_open_snapshot_can_be_read_after_it_was_removed_and_leaves_no_file(tmp_path: Path) -> None:
    made = written([(code, 1) for code in SORTED], tmp_path)
    made.remove()
    assert list(tmp_path.iterdir()) == []
    assert made.lookup(SORTED[0]) == [{"months": 1}]
