"""The whole way through real processes, and what is left of it after `kill -9` of each of them."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
import uuid
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from xinqiao.v1 import agent_pb2

from cli.demo.cohort import GOVERNMENT, GOVERNMENT_ITEM
from cli.demo.enterprises import DAY_MS, now_ms
from cli.demo.network import DemoFailed, command, wait_until
from consent.documents import ItemMode, Limits
from nodes.errors import NodeError
from tests.e2e.conftest import Live

pytestmark = pytest.mark.timeout(180)


def limited(uses: int) -> Limits:
    at = now_ms()
    return Limits(valid_from_ms=at - 60_000, valid_to_ms=at + 30 * DAY_MS, data_life_days=30, max_uses=uses)


def uses_of(live: Live, record: str) -> int:
    with sqlite3.connect(f"file:{live.network.node_home('tax-1') / 'node.db'}?mode=ro", uri=True) as database:
        row = database.execute("SELECT total FROM uses WHERE record_id = ?", (record,)).fetchone()
        return int(row[0]) if row else 0


def test_a_withdrawal_is_acknowledged_and_the_next_query_is_refused(live: Live) -> None:
    enterprise, record = live.enterprise()
    with live.network.agent("bank-1") as bank:
        exchange = live.open_query(bank)
        live.query(bank, exchange, enterprise.uscc)
        reply = live.registry.revoke(enterprise, GOVERNMENT, record)
        assert [each.node_id for each in reply.acknowledgements] == ["tax-1"]
        assert reply.acknowledgements[0].after_ms < 1000
        with pytest.raises(NodeError) as refusal:
            live.query(bank, exchange, enterprise.uscc)
    assert refusal.value.reason == "CONSENT_REVOKED"


@pytest.mark.parametrize("victim", ["tax-1", "hub", "bank-1"])
def test_kill_9_in_the_middle_of_queries_loses_and_doubles_none(live: Live, victim: str) -> None:
    enterprise, record = live.enterprise(limits=limited(200))
    keys = [str(uuid.uuid4()) for _ in range(60)]
    answered: dict[str, bytes] = {}

    def ask_until_answered(key: str) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                with live.network.agent("bank-1") as bank:
                    exchange = live.open_query(bank, f"kill {victim}")
                    answered[key] = live.query(bank, exchange, enterprise.uscc, key).records_json
                    return
            except NodeError as error:
                assert error.code != "USE_REFUSED", error.reason
                time.sleep(0.3)

    def ask_all(part: list[str]) -> None:
        for key in part:
            ask_until_answered(key)

    threads = [threading.Thread(target=ask_all, args=(keys[start::3],)) for start in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.25)
    live.kill_and_restart(victim)
    for thread in threads:
        thread.join(120)
    assert set(answered) == set(keys)
    assert len(set(answered.values())) == 1
    assert uses_of(live, record) == len(keys)


@pytest.mark.parametrize("victim", ["tax-1", "hub", "bank-1"])
def test_kill_9_in_the_middle_of_a_transfer_is_resumed_and_complete(live: Live, victim: str, tmp_path: Path) -> None:
    enterprises = [live.enterprise(ItemMode.R) for _ in range(5)]
    out = tmp_path / "received"

    def fetch() -> None:
        deadline = time.monotonic() + 100
        while not (out / "manifest.json").exists() and time.monotonic() < deadline:
            try:
                with live.network.agent("bank-1") as bank:
                    for _ in bank.fetch(live.fetch_request(out)):
                        pass
            except NodeError:
                time.sleep(0.3)

    fetching = threading.Thread(target=fetch)
    fetching.start()
    time.sleep(0.05)
    live.kill_and_restart(victim)
    fetching.join(120)
    manifest = json.loads((out / "manifest.json").read_text())
    rows = pq.ParquetDataset(out / GOVERNMENT_ITEM).read().to_pylist()
    codes = [row["uscc"] for row in rows]
    assert len(codes) == len(set(codes)) == manifest["rows"]
    assert {enterprise.uscc for enterprise, _ in enterprises} <= set(codes)
    assert all(uses_of(live, record) >= 1 for _, record in enterprises)


def test_what_was_acknowledged_survives_kill_9_of_the_hub_in_the_middle_of_grants(live: Live) -> None:
    acknowledged: list[str] = []
    stop = threading.Event()

    def grant() -> None:
        while not stop.is_set():
            try:
                acknowledged.append(live.enterprise()[1])
            except Exception:
                if stop.wait(0.2):
                    return

    granting = threading.Thread(target=grant)
    granting.start()
    wait_until("some consents are acknowledged", lambda: len(acknowledged) >= 3)
    live.kill_and_restart("hub")
    stop.set()
    granting.join(60)

    def held() -> set[str]:
        with sqlite3.connect(f"file:{live.network.node_home('tax-1') / 'node.db'}?mode=ro", uri=True) as database:
            return {row[0] for row in database.execute("SELECT record_id FROM consent_rows")}

    wait_until("the node holds them", lambda: set(acknowledged) <= held())
    assert live.status("tax-1").alarm == ""


def test_a_revoked_node_is_cut_off_within_a_second_and_cannot_come_back(live: Live) -> None:
    live.network.add_node("first-bank", "bank-2")
    command("hub", "revoke-node", "bank-2", "--home", str(live.network.hub_home), "--reason", "stolen")
    began = time.monotonic()
    wait_until("the node is cut off", lambda: not live.status("bank-2").connected, 5)
    assert time.monotonic() - began < 1.0
    live.network.processes["bank-2"].stop()
    with pytest.raises(DemoFailed):
        live.network.processes["bank-2"].start()
        wait_until("it is connected again", lambda: live.network._serves("bank-2"), 4)
    live.network.processes["bank-2"].stop()


def test_a_token_is_good_for_one_node_only(live: Live, tmp_path: Path) -> None:
    invited = command("hub", "invite", "first-bank", "--home", str(live.network.hub_home), "--node", "bank-3")
    command("node", "enrol", "--home", str(tmp_path / "one"), "--token", str(invited["token"]))
    with pytest.raises(DemoFailed, match="TOKEN_INVALID"):
        command("node", "enrol", "--home", str(tmp_path / "two"), "--token", str(invited["token"]))


def test_a_transfer_is_deleted_when_its_time_is_over_and_the_deletion_is_attested(live: Live, tmp_path: Path) -> None:
    live.enterprise(ItemMode.R)
    out = tmp_path / "received"
    with live.network.agent("bank-1") as bank:
        *_, last = bank.fetch(live.fetch_request(out))
        assert last.phase == "finished"
        due = json.loads((out / "manifest.json").read_text())["delete_by_ms"]
        assert last.exchange_id not in bank.call("Purge", agent_pb2.PurgeRequest(at_ms=due - 1)).deleted_exchanges
        deleted = bank.call("Purge", agent_pb2.PurgeRequest(at_ms=due)).deleted_exchanges
    assert last.exchange_id in deleted
    assert not out.exists()
    wait_until("the attestation is sent", lambda: live.status("bank-1").outbox_waiting == 0)
