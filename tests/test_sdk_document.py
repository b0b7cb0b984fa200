"""docs/sdk.md is code: its blocks run in their order; those that need a node run against a simulated agent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from xinqiao.v1 import agent_pb2

from modeling.report.document import to_json
from tests.cli.agent_simulator import serving_agent
from tests.modeling.report.sample import sample

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "sdk.md"


def blocks(kind: str) -> str:
    """All blocks of a kind as one program; line numbers are the document's."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = list(re.finditer(rf"^```{kind}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    assert found, f"docs/sdk.md has no block of {kind}"
    program = ""
    for block in found:
        program += "\n" * (text[: block.start(1)].count("\n") - program.count("\n")) + block.group(1)
    return program


def run(kind: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(blocks(kind), str(DOCUMENT), "exec"), names)  # noqa: S102 - our own document
    return names


def test_the_estimators_of_the_document_run(capsys: pytest.CaptureFixture[str]) -> None:
    names = run("python")
    assert names["model"].evaluation_.auc.value > 0.75
    assert names["model"].traffic_.rounds > 0
    said = capsys.readouterr().out
    assert "Interval(value=" in said
    scores = [float(line) for line in said.splitlines() if re.fullmatch(r"0\.\d+", line)]
    assert len(scores) == 3
    assert min(scores) > 0.6


def test_the_client_of_the_document_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bank").mkdir()
    (tmp_path / "job.yaml").write_text("name: loans\n", encoding="utf-8")
    with serving_agent(tmp_path / "bank" / "agent.sock") as agent:
        agent.training = [
            agent_pb2.JobProgress(job_id="j-1", phase="train", done=3, total=9),
            agent_pb2.JobProgress(phase="finished", directory=str(tmp_path / "report"), report_json=to_json(sample())),
        ]
        run("python node")
    assert agent.asked["TrainJob"].directory == str(tmp_path / "report")
    said = capsys.readouterr().out
    assert "train 3 9" in said
    assert str(tmp_path / "report" / "report.html") in said
    assert "COHORT_TOO_SMALL" in said


def test_the_document_is_linked() -> None:
    root = DOCUMENT.parent.parent
    assert "docs/sdk.md" in (root / "README.md").read_text(encoding="utf-8")
    assert "(sdk.md)" in (root / "docs" / "modelling.md").read_text(encoding="utf-8")
