from __future__ import annotations

import asyncio
from typing import Any

import pytest
from xinqiao.v1 import node_pb2

from consent.directory import MEMBER_SUSPENDED_TYPE, MemberSuspended
from consent.documents import encode
from hub.logs import service as logs
from hub.members import service as members
from hub.push import rpc as push_rpc
from hub.push.feed import Entries
from nodes.replica import Replica
from tests.hub.live import (
    BANK,
    BANK_NODE,
    OPERATOR,
    PROVIDER,
    USCC,
    LiveHub,
    Node,
    code_of,
    consent_request,
    now_ms,
    refused_with,
    until,
)
from trust.checkpoint import Checkpoint
from trust.document import SignedDocument, sign_document

CONSENTS = f"consent/{PROVIDER}"


def believe(live: LiveHub, node: Node, replica: Replica | None = None) -> Replica:
    """Give every event to the verified replica that a real node runs; it raises an alarm at the first lie."""
    replica = replica or Replica(member_id=node.member_id, hub_key=live.hub.keys.public)
    for event in node.events:
        kind = event.WhichOneof("event")
        if kind == "entries":
            replica.apply_entries(event.entries.origin, event.entries.first_index, event.entries.leaves)
        elif kind == "checkpoint":
            replica.apply_checkpoint(event.checkpoint, now_ms())
        elif kind == "grantee_entry":
            entry = event.grantee_entry
            replica.apply_grantee_entry(
                seq=entry.seq,
                origin=entry.origin,
                index=entry.index,
                leaf=entry.leaf,
                checkpoint=entry.checkpoint,
                path=tuple(entry.path),
                now_ms=now_ms(),
            )
    return replica


def positions(replica: Replica) -> list[node_pb2.LogPosition]:
    return [node_pb2.LogPosition(origin=origin, size=size) for origin, size in replica.positions()]


async def history(live: LiveHub) -> Any:
    """A request, its grant, a further consent, a revocation."""
    document = consent_request(live.bank)
    reply = await live.bank.consents.RequestConsent(node_pb2.RequestConsentRequest(document=document.encode()))
    given = await live.give_consent(request_id=reply.request_id)
    await live.give_consent()
    await live.submit(live.sign_revocation(given))
    return given


async def test_a_nodes_verified_replica_believes_everything_that_is_pushed(live: LiveHub) -> None:
    await live.provider.connect()
    await live.bank.connect()
    given = await history(live)
    await until(lambda: len(live.provider.leaves(CONSENTS)) == 4 and len(live.bank.of("grantee_entry")) == 4)
    await until(lambda: any(checkpoint_of(one).size == 4 for one in live.provider.of("checkpoint")))
    provider, bank = believe(live, live.provider), believe(live, live.bank)
    for replica in (provider, bank):
        book = replica.own_book if replica is provider else replica.granted_book(PROVIDER)
        assert book is not None
        views = {view.record_id: view.revoked_ms for view in book.consents_of(USCC)}
        assert (len(views), views[given.record_id] is not None) == (2, True)
    assert [entry.seq for entry in live.bank.of("grantee_entry")] == [1, 2, 3, 4]
    assert live.bank.leaves(CONSENTS) == []
    assert not live.provider.of("grantee_entry")


def checkpoint_of(document: bytes) -> Checkpoint:
    return Checkpoint.decode(SignedDocument.decode(document).payload)


async def test_a_node_that_comes_back_continues_where_it_stood(live: LiveHub) -> None:
    await history(live)
    for node in (live.provider, live.bank):
        await node.connect()
    await until(lambda: len(live.provider.leaves(CONSENTS)) == 4 and len(live.bank.of("grantee_entry")) == 4)
    replicas = [believe(live, node) for node in (live.provider, live.bank)]
    for node in (live.provider, live.bank):
        await node.disconnect()
        node.events.clear()
    await live.give_consent()
    for node, replica in zip((live.provider, live.bank), replicas, strict=True):
        await node.connect(positions=positions(replica), grantee_seq=replica.grantee_seq)
    await until(lambda: live.provider.leaves(CONSENTS) and live.bank.of("grantee_entry"))
    assert (len(live.provider.leaves(CONSENTS)), len(live.bank.of("grantee_entry"))) == (1, 1)
    assert live.provider.leaves("directory") == []
    for node, replica in zip((live.provider, live.bank), replicas, strict=True):
        believe(live, node, replica)


async def test_checkpoints_keep_coming_while_nothing_happens(sqlite_live: LiveHub) -> None:
    await sqlite_live.provider.connect()
    await until(lambda: len(sqlite_live.provider.of("checkpoint")) >= 6)
    times = [
        checkpoint_of(one).time_ms
        for one in sqlite_live.provider.of("checkpoint")
        if checkpoint_of(one).origin == CONSENTS
    ]
    assert times == sorted(set(times))


async def test_a_newer_stream_of_the_same_node_ends_the_older(sqlite_live: LiveHub) -> None:
    node = sqlite_live.provider
    older = node.control.Subscribe(node_pb2.SubscribeRequest(time_ms=now_ms()))
    await older.read()
    await node.connect()
    with pytest.raises(Exception) as caught:
        while True:
            await older.read()
    assert code_of(caught.value) == "UNAVAILABLE"  # type: ignore[arg-type]
    assert sqlite_live.hub.sessions.connected() == [node.node_id]


async def test_a_node_with_a_wrong_clock_or_foreign_or_impossible_positions_is_refused(sqlite_live: LiveHub) -> None:
    node = sqlite_live.bank
    async with refused_with("CLOCK_SKEW"):
        await node.connect(time_ms=now_ms() - 120_000)
    async with refused_with("PERMISSION_DENIED"):
        await node.connect(positions=[node_pb2.LogPosition(origin=CONSENTS, size=0)])
    ahead = node_pb2.LogPosition(origin="directory", size=999)
    await node.connect(positions=[ahead])
    await until(lambda: node.ended is not None)
    assert code_of(node.ended) == "LOG_INCONSISTENT"  # type: ignore[arg-type]
    await node.connect(grantee_seq=7)
    await until(lambda: node.ended is not None)
    assert code_of(node.ended) == "LOG_INCONSISTENT"  # type: ignore[arg-type]


async def test_a_suspended_members_streams_end(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    await live.bank.connect()
    entry = MemberSuspended(member_id=BANK, reason="audit", time_ms=now_ms(), operator=OPERATOR)
    document = sign_document(MEMBER_SUSPENDED_TYPE, encode(entry), live.operator)
    await live.hub.db.write(lambda write: members.revoke(live.hub, write, document))
    await until(lambda: live.bank.ended is not None, 1)
    assert code_of(live.bank.ended) == "MEMBER_SUSPENDED"  # type: ignore[arg-type]


async def test_a_cosignature_by_another_key_or_on_a_foreign_log_is_refused(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    await live.provider.connect(cosigns=False)
    await until(lambda: len(live.provider.of("checkpoint")) >= 2)
    own = next(one for one in live.provider.of("checkpoint") if checkpoint_of(one).origin == CONSENTS)
    async with refused_with("SIGNATURE_INVALID"):
        await live.provider.control.Cosign(node_pb2.CosignRequest(checkpoint=own))
    async with refused_with("PERMISSION_DENIED"):
        await live.bank.cosign(own)


async def test_the_hub_answers_a_ping_and_limits_its_size(sqlite_live: LiveHub) -> None:
    reply = await sqlite_live.bank.control.Ping(node_pb2.PingRequest(payload=b"x" * 1000))
    assert (reply.payload, abs(reply.time_ms - now_ms()) < 5000) == (b"x" * 1000, True)
    async with refused_with("TOO_LARGE"):
        await sqlite_live.bank.control.Ping(node_pb2.PingRequest(payload=bytes((4 << 20) + 1)))


def test_entries_travel_in_parts_of_bounded_size_without_gaps() -> None:
    leaves = (*(bytes([number]) * 300_000 for number in range(10)), b"y" * (2 << 20), b"z")
    parts = [event.entries for event in push_rpc.encode(Entries(origin="o", first_index=5, leaves=leaves))]
    assert [leaf for part in parts for leaf in part.leaves] == list(leaves)
    expected = 5
    for part in parts:
        assert part.first_index == expected
        expected += len(part.leaves)
        assert len(part.leaves) == 1 or sum(map(len, part.leaves)) <= push_rpc.EVENT_BYTES


async def test_a_large_log_arrives_complete_and_in_order(sqlite_live: LiveHub) -> None:
    """More leaves than fit into one reading; their content does not matter to the hub."""
    live = sqlite_live
    leaves = [b"%d" % number for number in range(2500)]
    await live.hub.db.write(lambda write: logs.append(write, f"consent/{BANK}", leaves))
    await live.bank.connect(cosigns=False)
    await until(lambda: len(live.bank.leaves(f"consent/{BANK}")) == 2500)
    assert live.bank.leaves(f"consent/{BANK}") == leaves
    await until(lambda: any(checkpoint_of(one).size == 2500 for one in live.bank.of("checkpoint")))
    await asyncio.sleep(0)
    assert live.hub.sessions.connected() == [BANK_NODE]
