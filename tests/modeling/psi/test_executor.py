"""Worker processes: in order, a death is survived once, an error is told as it is."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from modeling.errors import ProtocolViolation
from modeling.psi.errors import WorkersFailed
from modeling.psi.executor import Executor
from modeling.psi.group import tagged

WORK = """
import os, pathlib, signal

def doubled(chunk):
    return chunk * 2

def dies_once(mark, chunk):
    if chunk == b"3" and not pathlib.Path(mark).exists():
        pathlib.Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return chunk * 2

def dies(chunk):
    os.kill(os.getpid(), signal.SIGKILL)
"""
CHUNKS = [str(n).encode() for n in range(20)]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that spawned workers find by its name, as they do not find a module of tests."""
    (tmp_path / "work_of_workers.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.reload(importlib.import_module("work_of_workers"))


@pytest.mark.parametrize("workers", [0, 2])
def test_it_is_a_map(work: ModuleType, workers: int) -> None:
    with Executor(workers) as executor:
        assert list(executor.map(work.doubled, CHUNKS)) == [chunk * 2 for chunk in CHUNKS]


def test_a_worker_that_dies_is_replaced(work: ModuleType, tmp_path: Path) -> None:
    with Executor(2) as executor:
        told = list(executor.map(partial(work.dies_once, str(tmp_path / "mark")), CHUNKS))
        assert told == [chunk * 2 for chunk in CHUNKS]
        assert list(executor.map(work.doubled, CHUNKS)) == told


def test_workers_that_die_again_are_told_of(work: ModuleType) -> None:
    with Executor(1) as executor, pytest.raises(WorkersFailed, match="died twice"):
        list(executor.map(work.dies, CHUNKS))


def test_an_error_of_a_worker_comes_home_as_it_was() -> None:
    with Executor(1) as executor, pytest.raises(ProtocolViolation, match="no element"):
        list(executor.map(partial(tagged, b"\1" * 32, b""), [b"\xff" * 32]))
