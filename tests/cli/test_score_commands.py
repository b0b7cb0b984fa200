"""`xinqiao score` against a simulated agent."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from xinqiao.v1 import agent_pb2

from nodes.scoring.batch_files import BatchReport
from tests.cli.agent_simulator import AGENT_REPLIES, MODEL
from tests.cli.conftest import AgentWorld
from tests.cli.running import failing, run, run_json
from tests.cli.simulators import Refusal
from tests.consent.builders import BANK, PROVIDER, USCC

REPORT = BatchReport(
    batch_id="b",
    model_id=MODEL.model_id,
    model="card",
    version=2,
    providers=(PROVIDER,),
    subjects=1000,
    scored=990,
    refused={"NO_CONSENT": 10},
    error_bound=1e-6,
    blocks=1,
    blocks_kept=0,
    seconds=1.5,
    bytes=200_000,
)


@pytest.fixture
def codes(tmp_path: Path) -> Path:
    path = tmp_path / "list.txt"
    path.write_text(f"{USCC}\n", encoding="utf-8")
    return path


def test_a_plan_tells_cost_precision_and_leaks(node: AgentWorld, codes: Path) -> None:
    arguments = ("score", "plan", "--home", node.home, "--model", "m", "--list", codes)
    assert run_json(*arguments).data["permitted"] == 990
    said = run(*arguments).out
    assert "990 of 1,000 enterprises may be asked about; not: NO_CONSENT 10." in said
    assert "which of its enterprises are scored" in said
    assert node.agent.asked["PlanScore"].file == str(codes.resolve())
    assert node.agent.asked["PlanScore"].own_file == ""


def test_a_batch_ends_with_its_report_and_one_that_ends_without_is_to_be_repeated(
    node: AgentWorld, codes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ("score", "run", "--home", node.home, "--model", "m", "--list", codes, "--own", codes, "--out", out)
    node.agent.scoring = [
        agent_pb2.ScoreProgress(phase="waiting_approval", total=1000),
        agent_pb2.ScoreProgress(phase="finished", done=1000, total=1000, report_json=msgspec.json.encode(REPORT)),
    ]
    told = run_json(*arguments, "--reason", "review", "--user", "li").data
    assert told == msgspec.json.decode(msgspec.json.encode(REPORT))
    asked = node.agent.asked["ScoreBatch"]
    assert (asked.directory, asked.own_file, asked.reason, asked.user) == (
        str(out.resolve()),
        str(codes.resolve()),
        "review",
        "li",
    )
    said = run(*arguments, "--reason", "review").out
    assert "990 of 1,000 enterprises have a score" in said
    assert "NO_CONSENT" in said
    node.agent.scoring = [agent_pb2.ScoreProgress(phase="score")]
    assert failing(*arguments, "--reason", "review", code=4)["code"] == "UNAVAILABLE"
    node.agent.scoring = [agent_pb2.ScoreProgress(phase="score"), Refusal("DEADLINE_EXCEEDED", "taxoffice was silent.")]
    late = failing(*arguments, "--reason", "review", code=4)
    assert late["code"] == "DEADLINE_EXCEEDED"
    assert "taxoffice was silent. Then give the same command again" in late["message"]
    node.agent.scoring = [Refusal("MODEL_RETIRED", "It is retired.")]
    assert failing(*arguments, "--reason", "review", code=5)["message"] == "It is retired."


def test_one_enterprise_is_scored_in_words_and_as_data(node: AgentWorld) -> None:
    arguments = ("score", "one", "--home", node.home, "--model", "m", "--uscc", USCC, "--reason", "application")
    told = run_json(*arguments, "--own", '{"income": null}', "--request-key", "k").data
    assert (told["score"], told["points"], told["band"], told["reasons"]) == (-1.25, 536, "C", ["R01", PROVIDER])
    asked = node.agent.asked["Score"]
    assert (asked.subjects[0].own_json, asked.request_key) == (b'{"income": null}', "k")
    assert "536 points, band C" in run(*arguments).out
    assert failing(*arguments, "--own", "{", code=2)["code"] == "INVALID_ARGUMENT"


def test_a_refusal_is_an_error_with_its_reason(node: AgentWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    for refused, code, exit_code in (("NO_CONSENT", "USE_REFUSED", 3), ("SCORE_LIMIT_REACHED",) * 2 + (3,)):
        score = agent_pb2.SubjectScore(uscc=USCC, refused=refused, detail=f"{PROVIDER}: no.")
        monkeypatch.setitem(AGENT_REPLIES, "Score", agent_pb2.ScoreReply(scores=[score]))
        arguments = ("score", "one", "--home", node.home, "--model", "m", "--uscc", USCC, "--reason", "r")
        error = failing(*arguments, code=exit_code)
        assert (error["code"], error["reason"]) == (code, refused)


def test_limits_show_who_has_spent_what_and_what_looks_like_probing(node: AgentWorld) -> None:
    told = run_json("score", "limits", "--home", node.home).data
    assert told["limits"]["models_per_subject"] == 3
    assert told["limits"]["served_scores"] is None
    assert told["requesters"][0]["requester"] == BANK
    said = run("score", "limits", "--home", node.home).out
    assert "maximum_leverage" in said
    assert "half of the asker's columns" in said
    assert "A model was used on 3 enterprises only." in said
