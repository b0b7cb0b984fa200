"""Loading in a process of its own brings the same, and whatever befalls the child leaves the data as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from nodes.sources import worker
from nodes.sources.errors import LoadInterrupted, SourcesInvalid
from nodes.sources.snapshot_set import SnapshotSet
from nodes.sources.worker import load_in_child
from tests.nodes.sources.bureau import CATALOGUE, CODES, HEADER, ITEM, Bureau, line, source


@pytest.fixture
def apart(bureau: Bureau) -> Bureau:
    """The same node, loading in a child."""
    bureau.set = SnapshotSet.open(bureau.snapshots, CATALOGUE, load_in_child)
    return bureau


def test_a_child_loads_what_this_process_would(apart: Bureau, tmp_path: Path) -> None:
    content = HEADER + line(0) + line(1, "x") + line(2)
    told = apart.load(source(), {"fund.csv": content})
    (tmp_path / "other").mkdir()
    here = Bureau(tmp_path / "other").load(source(), {"fund.csv": content})
    assert told == here
    assert apart.subjects() == [CODES[0], CODES[2]]


def test_a_declaration_that_cannot_be_used_is_told_in_the_same_words(apart: Bureau) -> None:
    with pytest.raises(SourcesInvalid, match="no_such_item"):
        apart.load(source(item="no_such_item"), {"fund.csv": HEADER})


def test_a_child_that_is_killed_changes_nothing(apart: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    apart.load_rows(HEADER + line(4))
    code = "import os, signal, sys; sys.stdin.buffer.readline(); os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr(worker, "COMMAND", (sys.executable, "-c", code))
    with pytest.raises(LoadInterrupted, match="killed by signal 9"):
        apart.load_rows(HEADER + line(3))
    assert apart.subjects() == [CODES[4]]
    monkeypatch.undo()
    apart.load_rows(HEADER + line(3))
    assert apart.subjects() == [CODES[3]]


def test_what_a_killed_child_left_behind_is_deleted_at_once(apart: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    apart.load_rows(HEADER + line(4))
    before = {path.name for path in apart.snapshots.iterdir()}
    folder = apart.snapshots / ".load-begun"
    code = f"import os; os.mkdir({str(folder)!r}); open({str(folder / 'work.duckdb')!r}, 'w').write('x'); os.abort()"
    monkeypatch.setattr(worker, "COMMAND", (sys.executable, "-c", code))
    with pytest.raises(LoadInterrupted, match="killed by signal 6"):
        apart.load_rows(HEADER + line(3))
    assert {path.name for path in apart.snapshots.iterdir()} == before


def test_a_child_that_runs_out_of_memory_says_so_and_changes_nothing(
    apart: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart.load_rows(HEADER + line(4))
    code = "from nodes.sources import load, worker; load._MEMORY = '1MB'; worker.main()"
    monkeypatch.setattr(worker, "COMMAND", (sys.executable, "-c", code))
    rows = "".join(line(place % 5, months, f"{months}.50") for place in range(5) for months in range(9_999))
    with pytest.raises(LoadInterrupted, match="out of memory"):
        apart.load_rows(HEADER + rows)
    assert apart.subjects() == [CODES[4]]


def test_an_error_that_nobody_expected_is_told_without_its_words(
    apart: Bureau, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code = (
        "from nodes.sources import worker\n"
        "def fail(*_): raise ValueError('cell of ' + 'somebody')\n"
        "worker.load_items = fail\n"
        "worker.main()"
    )
    monkeypatch.setattr(worker, "COMMAND", (sys.executable, "-c", code))
    with pytest.raises(LoadInterrupted, match="ValueError") as told:
        apart.load_rows(HEADER + line(3))
    logged = capfd.readouterr().err
    assert "worker.py" in logged
    assert "somebody" not in told.value.message + logged


def test_loads_follow_each_other(apart: Bureau) -> None:
    for place in range(4):
        (apart.folder / f"{place}.csv").write_text(HEADER + line(place), encoding="utf-8")
        (apart.folder / f"{place}.toml").write_text(source(path=f"{place}.csv"), encoding="utf-8")
    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda place: apart.set.load(apart.folder / f"{place}.toml", 1_000), range(4)))
    assert all(outcome.complete for outcome in outcomes)
    assert len(apart.subjects()) == 1
    assert len(list(apart.snapshots.glob(f"{ITEM}-*"))) == 3


def test_a_child_that_never_starts_is_told(apart: Bureau, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(LoadInterrupted, match="exit code 3"):
        apart.load_rows(HEADER + line(3))


def test_a_child_ends_when_its_agent_is_gone(tmp_path: Path) -> None:
    pipe = tmp_path / "rows.csv"
    os.mkfifo(pipe)  # nobody writes: the load waits for ever
    (tmp_path / "sources.toml").write_text(source(path="rows.csv"), encoding="utf-8")
    job = worker._Job(
        sources_file=str(tmp_path / "sources.toml"),
        snapshots=str(tmp_path / "snapshots"),
        catalogue_version=CATALOGUE.version,
        now_ms=1,
    )
    child = subprocess.Popen(worker.COMMAND, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert child.stdin is not None
    child.stdin.write(msgspec.json.encode(job) + b"\n")
    child.stdin.flush()
    time.sleep(1.0)
    assert child.poll() is None
    child.stdin.close()
    assert child.wait(5) == 1


def test_the_item_is_loaded(apart: Bureau) -> None:
    apart.load_rows(HEADER + line(0))
    assert [each.item_id for each in apart.set.status(2_000)] == [ITEM]
