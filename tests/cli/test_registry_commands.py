"""`xinqiao model`'s registry and `xinqiao audit model`, against a simulated agent and real files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from xinqiao.v1 import admin_pb2

from consent.model_state import Step
from consent.models import model_commitment, sign_version
from modeling.scoring.leverage import leverage
from modeling.scoring.model import canonical, parse_model
from nodes.credentials import HubFacts
from nodes.models.opening import Opening, write_opening
from nodes.models.parts import HeldPart
from tests.cli.agent_simulator import MODEL, MODEL_SM3
from tests.cli.conftest import AdminWorld, AgentWorld
from tests.cli.running import failing, run, run_json
from tests.consent.builders import key
from tests.consent.model_builders import OWNER, OWNER_NODE, PROVIDER, part, version
from tests.nodes.models.world import linear
from trust.suite import sm3


def test_a_model_in_a_file_is_read_here_and_registered_as_one_canonical_document(
    node: AgentWorld, tmp_path: Path
) -> None:
    (tmp_path / "card.json").write_bytes(msgspec.json.format(linear()))
    arguments = ("model", "register", "--home", node.home, "--name", "sme-default", "--model", tmp_path / "card.json")
    told = run_json(*arguments, "--product", f"{PROVIDER}:tax-models", "--metric", "auc=0.78").data
    asked = node.agent.asked["RegisterOwnModel"]
    assert (asked.linear, asked.job, asked.name) == (linear(), "", "sme-default")
    assert msgspec.json.decode(asked.products_json) == {PROVIDER: "tax-models"}
    assert msgspec.json.decode(asked.metrics_json) == {"auc": 0.78}
    assert (told["model_id"], told["state"], told["sm3"]) == (MODEL.model_id, "draft", MODEL_SM3)
    assert f"waits for {PROVIDER}" in run(*arguments).out


def test_a_model_that_others_ask_names_them_and_what_a_consent_covers(node: AgentWorld, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_bytes(linear())
    arguments = ("model", "register", "--home", node.home, "--name", "sme-default", "--model", tmp_path / "card.json")
    run_json(*arguments, "--asker", "firstbank", "--asker", "nextbank", "--covers", "sales_summary.revenue")
    asked = node.agent.asked["RegisterOwnModel"]
    assert (list(asked.askers), list(asked.covers)) == (["firstbank", "nextbank"], ["sales_summary.revenue"])
    assert failing(*arguments, "--covers", "sales_summary", code=2)["code"] == "INVALID_ARGUMENT"


def test_what_is_no_model_is_refused_before_anything_is_sent(node: AgentWorld, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_text("{}", encoding="utf-8")
    (tmp_path / "card.pmml").write_text("<PMML/>", encoding="utf-8")
    (tmp_path / "map.yaml").write_text("a: [", encoding="utf-8")
    home = ("--home", node.home, "--name", "m")
    refused: list[tuple[str, tuple[Any, ...]]] = [
        ("MODEL_INVALID", ("--model", tmp_path / "card.json")),
        ("MODEL_INVALID", ("--model", tmp_path / "card.pmml")),
        ("MODEL_INVALID", ("--model", tmp_path / "card.pmml", "--mapping", tmp_path / "map.yaml")),
        ("INVALID_ARGUMENT", ("--model", tmp_path / "card.txt")),
        ("INVALID_ARGUMENT", ("--job", "j", "--metric", "auc=two")),
        ("INVALID_ARGUMENT", ("--job", "j", "--metric", "auc=nan")),
        ("INVALID_ARGUMENT", ("--job", "j", "--product", "tax")),
    ]
    for code, arguments in refused:
        assert failing("model", "register", *home, *arguments, code=2)["code"] == code, arguments
    assert "RegisterOwnModel" not in node.agent.asked


def test_models_are_listed_and_shown_with_every_word(node: AgentWorld) -> None:
    (listed,) = run_json("model", "versions", "--home", node.home).data["models"]
    assert (listed["name"], listed["words"], listed["sent"]) == ("sme-default", {PROVIDER: "declined"}, False)
    assert listed["said"][0]["reason"] == "too few features"
    assert f"{PROVIDER}: declined" in run("model", "versions", "--home", node.home).out
    shown = run("model", "show", MODEL.model_id, "--home", node.home).out
    for told in (
        "5 of 6",
        "0.500",
        MODEL.commitment,
        "tax_registration.status",
        "too few features",
        "does not have this node's last word",
    ):
        assert told in shown
    assert node.agent.asked["ListModelVersions"].model_id == MODEL.model_id


@pytest.mark.parametrize(
    ("command", "step"),
    [
        ("approve", Step.APPROVE),
        ("decline", Step.DECLINE),
        ("withdraw", Step.WITHDRAW),
        ("serve", Step.SERVE),
        ("retire", Step.RETIRE),
    ],
)
def test_each_step_is_asked_of_the_agent_with_reason_and_user(node: AgentWorld, command: str, step: Step) -> None:
    arguments = ("model", command, MODEL.model_id, "--home", node.home, "--reason", "checked", "--user", "li")
    assert f"is draft; it waits for {PROVIDER}" in run(*arguments).out
    asked = node.agent.asked["StepModel"]
    assert (asked.model_id, asked.step, asked.reason, asked.user) == (MODEL.model_id, step, "checked", "li")


def test_a_model_is_opened_into_a_file_of_the_agents(node: AgentWorld, tmp_path: Path) -> None:
    assert (
        run_json("model", "open", MODEL.model_id, "--home", node.home, "--out", tmp_path / "o.json").data["parts"] == 2
    )
    assert node.agent.asked["OpenModel"].file == str(tmp_path / "o.json")


def test_the_operator_lists_every_model(admin: AdminWorld) -> None:
    document = sign_version(MODEL, key(OWNER)).encode()
    admin.admin.models = [admin_pb2.RegisteredModel(document=document, state="retired", reason="law changed")]
    (told,) = run_json("hub", "models", "--home", admin.home).data["models"]
    assert (told["model_id"], told["state"], told["reason"]) == (MODEL.model_id, "retired", "law changed")
    assert "law changed" in run("hub", "models", "--home", admin.home).out
    admin.admin.models = []
    assert "No model" in run("hub", "models", "--home", admin.home).out


def opening(path: Path, *, signer: str = OWNER_NODE, **attested: Any) -> Path:
    """An opening of a model with six features, attested as it is but for what is given."""
    whole = parse_model(linear())
    held = (
        HeldPart(party=OWNER, salt="5a" * 16, part=canonical(whole)),
        HeldPart(party=PROVIDER, salt="a5" * 16, part=canonical(whole.part_for(PROVIDER))),
    )
    stated = {
        "features": 6,
        "nonzero": 6,
        "leverage": leverage([whole.part_for(PROVIDER)]),
        "commitment": held[1].commitment,
        "preparation_sm3": sm3(canonical(whole.preparation_for(PROVIDER))).hex(),
    }
    made = version(
        parts=(part(**{**stated, **attested}),),
        own_commitment=held[0].commitment,
        commitment=model_commitment(each.commitment for each in held),
    )
    write_opening(path, Opening(model=sign_version(made, key(signer)).encode(), parts=held))
    return path


def test_an_auditor_is_told_that_an_opening_is_true_or_what_is_false(tmp_path: Path) -> None:
    true, false = opening(tmp_path / "true.json"), opening(tmp_path / "false.json", nonzero=5)
    (told,) = run_json("audit", "model", true).data["models"]
    assert (told["opened"], told["leverages"][PROVIDER]) == ([OWNER, PROVIDER], pytest.approx(0.49 / 1.39))
    said = run("audit", "model", true).out
    assert "what was attested about it is true" in said and "Signatures were not checked" in said
    error = failing("audit", "model", false, code=6)
    assert error["code"] == "AUDIT_FAILED"
    assert "5 of 6 features were attested to count; 6 of 6 do" in error["message"]
    assert failing("audit", "model", tmp_path / "none.json", code=5)["code"] == "NOT_FOUND"


def test_with_an_exported_log_the_owners_signature_is_checked_too(admin: AdminWorld, tmp_path: Path) -> None:
    run("audit", "export", "--home", admin.home, "--out", tmp_path / "x", "--origin", "directory")
    facts = HubFacts(public_address="a:1", node_address="a:2", authority_pem=b"-", hub_key=key("hub").public)
    (tmp_path / "hub.json").write_bytes(facts.encode())
    log = ("--export", tmp_path / "x", "--hub", tmp_path / "hub.json")
    true, forged = opening(tmp_path / "true.json"), opening(tmp_path / "forged.json", signer="taxoffice-1")
    assert run_json("audit", "model", true, *log).data["signatures_checked"] is True
    assert failing("audit", "model", forged, *log, code=6)["code"] == "SIGNATURE_INVALID"
