"""The node's connection over real sockets, to an honest hub, a vanishing one and a lying one."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from xinqiao.v1 import errors_pb2, node_pb2

from nodes.errors import AlarmKind, HubRefused, HubUnavailable
from nodes.hub_channel import rpc
from nodes.hub_services import HubUsage, HubUsageLog
from nodes.replica_store import ReplicaKeeper
from nodes.store import Store
from tests.nodes.connected_node import KEY, World, connect, connected_node
from tests.nodes.hub_server import (
    USAGE,
    checkpoint_event,
    entries_event,
    until,
    utc_now,
)
from tests.nodes.hub_simulator import CONSENTS, DIRECTORY, NOW_MS, PROVIDER
from trust.certificates import create_authority
from trust.checkpoint import open_checkpoint, verify_witness
from trust.document import SignedDocument


@pytest_asyncio.fixture
async def world(store: Store) -> AsyncIterator[World]:
    async with connected_node(store) as made:
        yield made


async def test_a_node_catches_up_stores_and_cosigns(world: World) -> None:
    world.hub.grant(world.hub.register(1))
    await world.started()
    assert world.positions() == {DIRECTORY: 5, CONSENTS: 1}
    for document in world.served.cosigned:
        verify_witness(SignedDocument.decode(document), KEY.public)
    stored = await world.store.read(lambda c: c.execute("SELECT count(*) FROM log_entries").fetchone())
    assert stored == (6,)
    assert world.connection.status().connected
    assert world.connection.status().last_error == ""


async def test_a_revocation_arrives_and_is_acknowledged_within_a_second(world: World) -> None:
    enterprise = world.hub.register(1)
    consent = world.hub.grant(enterprise)
    await world.started()
    world.served.cosigned.clear()
    world.hub.revoke(enterprise, consent)
    async with asyncio.timeout(1):
        world.served.push_growth(CONSENTS, 1)
        await until(lambda: bool(world.served.cosigned))
    (view,) = world.keeper.replica.own_book.consents_of(enterprise.uscc)
    assert view.revoked_ms is not None


async def test_a_hub_that_restarts_is_followed_from_where_it_was_left(world: World) -> None:
    world.hub.grant(world.hub.register(1))
    await world.started()
    await world.site.stop()
    await until(lambda: not world.connection.status().connected)
    world.hub.grant(world.hub.register(2))
    await world.site.start()
    await until(lambda: world.positions() == {DIRECTORY: 6, CONSENTS: 2})
    last = {position.origin: position.size for position in world.served.subscriptions[-1].positions}
    assert last == {DIRECTORY: 5, CONSENTS: 1}
    assert world.connection.status().connected
    assert world.alarm() is None


async def test_a_stream_that_ends_is_opened_again(world: World) -> None:
    await world.started()
    world.served.drop_streams()
    await until(lambda: len(world.served.subscriptions) == 2)
    await until(lambda: world.connection.status().connected)


class OneEvent:
    """A push stream whose first read ends when the test says so; then it is silent."""

    def __init__(self) -> None:
        self.event: asyncio.Future[node_pb2.Event] = asyncio.get_running_loop().create_future()
        self.reading = asyncio.Event()

    def Subscribe(self, _: node_pb2.SubscribeRequest) -> OneEvent:
        return self

    async def read(self) -> node_pb2.Event:
        self.reading.set()
        if self.event.done():
            await asyncio.Event().wait()
        return await self.event

    def cancel(self) -> None:
        """Nothing to cancel."""


async def test_a_connection_ends_when_told_to_while_an_event_arrives(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = OneEvent()
    monkeypatch.setattr(world.connection, "_stubs", dataclasses.replace(world.connection.stubs, control=stream))
    running = asyncio.ensure_future(world.connection.run())
    await stream.reading.wait()
    stream.event.set_result(node_pb2.Event())
    await asyncio.sleep(0)  # the read is over, who reads has not been told
    running.cancel()
    ended, _ = await asyncio.wait({running}, timeout=30)
    running.cancel()
    assert ended == {running}


async def test_a_silent_stream_counts_as_dead(world: World) -> None:
    world.served.silent = True
    connection = connect(world.served, world.keeper, world.handler, silence_s=0.1)
    task = asyncio.ensure_future(connection.run())
    await until(lambda: len(world.served.subscriptions) >= 2)
    assert "UNAVAILABLE" in connection.status().last_error
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await connection.close()


@pytest.mark.parametrize("skew_ms", [61_000, -61_000])
async def test_clocks_that_differ_are_named_and_nothing_is_believed(world: World, skew_ms: int) -> None:
    world.served.welcome_ms = NOW_MS + skew_ms
    world.start()
    await until(lambda: world.connection.status().last_error.startswith("CLOCK_SKEW: "))
    assert not world.connection.status().connected
    assert world.positions() == {DIRECTORY: 0, CONSENTS: 0}
    assert ("behind" if skew_ms > 0 else "ahead") in world.connection.status().last_error


async def test_what_the_hub_says_about_a_refusal_is_told(world: World) -> None:
    world.served.refuse = errors_pb2.ErrorDetail(code=errors_pb2.NODE_REVOKED, message="This node was revoked.")
    world.start()
    await until(lambda: bool(world.connection.status().last_error))
    assert world.connection.status().last_error == "NODE_REVOKED: This node was revoked."


async def test_invitations_and_updates_are_passed_on(world: World) -> None:
    await world.started()
    world.served.push(
        node_pb2.Event(invitation=node_pb2.Invitation(request=b"r", ticket=b"t")),
        node_pb2.Event(),  # of a newer hub: left out
        node_pb2.Event(exchange=node_pb2.ExchangeUpdate(exchange_id="x", state="failed", reason="why")),
    )
    await until(lambda: bool(world.handler.updates))
    assert world.handler.invitations == [(b"r", b"t")]
    assert world.handler.updates == [("x", "failed", "why")]


async def test_an_entry_of_another_log_reaches_the_inbox(world: World) -> None:
    origin = "consent/platform"
    enterprise = world.hub.register(1)
    consent = world.hub.grant(enterprise, provider="platform")
    await world.started()
    world.served.push(
        node_pb2.Event(
            grantee_entry=node_pb2.GranteeEntry(
                seq=1,
                origin=origin,
                index=0,
                leaf=world.hub.logs[origin][0],
                checkpoint=world.hub.checkpoint(origin),
                path=world.hub.inclusion(origin, 0, 1),
            )
        )
    )
    await until(lambda: world.keeper.replica.grantee_seq == 1)
    book = world.keeper.replica.granted_book("platform")
    assert book is not None
    assert [view.record_id for view in book.consents_of(enterprise.uscc)] == [consent.record_id]


# -- a lying hub -------------------------------------------------------------------------------------------------------


def hide_a_revocation(world: World) -> AlarmKind:
    world.hub.logs[CONSENTS].append(b"the revocation that is not sent")
    world.served.push(checkpoint_event(world.hub, CONSENTS))
    return AlarmKind.ENTRY_HIDDEN


def fork(world: World) -> AlarmKind:
    world.served.push(checkpoint_event(world.hub, DIRECTORY, leaves=[b"x"] * len(world.hub.logs[DIRECTORY])))
    return AlarmKind.LOG_FORKED


def replay(world: World) -> AlarmKind:
    world.served.push(entries_event(world.hub, DIRECTORY, 0))
    return AlarmKind.INDEX_REPEATED


def go_back(world: World) -> AlarmKind:
    world.served.push(checkpoint_event(world.hub, DIRECTORY, time_ms=NOW_MS - 1))
    return AlarmKind.CHECKPOINT_OLD


def sign_with_another_key(world: World) -> AlarmKind:
    world.served.push(checkpoint_event(world.hub, DIRECTORY, key=KEY))
    return AlarmKind.CHECKPOINT_FORGED


def forge_an_entry_after_a_good_one(world: World) -> AlarmKind:
    good = world.hub.member("newcomer", "bank")
    world.served.push(entries_event(world.hub, DIRECTORY, len(world.hub.logs[DIRECTORY]), [good, b"garbage"]))
    return AlarmKind.ENTRY_INVALID


LIES = [hide_a_revocation, fork, replay, go_back, sign_with_another_key, forge_an_entry_after_a_good_one]


@pytest.mark.parametrize("lie", LIES, ids=[lie.__name__ for lie in LIES])
async def test_a_lie_ends_the_subscription_is_recorded_and_never_cosigned(world: World, lie: Any) -> None:
    world.hub.grant(world.hub.register(1))
    await world.started()
    cosigned, subscribed = len(world.served.cosigned), len(world.served.subscriptions)
    kind = lie(world)
    await until(lambda: world.alarm() is not None)
    assert world.alarm() == kind
    await until(lambda: not world.connection.status().connected)
    assert world.connection.status().last_error.startswith("LOG_INCONSISTENT: ")
    await asyncio.sleep(0.2)  # several times the longest wait before trying again
    assert len(world.served.cosigned) == cosigned
    assert len(world.served.subscriptions) == subscribed
    kept = await world.store.read(lambda c: c.execute("SELECT kind FROM alarms WHERE cleared_ms IS NULL").fetchall())
    assert kept == [(kind.value,)]
    assert not world.keeper.replica.freshness(NOW_MS, 60_000).consistent


async def test_after_an_operator_has_looked_the_node_goes_on(world: World) -> None:
    await world.started()
    fork(world)
    await until(lambda: world.alarm() is not None)
    await until(lambda: not world.connection.status().connected)
    await world.connection.clear_alarm("compared the roots")
    await until(lambda: world.connection.status().connected)
    world.hub.register(1)
    world.served.push_growth(DIRECTORY, 4)
    await until(lambda: world.positions()[DIRECTORY] == 5)
    assert world.alarm() is None


async def test_good_entries_before_a_bad_one_are_stored(world: World) -> None:
    await world.started()
    forge_an_entry_after_a_good_one(world)
    await until(lambda: not world.connection.status().connected)
    again = await ReplicaKeeper.load(
        world.store, member_id=PROVIDER, hub_key=world.hub.key.public, clock=lambda: NOW_MS
    )
    assert again.replica.directory.member("newcomer") is not None
    assert again.replica.alarm is not None


async def test_an_impostor_with_another_authority_is_not_talked_to(world: World) -> None:
    _, other_pem = create_authority("impostor", utc_now)
    facts = world.served.facts()
    pinned = type(facts)(
        public_address=facts.public_address,
        node_address=facts.node_address,
        authority_pem=other_pem,
        hub_key=facts.hub_key,
    )
    connection = connect(world.served, world.keeper, world.handler, hub=pinned)
    with pytest.raises(HubUnavailable):
        await rpc(connection.stubs.control.Ping(node_pb2.PingRequest(), timeout=5))
    await connection.close()
    assert world.served.subscriptions == []


# -- the other services ------------------------------------------------------------------------------------------------


async def test_receipts_and_proofs_travel_as_they_are(world: World) -> None:
    usage, log = HubUsage(world.connection), HubUsageLog(world.connection)
    assert await usage.submit_receipts([b"one", b"two"]) == [0, 1]
    await usage.submit_batch_subjects("r", 5, [b"u"])
    assert await usage.submit_deletion(b"d") == 0
    assert [(s.receipt_id, s.first_index, list(s.subject_uses)) for s in world.served.subjects] == [("r", 5, [b"u"])]
    assert world.served.deletions == [b"d"]
    checkpoint = open_checkpoint(SignedDocument.decode(await log.checkpoint()), world.hub.key.public)
    assert (checkpoint.origin, checkpoint.size) == (USAGE, 2)
    ((leaf, path),) = await log.inclusion([1], 2)
    assert (leaf, tuple(path)) == (world.hub.inclusion(USAGE, 0, 2)[0], world.hub.inclusion(USAGE, 1, 2))
    assert tuple(await log.consistency(1, 2)) == world.hub.consistency(USAGE, 1, 2)


async def test_a_refused_call_carries_the_hubs_code(world: World) -> None:
    world.served.refuse = errors_pb2.ErrorDetail(code=errors_pb2.SIGNATURE_INVALID, message="No.")
    with pytest.raises(HubRefused) as caught:
        await HubUsage(world.connection).submit_receipts([b"one"])
    assert caught.value.code == "SIGNATURE_INVALID"
