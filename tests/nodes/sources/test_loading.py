"""From declared sources to what queries and transfers read: bad rows are told and left out, good rows are kept."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.demo.loans import synthetic_uscc
from consent.catalogue import load_catalogue
from nodes.sources import snapshot
from nodes.sources.errors import ItemNotLoaded, SnapshotDamaged, SourcesInvalid
from nodes.sources.report import LoadOutcome
from nodes.sources.snapshot_set import SnapshotSet

NOW_MS = 1_760_000_000_000
CODES = [synthetic_uscc(number) for number in range(1, 41)]
HEADER = "uscc,period,headcount,base_total,ratio,amount,paid_to\n"


def declare(path: Path, kind: str = "csv", name: str = "fund", extra: str = "") -> str:
    return f'[[source]]\nname = "{name}"\ntype = "{kind}"\nitem_id = "hf_contribution"\npath = "{path}"\n{extra}\n'


def load(folder: Path, declaration: str, at_ms: int = NOW_MS) -> tuple[SnapshotSet, LoadOutcome]:
    (folder / "sources.toml").write_text(declaration, encoding="utf-8")
    opened = SnapshotSet.open(folder / "snapshots", load_catalogue())
    return opened, opened.load(folder / "sources.toml", at_ms)


def line(
    code: str = CODES[0], period: str = "2026-01", headcount: str = "5", base: str = "100.00", ratio: str = "5"
) -> str:
    return f"{code},{period},{headcount},{base},{ratio},10.00,2026-01\n"


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        (line(code="91110000Y00000016M"), "subject"),
        (line(code="91110000y00000016n"), "subject"),
        (line(code="123"), "subject"),
        (line(period="2026-13"), "month"),
        (line(period="01/2026"), "month"),
        (line(headcount="five"), "integer"),
        (line(headcount="5.5"), "integer"),
        (line(base="1.234"), "decimal"),
        (line(base="NaN"), "decimal"),
        (line(base="1e400"), "decimal"),
        (line(ratio="13"), "decimal"),
        (line(headcount=""), "missing"),
        (line(period="2026\x0101"), "encoding"),
    ],
)
def test_a_malformed_cell_leaves_out_its_row_and_tells_the_rule(tmp_path: Path, row: str, rule: str) -> None:
    (tmp_path / "fund.csv").write_text(HEADER + line(CODES[1]) + row, encoding="utf-8")
    served, outcome = load(tmp_path, declare(tmp_path / "fund.csv"))
    (report,) = outcome.sources
    assert (report.rows, report.accepted, report.rejected) == (2, 1, 1)
    assert rule in report.by_rule
    assert report.examples[0].row == 2
    assert len(served.lookup("hf_contribution", CODES[1])) == 1


def test_examples_show_the_form_of_a_value_and_not_the_value(tmp_path: Path) -> None:
    (tmp_path / "fund.csv").write_text(HEADER + line(headcount="secret77"), encoding="utf-8")
    _, outcome = load(tmp_path, declare(tmp_path / "fund.csv"))
    shown = outcome.sources[0].examples[0]
    assert "secret77" not in f"{shown.shown}{shown.message}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_files_of_the_usual_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    text = "统一社会信用代码,月份,人数,基数,比例,金额,缴至\n" + f"{CODES[0]},202601,5,100,5,0.001,202601\n"
    (tmp_path / "fund.csv").write_bytes(text.encode(encoding))
    extra = """subject = "统一社会信用代码"
[source.fields]
period = { column = "月份", format = "%Y%m" }
headcount = "人数"
base_total = "基数"
ratio = "比例"
amount = { column = "金额", unit = "万" }
paid_to = { column = "缴至", format = "%Y%m" }
"""
    served, outcome = load(tmp_path, declare(tmp_path / "fund.csv", extra=extra))
    assert outcome.sources[0].rejected == 0, outcome.sources[0].examples
    (record,) = served.lookup("hf_contribution", CODES[0])
    assert (record["period"], str(record["amount"])) == ("2026-01", "10.00")


def test_a_row_that_stands_twice_is_kept_once(tmp_path: Path) -> None:
    (tmp_path / "fund.csv").write_text(HEADER + line() * 3, encoding="utf-8")
    served, outcome = load(tmp_path, declare(tmp_path / "fund.csv"))
    assert outcome.sources[0].by_rule == {"duplicate": 2}
    assert len(served.lookup("hf_contribution", CODES[0])) == 1


def test_sources_that_tell_different_things_are_a_conflict_and_both_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + line(headcount="5") + line(CODES[1]), encoding="utf-8")
    (tmp_path / "b.csv").write_text(HEADER + line(headcount="6") + line(CODES[1]), encoding="utf-8")
    served, outcome = load(tmp_path, declare(tmp_path / "a.csv") + declare(tmp_path / "b.csv", name="other"))
    (item,) = outcome.items
    assert item.conflicts == 1
    assert item.conflict_examples[0].sources == ("fund", "other")
    assert len(served.lookup("hf_contribution", CODES[0])) == 2
    assert len(served.lookup("hf_contribution", CODES[1])) == 1


def test_parquet_and_sqlite_bring_the_same_as_csv(tmp_path: Path) -> None:
    rows = [line(code).strip().split(",") for code in CODES]
    names = HEADER.strip().split(",")
    (tmp_path / "fund.csv").write_text(HEADER + "".join(map(line, CODES)), encoding="utf-8")
    pq.write_table(
        pa.table({name: [row[at] for row in rows] for at, name in enumerate(names)}), tmp_path / "fund.parquet"
    )
    with sqlite3.connect(tmp_path / "fund.db") as database:
        database.execute(f"CREATE TABLE fund ({', '.join(names)})")
        database.executemany("INSERT INTO fund VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    database.close()
    digests = set()
    for kind, file, extra in (
        ("csv", "fund.csv", ""),
        ("parquet", "fund.parquet", ""),
        ("sqlite", "fund.db", 'table = "fund"'),
    ):
        _, outcome = load(tmp_path, declare(tmp_path / file, kind, extra=extra))
        assert outcome.sources[0].error == ""
        digests.add(outcome.items[0].digest)
    assert len(digests) == 1


def test_a_source_that_cannot_be_read_leaves_the_load_before(tmp_path: Path) -> None:
    file = tmp_path / "fund.csv"
    file.write_text(HEADER + line(), encoding="utf-8")
    served, _ = load(tmp_path, declare(file))
    file.unlink()
    outcome = served.load(tmp_path / "sources.toml", NOW_MS)
    assert outcome.sources[0].error_code == "SOURCE_UNREADABLE"
    assert not outcome.complete
    assert len(served.lookup("hf_contribution", CODES[0])) == 1


@pytest.mark.parametrize(
    "declaration",
    [
        "[[source]]\nnam = 1",
        declare(Path("x.csv"), extra="headcont = 1"),
        declare(Path("x.csv")).replace("hf_contribution", "nothing"),
        "not toml [",
    ],
)
def test_a_wrong_declaration_is_refused_as_a_whole(tmp_path: Path, declaration: str) -> None:
    with pytest.raises(SourcesInvalid):
        load(tmp_path, declaration)


def test_an_item_that_was_never_loaded_is_no_empty_answer(tmp_path: Path) -> None:
    with pytest.raises(ItemNotLoaded):
        SnapshotSet.open(tmp_path, load_catalogue()).lookup("hf_contribution", CODES[0])


def test_lookups_and_scans_over_batch_boundaries_equal_a_plain_filter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "BATCH_ROWS", 7)
    text = "".join(
        line(code, f"2026-{month:02d}")
        for code in CODES
        for month in range(1, 1 + len(code) % 5 + CODES.index(code) % 4)
    )
    (tmp_path / "fund.csv").write_text(HEADER + text, encoding="utf-8")
    served, _ = load(tmp_path, declare(tmp_path / "fund.csv"))
    naive = {code: sum(row.startswith(code) for row in text.splitlines()) for code in CODES}
    assert {code: len(served.lookup("hf_contribution", code)) for code in CODES} == naive
    digest = served.pin("hf_contribution", "transfer")
    wanted = sorted(CODES[::3])
    for size in (1, 5, 1000):
        batches = list(served.scan("hf_contribution", digest, pa.array(wanted), ("period",), size))
        assert all(batch.num_rows == size for batch in batches[:-1])
        rows = [tuple(row.values()) for batch in batches for row in batch.to_pylist()]
        due = sorted(tuple(row.split(",")[:2]) for row in text.splitlines() if row.split(",")[0] in wanted)
        assert rows == due


def test_a_pinned_snapshot_outlives_a_reload_and_a_restart_and_goes_when_let_go(tmp_path: Path) -> None:
    file = tmp_path / "fund.csv"
    file.write_text(HEADER + line(headcount="5"), encoding="utf-8")
    served, _ = load(tmp_path, declare(file))
    digest = served.pin("hf_contribution", "transfer")
    file.write_text(HEADER + line(headcount="6"), encoding="utf-8")
    served.load(tmp_path / "sources.toml", NOW_MS)
    again = SnapshotSet.open(tmp_path / "snapshots", load_catalogue())
    assert again.lookup("hf_contribution", CODES[0])[0]["headcount"] == 6
    (batch,) = again.scan("hf_contribution", digest, pa.array([CODES[0]]), ("headcount",), 10)
    assert batch.column(1).to_pylist() == [5]
    again.unpin("transfer")
    with pytest.raises(SnapshotDamaged):
        list(
            SnapshotSet.open(tmp_path / "snapshots", load_catalogue()).scan(
                "hf_contribution", digest, pa.array(CODES[:1]), (), 1
            )
        )
