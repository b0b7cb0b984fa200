from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from cli.logs import JsonLines
from tests.cli.agent_simulator import AGENT_REPLIES
from tests.cli.conftest import AgentWorld
from tests.cli.running import failing, run, run_json
from tests.cli.simulators import BANK_NODE, Refusal
from tests.consent.builders import BANK, PROVIDER, USCC

SIMPLE = {
    "status": ("GetAgentStatus", (), "node", BANK_NODE),
    "load": ("LoadSources", (), "report", None),
    "publish": ("PublishOwnProducts", (), "products", None),
    "products": ("ListAvailableProducts", (), "products", None),
    "approvals": ("ListApprovals", (), "approvals", None),
    "approve": ("DecideApproval", ("e-1",), "approved", True),
    "decline": ("DecideApproval", ("e-1", "--reason", "no"), "approved", False),
    "transfers": ("ListTransfers", (), "transfers", None),
    "purge": ("Purge", ("--at-ms", "7"), "deleted_exchanges", ["e-1"]),
    "clear-alarm": ("ClearAlarm", ("--reason", "looked"), "cleared", True),
}


@pytest.mark.parametrize("name", SIMPLE)
def test_a_command_asks_the_agent_and_tells_what_it_said(node: AgentWorld, name: str) -> None:
    method, arguments, field, value = SIMPLE[name]
    told = run_json("node", name, *arguments, "--home", node.home).data
    assert method in node.agent.asked
    assert told[field] == value if value is not None else told[field]
    assert run("node", name, *arguments, "--home", node.home).out.strip()


@pytest.mark.parametrize("name", SIMPLE)
def test_what_the_agent_refuses_is_told(node: AgentWorld, name: str) -> None:
    method, arguments, _, _ = SIMPLE[name]
    node.agent.refuse[method] = Refusal("WRONG_STATE")
    assert failing("node", name, *arguments, "--home", node.home, code=5)["code"] == "WRONG_STATE"


@pytest.mark.parametrize("name", SIMPLE)
def test_without_an_agent_a_command_is_unreachable(tmp_path: Path, name: str) -> None:
    assert failing("node", name, *SIMPLE[name][1], "--home", tmp_path, code=4)["code"] == "UNAVAILABLE"


def test_decisions_and_reasons_reach_the_agent(node: AgentWorld) -> None:
    run("node", "decline", "e-9", "--home", node.home, "--reason", "too much")
    asked = node.agent.asked["DecideApproval"]
    assert (asked.exchange_id, asked.approve, asked.reason) == ("e-9", False, "too much")
    run("node", "purge", "--home", node.home, "--at-ms", "7")
    assert node.agent.asked["Purge"].at_ms == 7


def test_an_alarm_is_the_first_that_is_shown(node: AgentWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    alarmed = type(AGENT_REPLIES["GetAgentStatus"])(node_id="n", alarm="the log was forked.")
    monkeypatch.setitem(AGENT_REPLIES, "GetAgentStatus", alarmed)
    assert run("node", "status", "--home", node.home).out.startswith("ALARM: the log was forked.")


def test_a_load_tells_what_was_rejected_and_what_was_kept(node: AgentWorld) -> None:
    said = run("node", "load", "--home", node.home).out
    assert "date 1" in said
    assert "too many were rejected" in said


def test_the_catalogue_needs_no_agent() -> None:
    items = run_json("node", "catalogue").data["items"]
    assert "tax_registration" in {item["item_id"] for item in items}
    one = run_json("node", "catalogue", "tax_registration").data
    assert one["fields"][0]["name"] in run("node", "catalogue", "tax_registration").out
    assert failing("node", "catalogue", "no_such_item", code=2)["code"] == "ITEM_UNKNOWN"


def test_a_token_that_cannot_be_read_is_refused_and_leaves_the_home_free(tmp_path: Path) -> None:
    error = failing("node", "enrol", "--home", tmp_path / "n", "--token", "nonsense", code=3)
    assert error["code"] == "TOKEN_INVALID"
    assert not (tmp_path / "n" / "keys").exists()


def test_a_home_that_is_no_nodes_cannot_be_served(tmp_path: Path) -> None:
    assert failing("node", "serve", "--home", tmp_path, code=7)["code"] == "SETTINGS_INVALID"


def test_a_log_line_is_one_json_object_with_its_fields() -> None:
    record = logging.makeLogRecord({"msg": "use_refused", "levelname": "INFO", "name": "nodes", "exchange": "e-1"})
    line = json.loads(JsonLines().format(record))
    assert (line["event"], line["exchange"], line["level"]) == ("use_refused", "e-1", "INFO")


# -- uses

USE = (
    "--provider", PROVIDER, "--product", "tax-basic", "--item", "tax_registration:Q", "--purpose", "pre_loan",
    "--reason", "loan 7", "--user", "li",
)  # fmt: skip


def test_a_query_opens_an_exchange_and_prints_the_records(node: AgentWorld) -> None:
    told = run_json("query", "--home", node.home, "--uscc", USCC, *USE, "--close").data
    assert told["records"] == {"tax_registration": [{"status": "active"}]}
    assert (told["remaining_uses"], told["consent_ids"]) == (4, ["c-1"])
    opened, asked = node.agent.asked["OpenQuery"], node.agent.asked["Query"]
    assert (opened.user, opened.purpose, opened.reason) == ("li", "pre_loan", "loan 7")
    assert json.loads(opened.items_json) == [{"item_id": "tax_registration", "mode": "Q", "fields": []}]
    assert (asked.exchange_id, asked.uscc) == ("e-1", USCC)
    assert node.agent.asked["CloseExchange"].exchange_id == "e-1"
    assert "active" in run("query", "--home", node.home, "--uscc", USCC, *USE).out


def test_a_refused_use_exits_with_3_and_tells_the_reason(node: AgentWorld) -> None:
    node.agent.refuse["Query"] = Refusal("USE_REFUSED", "The enterprise has withdrawn its consent.", "CONSENT_REVOKED")
    error = failing("query", "--home", node.home, "--uscc", USCC, *USE, code=3)
    assert (error["code"], error["reason"]) == ("USE_REFUSED", "CONSENT_REVOKED")
    assert "(CONSENT_REVOKED): The enterprise" in run("query", "--home", node.home, "--uscc", USCC, *USE, code=3).err


def test_a_peer_that_is_away_exits_with_4(node: AgentWorld) -> None:
    node.agent.refuse["OpenQuery"] = Refusal("PEER_OFFLINE")
    failing("query", "--home", node.home, "--uscc", USCC, *USE, code=4)


def test_an_unknown_purpose_is_a_usage_error(node: AgentWorld) -> None:
    wrong = [("snooping" if each == "pre_loan" else each) for each in USE]
    assert run_json("query", "--home", node.home, "--uscc", USCC, *wrong, code=2).error["code"] == "INVALID_ARGUMENT"


def test_a_transfer_ends_with_its_manifest(node: AgentWorld, tmp_path: Path) -> None:
    from xinqiao.v1.agent_pb2 import FetchProgress

    out = tmp_path / "data"
    node.agent.progress = [
        FetchProgress(exchange_id="e-2", phase="transferring", rows=1, total_rows=3),
        FetchProgress(
            exchange_id="e-2",
            phase="finished",
            rows=3,
            subjects=2,
            bytes=99,
            manifest=str(out / "manifest.json"),
            refused_json=b'{"CONSENT_EXPIRED":4}',
        ),
    ]
    told = run_json("fetch", "--home", node.home, *USE, "--out", out).data
    assert (told["rows"], told["subjects"], told["refused"]) == (3, 2, {"CONSENT_EXPIRED": 4})
    assert node.agent.asked["Fetch"].directory == str(out)
    assert "Left out: 4 by CONSENT_EXPIRED" in run("fetch", "--home", node.home, *USE, "--out", out).out


def test_a_transfer_without_a_manifest_is_no_success(node: AgentWorld, tmp_path: Path) -> None:
    assert failing("fetch", "--home", node.home, *USE, "--out", tmp_path / "d", code=4)["code"] == "UNAVAILABLE"


def test_a_bank_asks_for_consent(node: AgentWorld) -> None:
    options = ("--provider", PROVIDER, "--item", "tax_registration:Q", "--purpose", "pre_loan", "--reason", "loan 7")
    told = run_json("consent", "request", "--home", node.home, "--uscc", USCC, *options, "--days", "9").data
    assert told["request_id"] == "q-1"
    asked = node.agent.asked["AskConsent"]
    assert (asked.uscc, asked.valid_days, asked.max_uses) == (USCC, 9, 0)
    assert BANK not in told
