"""What a hub tells its operators of nodes, logs and exchanges, as the portal reads it over the operator socket."""

from __future__ import annotations

import asyncio

import pytest
from xinqiao.v1 import node_pb2

from cli.portal_link import HubLinkByCall
from hub.exchanges import service
from hub.logs import checkpoints
from nodes.credentials import HubFacts
from portal.errors import PortalError
from portal.hub_link import NodeStatus, Operations
from tests.hub.live import BANK, BANK_NODE, PROVIDER, PROVIDER_NODE, LiveHub, until


def link(live: LiveHub) -> HubLinkByCall:
    settings, keys = live.hub.settings, live.hub.keys
    facts = HubFacts(
        public_address=settings.public_address,
        node_address=settings.node_address,
        authority_pem=keys.authority_cert,
        hub_key=keys.public,
    )
    return HubLinkByCall(facts, settings.socket)


async def told(live: LiveHub, member_id: str | None = None) -> Operations:
    return await asyncio.to_thread(link(live).operations, member_id)


def nodes(found: Operations) -> dict[str, NodeStatus]:
    return {node.node_id: node for member in found.members for node in member.nodes}


async def test_the_hub_tells_who_is_there_and_how_much_of_each_log_each_node_has_confirmed(live: LiveHub) -> None:
    await live.provider.connect(version="9.1")
    await live.give_consent()

    def confirmed() -> bool:
        sizes = {head.origin: head.size for head in live.hub.db.read_now(checkpoints.acknowledged)}
        return sizes.get(f"consent/{PROVIDER}") == 1 and "directory" in sizes

    await until(confirmed)
    found = await told(live)
    provider, bank = nodes(found)[PROVIDER_NODE], nodes(found)[BANK_NODE]
    assert (provider.connected, provider.version, provider.revoked) == (True, "9.1", False)
    assert (bank.connected, bank.version, bank.acknowledged) == (False, "", ())
    assert provider.certificate_ends_ms > found.time_ms
    logs, heads = ({head.origin: head for head in each} for each in (found.logs, provider.acknowledged))
    own = f"consent/{PROVIDER}"
    assert set(heads) == {"directory", own} and heads[own].size == logs[own].size == 1
    assert all(0 <= found.time_ms - logs[origin].time_ms < 60_000 for origin in logs), logs
    assert all(head.time_ms <= logs[origin].time_ms for origin, head in heads.items())


async def test_the_hub_tells_of_exchanges_how_far_they_are_and_to_a_member_only_of_its_own(
    sqlite_live: LiveHub,
) -> None:
    live = sqlite_live
    await live.provider.connect()
    await live.bank.connect()
    await live.give_consent()
    going, ended = [(await live.bank.open_exchange()).exchange_id for _ in range(2)]
    join = node_pb2.AnswerExchangeRequest(exchange_id=going, answer="join")
    await live.provider.exchanges.AnswerExchange(join)
    step = node_pb2.ReportProgressRequest(exchange_id=going, done=3, total=8, unit="records")
    await live.provider.exchanges.ReportProgress(step)
    over = node_pb2.EndExchangeRequest(exchange_id=ended, state="cancelled", reason="enough")
    await live.bank.exchanges.EndExchange(over)
    await live.admit("stranger", "bank")

    found = {one.exchange_id: one for one in (await told(live)).exchanges}
    one = found[going]
    assert (one.state, one.done, one.total, one.unit, one.ended_ms) == ("joined", 3, 8, "records", 0)
    assert (one.requester_node, one.provider_node) == (BANK_NODE, PROVIDER_NODE)
    assert one.opened_ms <= one.active_ms
    assert (found[ended].state, found[ended].reason) == ("cancelled", "enough") and found[ended].ended_ms > 0
    assert len((await told(live, BANK)).exchanges) == 2
    none = await told(live, "stranger")
    assert (none.exchanges, [member.member_id for member in none.members]) == ((), ["stranger"])


async def test_an_open_exchange_is_told_of_however_many_ended_after_it(
    sqlite_live: LiveHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = sqlite_live
    monkeypatch.setattr(service, "MAX_LISTED", 2)
    await live.provider.connect()
    await live.bank.connect()
    await live.give_consent()
    first = (await live.bank.open_exchange()).exchange_id
    for _ in range(3):
        later = (await live.bank.open_exchange()).exchange_id
        await live.bank.exchanges.EndExchange(node_pb2.EndExchangeRequest(exchange_id=later, state="cancelled"))
    found = (await told(live)).exchanges
    assert [one.state for one in found] == ["cancelled", "cancelled", "opened"] and found[-1].exchange_id == first


async def test_a_hub_that_is_not_there_is_unavailable(sqlite_live: LiveHub) -> None:
    facts = link(sqlite_live)._facts
    with pytest.raises(PortalError, match="does not answer"):
        HubLinkByCall(facts, sqlite_live.hub.settings.home / "nowhere.sock").operations(None)
