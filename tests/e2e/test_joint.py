"""Joint models through the running hub: two providers and a bank as real processes, killed, stopped, and left by enterprises."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from xinqiao.v1 import agent_pb2

from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM, PLATFORM, PLATFORM_ITEM
from cli.demo.enterprises import DAY_MS, Enterprise, Registry, now_ms
from cli.demo.loans import OWNERS, Loans, product_toml, source_toml, split_loans
from cli.demo.models import job_text, write_applications
from cli.demo.network import DemoFailed, Network, command, wait_until
from cli.enterprise_home import create_home
from cli.secret import read_secret
from consent.documents import ItemMode, ItemScope, Limits, Purpose
from modeling.report.document import from_json
from nodes.client import Node
from nodes.credentials import load_hub
from tests.modeling.ray_cluster import ray_cluster
from trust.keyfile import load_private_key

pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[2]
ENTERPRISES = 200
PROVIDERS = ((GOVERNMENT, "tax-1", GOVERNMENT_ITEM), (PLATFORM, "pay-1", PLATFORM_ITEM))
OWN = ("funded_amnt", "int_rate", "annual_inc")
BROUGHT = {GOVERNMENT_ITEM: ("inq_last_6mths", "inq_last_12m"), PLATFORM_ITEM: ("revol_util", "all_util")}


@dataclass
class Joint:
    network: Network
    registry: Registry
    enterprises: list[Enterprise]
    consents: list[dict[str, str]]
    folder: Path

    def job(self, name: str, algorithm: str, parameters: str, *, providers: int = 2) -> Path:
        brought = {(member, item): BROUGHT[item] for member, _, item in PROVIDERS[:providers]}
        path = self.folder / f"{name}.yaml"
        path.write_text(job_text(name, algorithm, parameters, OWN, brought), encoding="utf-8")
        return path

    def start(self, job: Path) -> subprocess.Popen[bytes]:
        arguments = ("model", "train", str(job), "--home", str(self.network.node_home("bank-1")))
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *arguments, "--out", str(self.folder / job.stem), "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def train(self, job: Path) -> dict[str, Any]:
        """Train to the end; where the command lost its agent, once more into the same folder."""
        for _ in range(5):
            running = self.start(job)
            said, _ = running.communicate(timeout=150)
            if running.returncode == 0:
                report: dict[str, Any] = json.loads(said)["report"]
                return report
            time.sleep(1)
        raise AssertionError(said.decode())

    def listed(self, node: str, name: str) -> dict[str, Any]:
        jobs = command("model", "list", "--home", str(self.network.node_home(node)))["jobs"]
        found: dict[str, Any] = next((each for each in jobs if each["name"] == name), {})
        return found

    def reaches(self, job: Path, phase: str, running: subprocess.Popen[bytes]) -> None:
        """Until the job trains, as its checkpoint at the bank shows."""
        folder = self.network.node_home("bank-1") / "joint"

        def reached() -> bool:
            assert running.poll() is None, running.communicate()[0].decode()
            return any(folder.glob(f"*/{phase}"))

        wait_until(f"{job.stem} is in {phase}", reached, 60)


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joint]:
    home = tmp_path_factory.mktemp("joint") / "net"
    network = Network(home)
    try:
        network.start_hub()
        loans = split_loans(home / "data")
        network.admit(BANK, "bank", BANK)
        network.add_node(BANK, "bank-1")
        for member, node, item in PROVIDERS:
            network.admit(member, "government" if member == GOVERNMENT else "platform", member)
            network.add_node(member, node, sources=source_toml(item, loans.files[item]))
            (network.node_home(node) / "products.toml").write_text(product_toml(item, item), encoding="utf-8")
            with network.agent(node) as agent:
                agent.call("LoadSources", agent_pb2.LoadSourcesRequest())
                agent.call("PublishOwnProducts", agent_pb2.PublishOwnProductsRequest())
            command("hub", "review-product", item.replace("_", "-"), "--home", str(network.hub_home), "--approve")
        registry = Registry(
            load_hub(network.node_home("bank-1")),
            str(network.hub_home / "admin.sock"),
            "operator",
            load_private_key(network.operator_key, read_secret(network.hub_home, None)),
        )
        chosen = _balanced(loans)
        with ThreadPoolExecutor(8) as pool:
            both = list(pool.map(lambda place: _enterprise(registry, loans.codes[place]), chosen))
        for _, node, _ in PROVIDERS:
            wait_until(f"{node} holds the consents", lambda node=node: _consents(network, node) == ENTERPRISES)  # type: ignore[misc]
        write_applications(loans, home)
        yield Joint(network, registry, [one for one, _ in both], [held for _, held in both], home)
        registry.close()
    finally:
        network.stop()


def _balanced(loans: Loans) -> list[int]:
    """As many bad loans as good ones: a small cohort that can be tested on."""
    bad = [place for place, label in enumerate(loans.labels) if label == "bad"]
    good = [place for place, label in enumerate(loans.labels) if label != "bad"]
    return [*bad[: ENTERPRISES // 2], *good[: ENTERPRISES // 2]]


def _enterprise(registry: Registry, code: str) -> tuple[Enterprise, dict[str, str]]:
    at = now_ms()
    limits = Limits(valid_from_ms=at - 60_000, valid_to_ms=at + 30 * DAY_MS, data_life_days=30)
    enterprise = registry.register(code, "joint")
    return enterprise, {
        member: registry.consent(
            enterprise,
            member,
            (BANK,),
            (ItemScope(item_id=item, mode=ItemMode.J),),
            purpose=Purpose.JOINT_MODELLING,
            limits=limits,
        )
        for member, _, item in PROVIDERS
    }


def _consents(network: Network, node: str) -> int:
    with network.agent(node) as agent:
        return int(agent.call("GetAgentStatus", agent_pb2.AgentStatusRequest()).consents)


def test_a_plan_tells_cost_and_leaks_and_opens_nothing(joint: Joint) -> None:
    job = joint.job("planned", "boosting", "{trees: 5}")
    told = command("model", "plan", str(job), "--home", str(joint.network.node_home("bank-1")))
    assert told["estimate"]["rows"] == ENTERPRISES
    assert told["estimate"]["columns"] == [len(OWN), 2, 2]
    assert {leak["party"] for leak in told["leaks"]} == {BANK, GOVERNMENT, PLATFORM, "hub"}
    assert not joint.listed("bank-1", "planned")


@pytest.mark.parametrize(
    ("algorithm", "parameters"),
    [("boosting", "{trees: 4, depth: 2, key_bits: 2048}"), ("logistic", "{steps: 8}")],
)
def test_two_providers_and_a_bank_train_a_model_that_each_keeps_its_part_of(
    joint: Joint, algorithm: str, parameters: str
) -> None:
    report = joint.train(joint.job(f"whole-{algorithm}", algorithm, parameters))
    assert report["test"]["auc"]["value"] > 0.55
    assert (report["cohort"]["rows"], report["cohort"]["usable"]) == (ENTERPRISES, ENTERPRISES)
    assert [party["columns"] for party in report["parties"]] == [3, 2, 2]
    assert "<html" in (joint.folder / f"whole-{algorithm}" / "report.html").read_text(encoding="utf-8")
    own = joint.listed("bank-1", f"whole-{algorithm}")
    assert own["state"] == "finished"
    for node in ("bank-1", "tax-1", "pay-1"):
        listed = joint.listed(node, f"whole-{algorithm}")
        assert (listed["state"], listed["commitment"]) == ("finished", report["commitment"])
        home = joint.network.node_home(node)
        assert (home / "models" / own["job_id"] / "part.json").exists()
        assert not list((home / "joint").glob("*/table.arrow"))


def test_a_notebook_plans_follows_and_reads_a_model(joint: Joint) -> None:
    with Node(joint.network.node_home("bank-1")) as node:
        plan = node.plan(joint.job("notebook", "logistic", "{steps: 4}", providers=1))
        assert (plan.algorithm, plan.estimate.rows, plan.estimate.columns) == ("logistic", ENTERPRISES, (len(OWN), 2))
        job = node.train(plan)
        assert [progress.phase for progress in job.follow()][-1] == "finished"
        made = job.report()
        (own,) = (each for each in node.jobs() if each.name == "notebook")
    assert (own.job_id, own.state, own.commitment) == (job.job_id, "finished", made.document.commitment)
    assert made.json_file.parent == joint.folder / "notebook-report"
    assert from_json(made.json_file.read_bytes()) == made.document
    assert "<html" in made.page_file.read_text(encoding="utf-8")
    assert [leak.learns for leak in made.document.leaks] == [leak.learns for leak in plan.leaks]


@pytest.mark.parametrize("victim", ["bank-1", "tax-1", "hub"])
def test_kill_9_in_the_middle_goes_on_from_the_last_checkpoint(joint: Joint, victim: str) -> None:
    job = joint.job(f"killed-{victim}", "boosting", "{trees: 60, depth: 2, key_bits: 2048}")
    running = joint.start(job)
    joint.reaches(job, "checkpoint.json", running)
    joint.network.processes[victim].kill()
    joint.network.start(victim)
    running.communicate(timeout=120)
    report = (
        joint.train(job) if running.returncode else json.loads((joint.folder / job.stem / "report.json").read_bytes())
    )
    assert report["steps"] == 60
    assert report["attempts"] > 1 or victim in {"bank-1", "hub"}
    assert joint.listed("tax-1", job.stem)["commitment"] == report["commitment"]


def test_logistic_regression_with_several_providers_goes_on_after_kill_9(joint: Joint) -> None:
    job = joint.job("killed-logistic", "logistic", "{steps: 24, tolerance: 0}")
    running = joint.start(job)
    joint.reaches(job, "checkpoint.json", running)
    joint.network.processes["pay-1"].kill()
    joint.network.start("pay-1")
    running.communicate(timeout=120)
    report = (
        joint.train(job) if running.returncode else json.loads((joint.folder / job.stem / "report.json").read_bytes())
    )
    assert report["steps"] == 24 and report["attempts"] > 1
    for provider in ("tax-1", "pay-1"):
        assert joint.listed(provider, job.stem)["commitment"] == report["commitment"]


def test_an_enterprise_that_withdraws_leaves_the_training_and_sees_its_lineage(joint: Joint) -> None:
    job = joint.job("left", "boosting", "{trees: 60, depth: 2, key_bits: 2048}")
    running = joint.start(job)
    joint.reaches(job, "checkpoint.json", running)
    gone = joint.registry.revoke(joint.enterprises[-1], PLATFORM, joint.consents[-1][PLATFORM])
    assert any(each.node_id == "pay-1" for each in gone.acknowledgements)
    running.communicate(timeout=120)
    report = (
        joint.train(job) if running.returncode else json.loads((joint.folder / "left" / "report.json").read_bytes())
    )
    assert report["cohort"]["withdrawn"] == 1
    stayed = _audited(joint, joint.enterprises[0], report["commitment"], 4)
    assert {use["side"] for use in stayed} == {"provider"}
    left = _audited(joint, joint.enterprises[-1], report["commitment"], 0)
    assert left == []


def test_columns_are_chosen_by_all_parties_through_the_hub(joint: Joint) -> None:
    job = joint.job("chosen", "logistic", "{steps: 6}")
    rules = "selection: {bins: 2, monotone: false, encode: woe, key_bits: 2048, limits: {lowest_value: 0, highest_drift: 10}}\n"
    job.write_text(job.read_text(encoding="utf-8") + rules + "language: zh\n", encoding="utf-8")
    told = command("model", "plan", str(job), "--home", str(joint.network.node_home("bank-1")))
    assert any("information value" in line for leak in told["leaks"] for line in leak["learns"])
    report = joint.train(job)
    assert report["test"]["auc"]["value"] > 0.5
    assert "模型效果" in (joint.folder / "chosen" / "report.html").read_text(encoding="utf-8")
    part = joint.network.node_home("tax-1") / "models" / joint.listed("tax-1", "chosen")["job_id"] / "part.json"
    kept = json.loads(base64.b64decode(json.loads(part.read_bytes())["part"]))["prepared"]
    assert set(kept["values"]) == {f"{GOVERNMENT_ITEM}.{name}" for name in BROUGHT[GOVERNMENT_ITEM]}
    assert {each["type"] for each in kept["columns"]} == {"woe"}


def _audited(joint: Joint, enterprise: Enterprise, commitment: str, least: int) -> list[dict[str, Any]]:
    """The uses of an enterprise that name this model version."""
    home = joint.folder / f"home-{enterprise.uscc}"
    create_home(home, joint.network.hub_file, enterprise.uscc, enterprise.name, enterprise.key)
    found: list[dict[str, Any]] = []

    def shown() -> bool:
        nonlocal found
        uses = command("audit", "mine", "--home", str(home))["uses"]
        joint_uses = [use for use in uses if use["mode"] == "joint"]
        found = [use for use in joint_uses if use["model"] == commitment]
        return len(joint_uses) > 0 and len(found) >= min(least, 2)

    wait_until("the audit shows the model", shown, 60)
    return found


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


def test_a_cohort_below_the_minimum_is_refused(joint: Joint) -> None:
    job = joint.job("small", "boosting", "{trees: 5}")
    job.write_text(job.read_text(encoding="utf-8") + "cohort: {minimum: 1000}\n", encoding="utf-8")
    with pytest.raises(DemoFailed, match="COHORT_TOO_SMALL"):
        command("model", "plan", str(job), "--home", str(joint.network.node_home("bank-1")))


def test_a_provider_does_not_tell_sums_of_few_rows(joint: Joint) -> None:
    running = joint.start(joint.job("few", "boosting", "{trees: 2, min_rows: 2, key_bits: 2048}"))
    said, _ = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "JOB_INVALID" in said.decode()
    assert joint.listed("bank-1", "few")["state"] == "failed"


def test_columns_that_no_product_offers_are_refused(joint: Joint) -> None:
    assert OWNERS[GOVERNMENT_ITEM]
    job = joint.job("unknown", "boosting", "{trees: 5}")
    job.write_text(job.read_text(encoding="utf-8").replace("inq_last_6mths", "no_such_field"), encoding="utf-8")
    running = joint.start(job)
    said, _ = running.communicate(timeout=60)
    assert running.returncode != 0
    assert joint.listed("bank-1", "unknown").get("state", "failed") == "failed", said


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
