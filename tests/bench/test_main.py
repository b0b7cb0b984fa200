"""Which benchmarks a name stands for, and what is told where something for them is missing."""

from __future__ import annotations

from importlib import import_module

import pytest

from bench import credit
from bench.__main__ import RUNS, chosen, main, measured


@pytest.mark.parametrize(
    ("wanted", "runs"),
    [
        ("gbdt.train_ou2048", ["bench.gbdt:train_ou2048"]),
        ("gbdt.train_ou", ["bench.gbdt:train_ou2048", "bench.gbdt:train_ou3072"]),
        ("query.p50", ["bench.query:run"]),
        ("psi", ["bench.psi:rate", "bench.psi:seconds", "bench.psi:memory"]),
        ("growth", ["bench.growth:rows", "bench.growth:features", "bench.wan:run"]),
        ("all", list(RUNS)),
        ("p50", []),
    ],
)
def test_a_name_stands_for_all_that_begin_so(wanted: str, runs: list[str]) -> None:
    assert chosen(wanted) == runs


def test_every_run_is_a_function() -> None:
    for run in RUNS:
        module, function = run.split(":")
        assert callable(getattr(import_module(module), function)), run


def test_only_the_wanted_figures_of_a_run_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [{"bench": "raw.throughput"}, {"bench": "raw.memory"}]
    monkeypatch.setattr(import_module("bench.raw"), "run", lambda: iter(both))
    assert list(measured("bench.raw:run", "raw.memory")) == both[1:]


def test_an_unknown_name_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("nosuch") == 2
    assert "gbdt.train_paillier3072" in capsys.readouterr().err


def test_missing_packages_and_data_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(credit, "_PACKAGES", {"no_such_module": "no-such-package", "json": "json"})
    monkeypatch.setattr(credit, "_TRIALS", credit._TRIALS / "nowhere")
    assert list(measured("bench.gbdt:train_ou2048", "gbdt")) == []
    said = capsys.readouterr().err
    assert "no-such-package" in said and "nowhere" in said and "json" not in said
