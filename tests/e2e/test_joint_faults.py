"""Joint jobs whose parties are killed, stopped and upgraded: each goes on from where it was, or ends at all parties."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.demo.cohort import PLATFORM
from cli.demo.network import command, wait_until
from tests.e2e.joint_network import ENTERPRISES, Joint, joint_network
from tests.modeling.ray_cluster import ray_cluster

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joint]:
    with joint_network(tmp_path_factory.mktemp("joint") / "net") as opened:
        yield opened


@pytest.mark.parametrize(
    ("phase", "victim", "trees"),
    [
        ("rows.arrow", "tax-1", 6),
        ("table.arrow", "pay-1", 6),
        ("checkpoint.json", "bank-1", 60),
        ("checkpoint.json", "tax-1", 60),
        ("checkpoint.json", "hub", 60),
        ("made.json", "bank-1", 6),
        ("made.json", "pay-1", 6),
    ],
)
def test_kill_9_in_any_phase_goes_on_from_there(joint: Joint, phase: str, victim: str, trees: int) -> None:
    """The cohort is being decided, columns prepared, trees trained, the finished model recorded: `phase` lies at the bank."""
    name = f"killed-{victim}-{phase.partition('.')[0]}"
    job = joint.job(name, "boosting", f"{{trees: {trees}, depth: 2, key_bits: 2048}}")
    running = joint.start(job)
    joint.reaches(job, phase, running)
    joint.network.processes[victim].kill()
    joint.network.start(victim)
    running.communicate(timeout=120)
    report = joint.train(job)
    assert report["steps"] == trees
    assert report["attempts"] > 1 or victim in {"bank-1", "hub"} or phase != "checkpoint.json"
    for node in ("bank-1", "tax-1", "pay-1"):
        assert joint.listed(node, job.stem)["commitment"] == report["commitment"]


def test_logistic_regression_with_several_providers_goes_on_after_kill_9(joint: Joint) -> None:
    job = joint.job("killed-logistic", "logistic", "{steps: 24, tolerance: 0}")
    running = joint.start(job)
    joint.reaches(job, "checkpoint.json", running)
    joint.network.processes["pay-1"].kill()
    joint.network.start("pay-1")
    running.communicate(timeout=120)
    report = joint.train(job)
    assert report["steps"] == 24 and report["attempts"] > 1
    for provider in ("tax-1", "pay-1"):
        assert joint.listed(provider, job.stem)["commitment"] == report["commitment"]


def test_a_provider_stops_a_job_and_the_bank_is_told(joint: Joint) -> None:
    job = joint.job("stopped", "boosting", "{trees: 300, depth: 3, key_bits: 2048}")
    running = joint.start(job)
    joint.reaches(job, "checkpoint.json", running)
    home = str(joint.network.node_home("tax-1"))
    command("model", "stop", joint.listed("tax-1", "stopped")["job_id"], "--home", home, "--reason", "not ours")
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 3
    assert "JOB_STOPPED" in said.decode()
    wait_until("the job is over at every node", lambda: _states(joint, "stopped") == {"failed", "ended"})


def _states(joint: Joint, name: str) -> set[str]:
    return {joint.listed(node, name)["state"] for node in ("bank-1", "tax-1", "pay-1")}


def test_a_provider_stops_a_job_while_the_bank_is_down(joint: Joint) -> None:
    job = joint.job("stopped-away", "boosting", "{trees: 300, depth: 3, key_bits: 2048}")
    running = joint.start(job)
    joint.reaches(job, "checkpoint.json", running)
    joint.network.processes["bank-1"].kill()
    running.communicate(timeout=60)
    stopped = joint.listed("tax-1", "stopped-away")["job_id"]
    command(
        "model", "stop", stopped, "--home", str(joint.network.node_home("tax-1")), "--reason", "not ours, whoever asks"
    )
    joint.network.start("bank-1")
    wait_until("the job is over at every node", lambda: _states(joint, "stopped-away") == {"failed", "ended"})
    assert "JOB_STOPPED" in joint.listed("bank-1", "stopped-away")["failure"]
    for node in ("bank-1", "tax-1", "pay-1"):
        home = joint.network.node_home(node)
        assert not (home / "models" / stopped).exists()
        assert not list((home / "joint").glob("*/table.arrow"))


def test_a_job_of_any_who_consented_goes_on_with_the_same_rows_after_a_restart(joint: Joint) -> None:
    joint.registry.revoke(joint.enterprises[0], PLATFORM, joint.consents[0][PLATFORM])
    job = joint.job("any", "boosting", "{trees: 60, depth: 2, key_bits: 2048}")
    job.write_text(job.read_text(encoding="utf-8") + "cohort: {rows: any}\n", encoding="utf-8")
    running = joint.start(job)
    joint.reaches(job, "checkpoint.json", running)
    joint.network.processes["bank-1"].stop()
    assert joint.listed("pay-1", "any")["state"] == "running"
    joint.network.start("bank-1")
    running.communicate(timeout=60)
    report = joint.train(job)
    assert (report["steps"], report["cohort"]["rows"], report["cohort"]["withdrawn"]) == (60, ENTERPRISES, 0)
    assert joint.listed("pay-1", "any")["commitment"] == report["commitment"]
    for node in ("bank-1", "tax-1", "pay-1"):  # the same job went on, and no other took its place
        jobs = command("model", "list", "--home", str(joint.network.node_home(node)))["jobs"]
        assert [each["state"] for each in jobs if each["name"] == "any"] == ["finished"]


def test_a_machine_that_dies_in_a_providers_ray_cluster_costs_no_attempt_and_a_cluster_that_is_away_only_time(
    joint: Joint,
) -> None:
    """The last of this provider."""
    node = joint.network.processes["pay-1"]
    with ray_cluster(ROOT) as cluster:
        node.environment = {"XINQIAO_NODE_JOINT_EXECUTOR": cluster.address}
        joint.network.restart("pay-1")
        job = joint.job("on-ray", "boosting", "{trees: 12, depth: 2, key_bits: 2048}")
        running = joint.start(job)
        missed = f"nothing answers at {cluster.address}"
        wait_until("the operator is told", lambda: missed in node.log.read_text(encoding="utf-8"))
        cluster.start((0, 1, 1))
        joint.reaches(job, "checkpoint.json", running)
        cluster.kill(cluster.at_work())
        said, _ = running.communicate(timeout=120)
        assert running.returncode == 0, said.decode()
        assert joint.listed("pay-1", job.stem)["state"] == "finished"
        assert cluster.processes("nodes.joint.worker") == []
        node.stop()
    assert cluster.processes() == []
    report = json.loads((joint.folder / job.stem / "report.json").read_bytes())
    assert report["steps"] == 12
    assert node.log.read_text(encoding="utf-8").count("WORKERS_FAILED") == report["attempts"] - 1
