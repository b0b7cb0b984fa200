"""Snapshots: switched at once, kept while a transfer holds them, deleted when nobody does."""

from __future__ import annotations

import os

import pyarrow as pa
import pytest

from consent.identifiers import check_character
from nodes.sources.errors import ItemNotLoaded, SnapshotDamaged
from nodes.sources.snapshot import BATCH_ROWS
from tests.nodes.sources.bureau import CODES, HEADER, ITEM, Bureau, line, source

HOLDER = "exchange-1"


def files(bureau: Bureau) -> set[str]:
    return {path.name for path in bureau.snapshots.iterdir()} - {"current.json", "pins.json"}


def scanned(bureau: Bureau, digest: str, codes: tuple[str, ...] = CODES) -> list[str]:
    subjects = pa.array(sorted(codes), pa.string())
    return [
        code
        for batch in bureau.set.scan(ITEM, digest, subjects, ("months",), 2)
        for code in batch.column(0).to_pylist()
    ]


def test_the_same_rows_make_the_same_digest_in_any_order(bureau: Bureau) -> None:
    first = bureau.load(source(), {"fund.csv": HEADER + line(0) + line(1)}).items[0].digest
    second = bureau.load(source(), {"fund.csv": HEADER + line(1) + line(0)}, now_ms=5_000).items[0].digest
    assert first == second


def test_a_held_snapshot_stays_as_it_was_through_loads_and_restarts(bureau: Bureau) -> None:
    bureau.load_rows(HEADER + line(0))
    digest = bureau.set.pin(ITEM, HOLDER)
    bureau.load_rows(HEADER + line(1))
    assert scanned(bureau, digest) == [CODES[0]]
    bureau.reopened()
    assert scanned(bureau, digest) == [CODES[0]]
    assert bureau.subjects() == [CODES[1]]
    bureau.set.unpin(HOLDER)
    bureau.reopened()
    assert len(files(bureau)) == 3
    with pytest.raises(SnapshotDamaged):
        scanned(bureau, digest)


def test_rows_that_come_back_to_a_held_snapshot_survive_its_release(bureau: Bureau) -> None:
    bureau.load_rows(HEADER + line(0))
    bureau.set.pin(ITEM, HOLDER)
    bureau.load_rows(HEADER + line(1))
    bureau.load_rows(HEADER + line(0))
    bureau.set.unpin(HOLDER)
    bureau.reopened()
    assert bureau.subjects() == [CODES[0]]


def test_what_a_killed_load_left_behind_is_deleted(bureau: Bureau) -> None:
    bureau.load_rows(HEADER + line(0))
    (bureau.snapshots / ".load-abcd").mkdir()
    (bureau.snapshots / ".load-abcd" / "work.duckdb").write_text("plain data")
    (bureau.snapshots / f".{ITEM}.arrow.tmp").write_text("plain data")
    bureau.reopened()
    assert len(files(bureau)) == 3
    assert bureau.subjects() == [CODES[0]]


def test_a_damaged_snapshot_counts_as_not_loaded(bureau: Bureau) -> None:
    bureau.load_rows(HEADER + line(0))
    for path in bureau.snapshots.glob("*.arrow"):
        path.write_bytes(path.read_bytes()[:100])
    bureau.reopened()
    with pytest.raises(ItemNotLoaded):
        bureau.set.lookup(ITEM, CODES[0])
    bureau.load_rows(HEADER + line(0))
    assert bureau.subjects() == [CODES[0]]


def test_a_subject_whose_rows_lie_in_two_batches_is_found_whole(bureau: Bureau) -> None:
    bodies = [f"91110000Y{number:08d}" for number in range(BATCH_ROWS - 2)]
    codes = [body + check_character(body) for body in bodies]
    last = max(CODES[1], CODES[2])
    rows = "".join(f"{code},1,1.00,2024-01\n" for code in codes if code not in CODES)
    rows += "".join(f"{last},{months},1.00,2024-01\n" for months in range(1, 7))
    bureau.load_rows(HEADER + rows)
    assert [row["months"] for row in bureau.set.lookup(ITEM, last)] == [1, 2, 3, 4, 5, 6]
    assert len(bureau.set.lookup(ITEM, codes[0])) == 1


@pytest.mark.parametrize("batch_rows", [1, 7, 1000, 100_000])
def test_a_scan_gives_full_batches_of_the_asked_subjects_in_order(bureau: Bureau, batch_rows: int) -> None:
    bodies = [f"91110000Y{number:08d}" for number in range(3000)]
    codes = [body + check_character(body) for body in bodies]
    bureau.load_rows(HEADER + "".join(f"{code},{n},1.00,2024-01\n" for n, code in enumerate(codes)))
    digest = bureau.set.pin(ITEM, HOLDER)
    asked = sorted([*codes[10:200:3], *codes[2500:], CODES[4]])
    batches = list(bureau.set.scan(ITEM, digest, pa.array(asked, pa.string()), ("months",), batch_rows))
    assert all(batch.num_rows == batch_rows for batch in batches[:-1])
    assert [code for batch in batches for code in batch.column("uscc").to_pylist()] == sorted(set(asked) & set(codes))
    assert all(batch.schema.names == ["uscc", "months"] for batch in batches)


@pytest.mark.parametrize(("days", "stale"), [(0, False), (31, False), (40, True)])
def test_data_older_than_its_declared_frequency_is_stale(bureau: Bureau, days: int, stale: bool) -> None:
    bureau.load_rows(HEADER + line(0) + line(1, "x"))
    (status,) = bureau.set.status(1_000 + days * 86_400_000)
    assert (status.records, status.subjects, status.rejected, status.stale) == (1, 1, 1, stale)


def test_data_is_as_old_as_its_file_and_not_as_its_load(bureau: Bureau) -> None:
    bureau.load_rows(HEADER + line(0))
    day = 86_400_000
    written = 1_700_000_000
    os.utime(bureau.folder / "fund.csv", (written, written))
    bureau.set.load(bureau.folder / "sources.toml", written * 1000 + 40 * day)
    (status,) = bureau.set.status(written * 1000 + 40 * day)
    assert status.stale
