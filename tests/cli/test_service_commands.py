"""`xinqiao score serve` and the commands that belong to it, beside a simulated agent."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from xinqiao.v1 import score_pb2, score_pb2_grpc

from tests.cli.running import failing, run, run_json
from tests.consent.builders import USCC
from tests.nodes.service.agent import SimulatedAgent, serving
from tests.nodes.service.process import ask, served

BODY = {"subjects": [{"uscc": USCC, "features": {"years": 4, "branch": "Xiamen"}}], "reason": "loan application"}


@contextmanager
def in_thread(home: Path, agent: SimulatedAgent) -> Iterator[None]:
    """The simulated agent in a loop of its own."""
    loop = asyncio.new_event_loop()
    begun, stop = threading.Event(), asyncio.Event()

    async def run_agent() -> None:
        async with serving(home, agent):
            begun.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run_agent()))
    thread.start()
    try:
        assert begun.wait(10)
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "bank"
    folder.mkdir()
    (folder / "node.toml").write_text('node_id = "bank-1"\nmember_id = "bank"\n', encoding="utf-8")
    with in_thread(folder, SimulatedAgent()):
        yield folder


def test_keys_are_made_listed_and_revoked(home: Path) -> None:
    assert "No key yet" in run("score", "key", "list", "--home", home).out
    options = ("--right", "score", "--right", "monitor", "--model", "loans", "--per-minute", "30", "--days", "7")
    made = run_json("score", "key", "create", "portal", "--home", home, *options, "--user", "li").data
    assert made["key"].startswith(f"xqs_{made['key_id']}_")
    (listed,) = run_json("score", "key", "list", "--home", home).data["keys"]
    assert "key" not in listed
    assert (listed["rights"], listed["models"], listed["per_minute"]) == (["score", "monitor"], ["loans"], 30)
    assert listed["expires_ms"] - listed["created_ms"] == 7 * 86_400_000
    assert "valid until" in run("score", "key", "list", "--home", home).out
    ended = run_json("score", "key", "revoke", made["key_id"], "--home", home, "--reason", "leaked").data
    assert ended["revoked_reason"] == "leaked"
    assert "revoked" in run("score", "key", "list", "--home", home).out
    assert made["key"] not in (home / "service.db").read_bytes().decode("latin-1")


def test_a_key_that_is_none_is_refused(home: Path) -> None:
    create = ("score", "key", "create", "portal", "--home", home)
    assert failing(*create, "--right", "everything", code=2)["code"] == "INVALID_ARGUMENT"
    assert failing(*create, "--per-minute", "0", code=2)["code"] == "INVALID_ARGUMENT"
    assert failing("score", "key", "revoke", "0", "--home", home, "--reason", "x", code=5)["code"] == "NOT_FOUND"
    assert failing("score", "key", "list", "--home", home / "nowhere", code=5)["code"] == "NOT_FOUND"


def test_champion_and_challenger_are_appointed_and_recorded(home: Path) -> None:
    told = ("--home", home, "--reason", "validated", "--user", "li")
    assert run_json("score", "champion", "m-1", *told).data["model_id"] == "m-1"
    assert "20% of the enterprises" in run("score", "challenger", "loans", *told, "--share", "0.2").out
    assert failing("score", "challenger", "m-1", *told, code=5)["code"] == "WRONG_STATE"
    assert failing("score", "challenger", "m-2", *told, "--share", "0", code=2)["code"] == "INVALID_ARGUMENT"
    assert failing("score", "champion", "nothing", *told, code=5)["code"] == "NOT_FOUND"
    run("score", "champion", "m-2", *told)  # which ends its trial
    history = run_json("score", "roles", "--home", home).data["roles"]
    assert [(each["role"], each["model_id"]) for each in history] == [
        ("champion", "m-2"),
        ("challenger", ""),
        ("challenger", "m-2"),
        ("champion", "m-1"),
    ]
    assert "There is no challenger" in run("score", "challenger", "none", *told).out
    assert "nobody" in run("score", "roles", "--home", home).out


def test_a_population_keeps_counts_of_what_the_model_reads(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "training.csv"
    random = np.random.default_rng(1)
    rows = [
        f"{p:.4f},{y},0{b},x"
        for p, y, b in zip(random.random(500), range(500), random.integers(1, 3, 500), strict=True)
    ]
    file.write_text("\n".join(["probability,years,branch,other", *rows]), encoding="utf-8")
    told = run_json("score", "population", "m-1", "--home", home, "--from", file).data
    assert told == {"model": "m-1", "score": True, "columns": ["years", "branch"]}
    watched = run_json("score", "monitor", "--home", home).data
    assert watched["models"] == []
    run("score", "champion", "m-1", "--home", home, "--reason", "x")
    (model,) = run_json("score", "monitor", "--home", home).data["models"]
    assert (model["source"], [each["name"] for each in model["columns"]]) == ("training.csv", ["years", "branch"])
    assert failing("score", "population", "m-1", "--home", home, "--from", tmp_path / "no.csv", code=2)
    bad = ("--probability", "score")
    assert "'score'" in failing("score", "population", "m-1", "--home", home, "--from", file, *bad, code=2)["message"]
    wrong = ("--probability", "years")
    assert "0 to 1" in failing("score", "population", "m-1", "--home", home, "--from", file, *wrong, code=2)["message"]


def test_without_the_agent_a_role_is_not_given_and_the_monitor_has_no_names(tmp_path: Path) -> None:
    assert failing("score", "champion", "m-1", "--home", tmp_path, "--reason", "x", code=4)["code"] == "UNAVAILABLE"
    assert "No model has scored" in run("score", "monitor", "--home", tmp_path).out


def test_a_served_score_is_monitored_with_its_outcome(home: Path, tmp_path: Path) -> None:
    run("score", "champion", "m-1", "--home", home, "--reason", "x")
    key = run_json("score", "key", "create", "portal", "--home", home).data["key"]
    with served(home) as told:
        status, answer = ask(told["http"], key, BODY)
        assert status == 200
        (result,) = answer["results"]
        with grpc.insecure_channel(told["grpc"]) as channel:
            assert score_pb2_grpc.ScoringStub(channel).GetHealth(score_pb2.ScoringHealthRequest()).agent
        labels = tmp_path / "labels.csv"
        labels.write_text(f"score_id,defaulted,observed\n{result['score_id']},1,2026-12-31\nnobody,0,2026-12-31\n")
        reported = run_json("score", "outcomes", labels, "--home", home).data  # while the service runs
        assert reported == {"recorded": 1, "unknown": ["nobody"]}
    page = tmp_path / "page.html"
    (model,) = run_json("score", "monitor", "--home", home, "--out", page, "--language", "zh").data["models"]
    assert (model["scored"], model["realised"]["events"], model["role"]) == (1, 1, "champion")
    assert "在用模型监控" in page.read_text(encoding="utf-8")
    assert "loans 1" in run("score", "monitor", "--home", home).out
    labels.write_text("score_id,defaulted,observed\nx,maybe,2026-12-31\n")
    assert "row 1" in failing("score", "outcomes", labels, "--home", home, code=2)["message"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--listen", "0.0.0.0:0"), "in the clear"),
        (("--grpc-listen", "[::]:0"), "in the clear"),
        (("--listen", "8090"), "host:port"),
        (("--tls-cert", "cert.pem"), "both"),
        (("--tls-cert", "cert.pem", "--tls-key", "key.pem"), "is not there"),
    ],
)
def test_a_door_that_would_show_keys_or_cannot_be_is_not_opened(
    home: Path, options: tuple[str, ...], says: str
) -> None:
    error = failing("score", "serve", "--home", home, *options, code=7)
    assert error["code"] == "SETTINGS_INVALID"
    assert says in error["message"]
