"""The notebook's client against a simulated agent: what it asks, what it makes of the answers, and how refusals are told."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from pathlib import Path

import pytest
from xinqiao.v1 import agent_pb2

from modeling.report.document import to_json
from modeling.scoring.model import parse_model
from nodes.client import Job, Node, Progress
from nodes.errors import HubUnavailable, NodeError
from tests.cli.agent_simulator import MODEL, AgentSimulator, serving_agent
from tests.cli.simulators import Refusal
from tests.consent.builders import BANK, PROVIDER
from tests.modeling.report.sample import sample
from tests.nodes.models.world import linear

PROGRESS = [
    agent_pb2.JobProgress(job_id="j-1", phase="waiting"),
    agent_pb2.JobProgress(job_id="j-1", phase="train", done=2, total=4),
]


def finished(data: bytes, folder: Path) -> agent_pb2.JobProgress:
    return agent_pb2.JobProgress(job_id="j-1", phase="finished", directory=str(folder), report_json=data)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentSimulator]:
    with serving_agent(tmp_path / "agent.sock") as simulator:
        yield simulator


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    path = tmp_path / "loans.yaml"
    path.write_text("name: loans\n", encoding="utf-8")
    return path


def begun(home: Path, job_file: Path, agent: AgentSimulator, *told: agent_pb2.JobProgress | Refusal) -> Job:
    agent.training = list(told)
    return Node(home).train(job_file)


def test_a_plan_is_trained_as_it_was_planned_beside_its_file(
    agent: AgentSimulator, tmp_path: Path, job_file: Path
) -> None:
    agent.training = [*PROGRESS, finished(to_json(sample("boosting")), tmp_path / "out")]
    with Node(tmp_path) as node:
        plan = node.plan(str(job_file))
        assert (plan.name, plan.algorithm, plan.estimate.rows) == ("loans", "boosting", 1000)
        assert [leak.party for leak in plan.leaks] == [BANK, PROVIDER, "hub"]
        job_file.write_text("name: another\n", encoding="utf-8")
        job = node.train(plan)
        told = list(job.follow())
        made = job.report()
    asked = agent.asked["TrainJob"]
    assert asked.job_yaml == agent.asked["PlanJob"].job_yaml == "name: loans\n"
    assert asked.base == str(tmp_path)
    assert asked.directory == str(tmp_path / "loans-report")
    assert asked.user == getpass.getuser()
    assert told == [Progress(phase="waiting", done=0, total=0), Progress(phase="train", done=2, total=4), told[-1]]
    assert told[-1].phase == "finished"
    assert job.job_id == "j-1"
    assert made.document == sample("boosting")
    assert (made.json_file, made.page_file) == (tmp_path / "out" / "report.json", tmp_path / "out" / "report.html")


def test_a_node_is_found_by_its_socket_too_and_folder_and_user_are_told(
    agent: AgentSimulator, tmp_path: Path, job_file: Path
) -> None:
    agent.training = [finished(to_json(sample("logistic")), tmp_path)]
    with Node(tmp_path / "agent.sock") as node:
        job = node.train(job_file, out=tmp_path / "elsewhere", user="li")
        assert job.report().document == sample("logistic")
    asked = agent.asked["TrainJob"]
    assert (asked.directory, asked.user) == (str(tmp_path / "elsewhere"), "li")


def test_jobs_are_listed_and_stopped(agent: AgentSimulator, tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        theirs, own = node.jobs()
        node.stop(own.job_id, "a new one follows")
    assert (theirs.role, theirs.members, own.role, own.members) == ("passive", (BANK,), "active", (PROVIDER,))
    assert (own.state, own.created_ms, own.directory) == ("failed", 5, "/reports/loans")
    assert own.failure.startswith("COHORT_TOO_SMALL")
    assert (agent.asked["StopJob"].job_id, agent.asked["StopJob"].reason) == ("j-1", "a new one follows")


@pytest.mark.parametrize(("method", "call"), [("PlanJob", "plan"), ("ListJobs", "jobs"), ("StopJob", "stop")])
def test_what_the_agent_refuses_has_its_code(
    agent: AgentSimulator, tmp_path: Path, job_file: Path, method: str, call: str
) -> None:
    agent.refuse[method] = Refusal("COHORT_TOO_SMALL", "ask for more consents")
    arguments: dict[str, tuple[object, ...]] = {"plan": (job_file,), "jobs": (), "stop": ("j-1",)}
    with Node(tmp_path) as node, pytest.raises(NodeError, match="ask for more consents") as raised:
        getattr(node, call)(*arguments[call])
    assert raised.value.code == "COHORT_TOO_SMALL"


def test_a_job_that_is_refused_never_begins(agent: AgentSimulator, tmp_path: Path, job_file: Path) -> None:
    with pytest.raises(NodeError) as raised:
        begun(tmp_path, job_file, agent, Refusal("JOB_INVALID"))
    assert raised.value.code == "JOB_INVALID"


def test_how_a_job_failed_is_told_to_who_follows_and_to_who_asks_for_the_report(
    agent: AgentSimulator, tmp_path: Path, job_file: Path
) -> None:
    job = begun(tmp_path, job_file, agent, *PROGRESS, Refusal("JOB_STOPPED"))
    following = job.follow()
    assert next(following).phase == "waiting"
    following.close()
    assert next(job.follow()).phase == "train"  # what was told once is not told again
    with pytest.raises(NodeError) as raised:
        list(job.follow())
    assert raised.value.code == "JOB_STOPPED"
    with pytest.raises(NodeError) as again:
        job.report()
    assert again.value is raised.value


def test_an_agent_that_ends_early_is_not_taken_for_a_report(
    agent: AgentSimulator, tmp_path: Path, job_file: Path
) -> None:
    with pytest.raises(HubUnavailable, match="same folder"):
        begun(tmp_path, job_file, agent, *PROGRESS).report()
    with pytest.raises(HubUnavailable, match="same folder"):
        begun(tmp_path, job_file, agent)


def test_a_report_of_another_version_is_an_error_of_the_node(
    agent: AgentSimulator, tmp_path: Path, job_file: Path
) -> None:
    with pytest.raises(NodeError, match="version 9") as raised:
        begun(tmp_path, job_file, agent, finished(b'{"version": 9}', tmp_path)).report()
    assert raised.value.code == "DATA_UNUSABLE"


def test_a_connection_that_was_closed_says_that_the_job_goes_on(
    agent: AgentSimulator, tmp_path: Path, job_file: Path
) -> None:
    agent.training = PROGRESS * 20_000  # more than the connection holds before somebody reads
    with Node(tmp_path) as node:
        job = node.train(job_file)
    with pytest.raises(HubUnavailable, match="goes on"):
        job.report()


def test_without_an_agent_or_a_job_file_it_says_what_to_do(tmp_path: Path, job_file: Path) -> None:
    with Node(tmp_path) as node:
        with pytest.raises(HubUnavailable, match="node serve"):
            node.plan(job_file)
        with pytest.raises(HubUnavailable, match="node serve"):
            node.train(job_file)
        with pytest.raises(NodeError, match="cannot be read") as raised:
            node.plan(tmp_path / "missing.yaml")
    assert raised.value.code == "INVALID_ARGUMENT"


def test_a_model_is_registered_from_a_notebook_as_its_canonical_document(agent: AgentSimulator, tmp_path: Path) -> None:
    with Node(tmp_path) as node:
        made = node.register(parse_model(linear()), "sme-default", products={PROVIDER: "basics"}, metrics={"auc": 0.7})
    asked = agent.asked["RegisterOwnModel"]
    assert (made, asked.linear, asked.name) == (MODEL, linear(), "sme-default")
    assert (asked.products_json, asked.metrics_json) == (b'{"taxoffice":"basics"}', b'{"auc":0.7}')
