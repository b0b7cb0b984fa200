"""Joint models through the running hub: what a bank and two providers make, what they refuse, and who leaves."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from xinqiao.v1 import agent_pb2

from cli.demo.cohort import BANK, GOVERNMENT, GOVERNMENT_ITEM, PLATFORM
from cli.demo.enterprises import Enterprise
from cli.demo.loans import OWNERS
from cli.demo.network import DemoFailed, command, wait_until
from cli.demo.scores import consent_to_scoring
from cli.enterprise_home import create_home
from modeling.gbdt.trees import tree_margin
from modeling.jobs.active import ActivePartOfJob
from modeling.jobs.passive import PassiveResult
from modeling.report.document import from_json
from modeling.scoring.fixed import ROUNDED_BY
from nodes.client import AgentClient, Node
from nodes.errors import NodeError
from tests.e2e.joint_network import BROUGHT, ENTERPRISES, OWN, PROVIDERS, Joint, joint_network

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joint]:
    with joint_network(tmp_path_factory.mktemp("joint") / "net") as opened:
        yield opened


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
    assert report["test"]["auc"]["value"] > 0.4  # of 60 rows, whose order is random: 0.62 on average, 0.07 of deviation
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
    registered(joint, own["job_id"], report)


def registered(joint: Joint, job: str, report: dict[str, Any]) -> None:
    """What the job made goes through the registry: every provider approves the part that it holds itself."""
    home = str(joint.network.node_home("bank-1"))
    model = command("model", "register", "--home", home, "--name", report["name"], "--job", job)
    assert (model["commitment"], model["state"]) == (report["commitment"], "draft")
    assert model["metrics"]["auc"] == report["test"]["auc"]["value"]
    assert all(len(part["batch_root"]) == 64 for part in model["parts"])

    def step(node: str, wanted: str, then: str) -> None:
        with joint.network.agent(node) as agent:
            found = agent_pb2.ListModelVersionsRequest(model_id=model["model_id"])
            wait_until(f"{node} sees a model that is {then}", lambda: _state(agent, found) == then)
            agent.call("StepModel", agent_pb2.StepModelRequest(model_id=model["model_id"], step=wanted, user="e2e"))

    step("tax-1", "approved", "draft")
    step("pay-1", "approved", "draft")
    step("bank-1", "in_service", "approved")
    scored(joint, model["model_id"], job)
    step("pay-1", "withdrawn", "in_service")


def scored(joint: Joint, model_id: str, job: str) -> None:
    """Enterprises that consent to it are scored with the model, as with all of its parts in one place."""
    enterprises = joint.enterprises[:3]
    for enterprise in enterprises:
        consent_to_scoring(joint.registry, enterprise)
    codes = [enterprise.uscc for enterprise in enterprises]
    own = columns(joint.folder / "applications.csv", OWN, codes)
    subjects = [
        agent_pb2.ScoreSubject(uscc=code, own_json=json.dumps({name: own[name][at] for name in OWN}).encode())
        for at, code in enumerate(codes)
    ]
    request = agent_pb2.ScoreRequest(model_id=model_id, subjects=subjects, reason="e2e", user="e2e")
    found: list[Any] = []

    def arrived() -> bool:
        nonlocal found
        with joint.network.agent("bank-1") as agent:
            found = list(agent.call("Score", request).scores)
        return not any(each.refused for each in found)

    wait_until("the consents to scoring have arrived", arrived)
    active = part_of(joint, "bank-1", job, ActivePartOfJob)
    present = np.ones(len(codes), np.bool_)
    mine = active.prepared.matrix({name: np.array(own[name]) for name in OWN}, present)
    parts, theirs = {}, {}
    for place, (_, node, item) in enumerate(PROVIDERS, start=1):
        part = parts[f"p{place}"] = part_of(joint, node, job, PassiveResult)
        raw = columns(joint.folder / "data" / f"{item}.csv", BROUGHT[item], codes)
        named = {f"{item}.{name}": np.array(values) for name, values in raw.items()}
        theirs[f"p{place}"] = part.prepared.matrix(named, present)
    if active.boosting is None:
        plain = active.coefficients[0] + mine @ np.array(active.coefficients[1:])
        plain = plain + sum(theirs[name] @ np.array(parts[name].coefficients) for name in parts)
    else:
        walk = [
            tree_margin(tree, mine, lambda at: parts[at.party].boosting.splits[at.number].split.left(theirs[at.party]))
            for tree in active.boosting.trees
        ]
        plain = active.boosting.base + sum(walk)
    np.testing.assert_allclose([each.score for each in found], plain, rtol=0, atol=ROUNDED_BY + 1e-8)


def columns(file: Path, names: tuple[str, ...], codes: list[str]) -> dict[str, list[float]]:
    with file.open(encoding="utf-8", newline="") as text:
        rows = {row["uscc"]: row for row in csv.DictReader(text)}
    return {name: [float(rows[code][name]) for code in codes] for name in names}


def part_of(joint: Joint, node: str, job: str, kind: Any) -> Any:
    stored = json.loads((joint.network.node_home(node) / "models" / job / "part.json").read_bytes())
    return msgspec.json.decode(base64.b64decode(stored["part"]), type=kind)


def _state(agent: AgentClient, wanted: agent_pb2.ListModelVersionsRequest) -> str:
    try:
        (found,) = agent.call("ListModelVersions", wanted).models
    except NodeError:
        return ""
    return str(found.state)


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
    job = joint.job("chosen", "boosting", "{trees: 2, depth: 2, key_bits: 2048}")
    rules = "selection: {bins: 2, monotone: false, key_bits: 2048, limits: {lowest_value: 0, highest_drift: 10}}\n"
    job.write_text(job.read_text(encoding="utf-8") + rules + "language: zh\n", encoding="utf-8")
    told = command("model", "plan", str(job), "--home", str(joint.network.node_home("bank-1")))
    for words in ("information value", "every other party"):
        assert any(words in line for leak in told["leaks"] for line in leak["learns"])
    report = joint.train(job)
    assert report["test"]["auc"]["value"] > 0.5
    assert "模型效果" in (joint.folder / "chosen" / "report.html").read_text(encoding="utf-8")
    part = joint.network.node_home("tax-1") / "models" / joint.listed("tax-1", "chosen")["job_id"] / "part.json"
    kept = json.loads(base64.b64decode(json.loads(part.read_bytes())["part"]))["prepared"]
    assert set(kept["values"]) == {f"{GOVERNMENT_ITEM}.{name}" for name in BROUGHT[GOVERNMENT_ITEM]}
    assert {each["type"] for each in kept["columns"]} == {"raw"}


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
