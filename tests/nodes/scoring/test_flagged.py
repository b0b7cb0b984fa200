"""What looks like probing reaches the operator: by the doctor, and by Prometheus."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from nodes.errors import SettingsInvalid
from nodes.metrics import NodeMetrics, NodeState
from nodes.scoring import spent
from nodes.scoring.flagged import check_probing, watched
from nodes.scoring.limits import DAY_MS, PROBING_MODELS, Flag
from nodes.store import Store

NOW = 1_900_000_000_000
CODE = "91110000600037341L"
STATE = NodeState(connected=True, alarmed=False, consents=7, open_exchanges=2)


async def scored(database: Path, models: int) -> None:
    """A node at which a bank has tried so many models over the same column; in its database, whose agent runs."""
    store = Store.open(database)

    def spend(connection: object) -> None:
        for number in range(models):
            tried = spent.Model(requester="bank", model=f"{number:064x}", fields=frozenset({"i.x"}), created_ms=NOW)
            spent.spend(connection, tried, [CODE], NOW)  # type: ignore[arg-type]

    await store.write(spend)
    seen = Flag(what="spread_misdeclared", models=("a" * 64,), sentence="Columns are distributed otherwise.")
    await store.write(lambda connection: spent.flag(connection, "bank", seen, NOW) if models > 1 else None)
    assert watched(database, NOW)[0].requester == "bank"
    await store.close()


async def test_the_doctor_says_who_may_be_probing_and_what_to_do(tmp_path: Path) -> None:
    database = tmp_path / "node.db"
    assert check_probing(database, NOW).ok
    await scored(database, PROBING_MODELS + 1)
    found = check_probing(database, NOW)
    assert (found.check, found.ok) == ("probing", False)
    assert "bank: 11 models over the same 1 features" in found.what
    assert "Columns are distributed otherwise." in found.what
    assert "refuse_probing" in found.fix


async def test_an_honest_requester_is_no_finding_and_a_damaged_database_is(tmp_path: Path) -> None:
    database = tmp_path / "node.db"
    await scored(database, 1)
    assert check_probing(database, NOW + DAY_MS).what.startswith("1 requesters have scored here; nothing")
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no database at all" * 100)
    assert "cannot be read" in check_probing(damaged, NOW).what
    (tmp_path / "older.db").touch()
    assert check_probing(tmp_path / "older.db", NOW).ok


async def test_prometheus_reads_flags_by_requester_and_pattern(tmp_path: Path) -> None:
    database = tmp_path / "node.db"
    await scored(database, PROBING_MODELS + 1)
    metrics = NodeMetrics(database, lambda: NOW, lambda: STATE)
    text = generate_latest(metrics.registry).decode()
    for line in (
        'xinqiao_node_probing_flags{requester="bank",what="many_alike"} 1.0',
        'xinqiao_node_probing_flags{requester="bank",what="hardly_used"} 0.0',
        'xinqiao_node_probing_flags{requester="bank",what="spread_misdeclared"} 1.0',
        'xinqiao_node_scores_today{requester="bank"} 11.0',
        'xinqiao_node_scoring_models{requester="bank"} 11.0',
        "xinqiao_node_connected 1.0",
        "xinqiao_node_consents 7.0",
    ):
        assert line in text.splitlines(), text
    assert CODE not in text


def test_metrics_are_served_where_the_settings_say_and_a_bad_address_is_named(tmp_path: Path) -> None:
    metrics = NodeMetrics(tmp_path / "node.db", lambda: NOW, lambda: STATE)
    port = metrics.serve("127.0.0.1:0")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert b"xinqiao_node_open_exchanges 2.0" in answer.read()
        for address in (f"127.0.0.1:{port}", "nowhere", "127.0.0.1:999999"):
            with pytest.raises(SettingsInvalid, match="free host:port"):
                NodeMetrics(tmp_path / "node.db", lambda: NOW, lambda: STATE).serve(address)
    finally:
        metrics.close()
