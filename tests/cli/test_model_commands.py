"""`xinqiao model` against a simulated agent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from xinqiao.v1 import agent_pb2

from modeling.report.document import to_json
from tests.cli.conftest import AgentWorld
from tests.cli.running import failing, run, run_json
from tests.cli.simulators import Refusal
from tests.consent.builders import BANK, PROVIDER
from tests.modeling.report.sample import sample


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "loans.yaml"
    path.write_text("name: loans\n", encoding="utf-8")
    return path


def test_a_plan_tells_cost_and_leaks(node: AgentWorld, job: Path) -> None:
    told = run_json("model", "plan", job, "--home", node.home).data
    assert (told["name"], told["algorithm"]) == ("loans", "boosting")
    assert (told["estimate"]["rows"], told["estimate"]["columns"]) == (1000, [3, 2])
    assert [leak["party"] for leak in told["leaks"]] == [BANK, PROVIDER, "hub"]
    said = run("model", "plan", job, "--home", node.home).out
    assert "1,000 enterprises by consent, 700 train" in said
    assert told["leaks"][0]["learns"][0] in said


@pytest.mark.parametrize("algorithm", ["logistic", "boosting"])
def test_a_training_ends_with_the_report_as_the_agent_wrote_it(
    node: AgentWorld, job: Path, tmp_path: Path, algorithm: str
) -> None:
    data = to_json(sample(algorithm))  # type: ignore[arg-type]
    node.agent.training = [
        agent_pb2.JobProgress(job_id="j-1", phase="waiting_approval"),
        agent_pb2.JobProgress(job_id="j-1", phase="finished", directory=str(tmp_path / "out"), report_json=data),
    ]
    arguments = ("model", "train", job, "--home", node.home, "--out", tmp_path / "out", "--user", "li")
    told = run_json(*arguments).data
    assert told == {"job_id": "j-1", "directory": str(tmp_path / "out"), "report": json.loads(data)}
    assert node.agent.asked["TrainJob"].user == "li"
    said = run(*arguments).out
    assert f"{told['report']['test']['auc']['value']:.4f}" in said
    assert str(tmp_path / "out" / "report.html") in said


def test_jobs_are_listed_and_stopped(node: AgentWorld) -> None:
    theirs, own = run_json("model", "list", "--home", node.home).data["jobs"]
    assert (theirs["role"], theirs["members"]) == ("passive", [BANK])
    assert own == {
        "job_id": "j-1",
        "name": "loans",
        "role": "active",
        "state": "failed",
        "members": [PROVIDER],
        "created_ms": 5,
        "failure": "COHORT_TOO_SMALL: ask for more",
        "commitment": "",
        "directory": "/reports/loans",
    }
    assert "COHORT_TOO_SMALL" in run("model", "list", "--home", node.home).out
    assert run_json("model", "stop", "j-1", "--home", node.home, "--reason", "enough").data["stopped"]
    assert node.agent.asked["StopJob"].reason == "enough"


def test_refusals_and_unreadable_files_are_told(node: AgentWorld, job: Path, tmp_path: Path) -> None:
    node.agent.refuse["PlanJob"] = Refusal("COHORT_TOO_SMALL")
    assert failing("model", "plan", job, "--home", node.home, code=3)["code"] == "COHORT_TOO_SMALL"
    node.agent.training = [Refusal("JOB_STOPPED")]
    out = ("--out", tmp_path / "out")
    assert failing("model", "train", job, "--home", node.home, *out, code=3)["code"] == "JOB_STOPPED"
    missing = ("model", "train", tmp_path / "no.yaml", "--home", node.home, *out)
    assert failing(*missing, code=2)["code"] == "INVALID_ARGUMENT"
