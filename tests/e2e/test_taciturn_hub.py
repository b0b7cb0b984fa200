"""A hub that relays but tells its nodes too little: what cannot be shown to be fresh is refused. The hub's database is PostgreSQL."""

from __future__ import annotations

import itertools
import time

import pytest

from cli.demo.cohort import GOVERNMENT
from cli.demo.network import wait_until
from nodes.client import AgentClient
from nodes.errors import NodeError
from tests.e2e.conftest import Live

pytestmark = pytest.mark.timeout(180)


def outcome(live: Live, bank: AgentClient, exchange: str, uscc: str) -> str:
    """Nothing for data, else the reason of the refusal."""
    try:
        live.query(bank, exchange, uscc)
    except NodeError as refusal:
        return refusal.reason
    return ""


def test_a_node_that_hears_nothing_new_refuses_until_it_does(taciturn: Live) -> None:
    live = taciturn
    enterprise, _ = live.enterprise()
    outcomes = []
    with live.network.agent("bank-1") as bank:
        exchange = live.open_query(bank)
        until = time.monotonic() + 15
        while time.monotonic() < until:
            outcomes.append(outcome(live, bank, exchange, enterprise.uscc))
            time.sleep(0.2)
    assert set(outcomes) == {"", "CONSENT_STALE"}
    changes = sum(one != other for one, other in itertools.pairwise(outcomes))
    assert changes >= 3  # it believes, doubts, believes, doubts


def test_a_hub_on_postgresql_keeps_what_it_acknowledged_through_kill_9(taciturn: Live) -> None:
    live = taciturn
    kept = [live.enterprise() for _ in range(3)]
    live.kill_and_restart("hub")
    live.network.restart("tax-1")
    wait_until("the node holds them", lambda: live.status("tax-1").consents >= len(kept))
    withdrawn, record = kept[0]
    reply = live.registry.revoke(withdrawn, GOVERNMENT, record)
    assert [each.node_id for each in reply.acknowledgements] == ["tax-1"]
    with live.network.agent("bank-1") as bank:
        exchange = live.open_query(bank)
        seen = {"": False, "CONSENT_REVOKED": False}

        def both() -> bool:
            for enterprise in (kept[1][0], withdrawn):
                said = outcome(live, bank, exchange, enterprise.uscc)
                if said != "CONSENT_STALE":
                    assert said == ("CONSENT_REVOKED" if enterprise is withdrawn else "")
                    seen[said] = True
            return all(seen.values())

        wait_until("the one is refused and the other answered", both)
