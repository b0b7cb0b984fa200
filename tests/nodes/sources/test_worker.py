"""Loading in a process of its own brings the same, and whatever befalls the child leaves the data as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import time
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
