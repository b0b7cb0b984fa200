"""The monitor against a hub that loses, moves or rewrites receipts."""

# ruff: noqa: S311 (jitter protects nothing)

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from nodes.backoff import Backoff
from nodes.errors import Alarm, AlarmKind, HubUnavailable, NodeError
from nodes.monitor import GRACE_MS, Monitor
from nodes.outbox import Outbox, write_receipt
from nodes.replica_store import ReplicaKeeper, load_head
from nodes.store import Store
from tests.nodes.hub_simulator import NOW_MS, PROVIDER, HubSimulator
from tests.nodes.test_outbox import KEY, NODE, make_receipt
from trust.merkle import leaf_hash
from trust.sm2 import PrivateKey

USAGE = "usage"


@dataclass
class Usage:
    """The hub's usage log: takes receipts, and proves them unless told to lie."""

    hub: HubSimulator = field(default_factory=HubSimulator)
    lies: dict[str, Any] = field(default_factory=dict)
    moved: int = 0
    path: Sequence[bytes] | None = None
    at_most: int | None = None
    asked: list[tuple[str, int, int]] = field(default_factory=list)
    away: NodeError | None = None

    def __post_init__(self) -> None:
        self.hub.logs[USAGE] = []

    async def submit_receipts(self, signed: Sequence[bytes]) -> Sequence[int]:
        return [self.hub.append(USAGE, leaf) for leaf in signed]

    async def submit_batch_subjects(self, receipt_id: str, first_index: int, uses: Sequence[bytes]) -> None:
        raise AssertionError

    async def submit_deletion(self, attestation: bytes) -> int:
        raise AssertionError

    async def checkpoint(self) -> bytes:
        if self.away is not None:
            raise self.away
        return self.hub.checkpoint(USAGE, **self.lies)

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        self.asked.append(("consistency", old_size, new_size))
        return self.hub.consistency(USAGE, old_size, new_size)

    async def inclusion(self, indexes: Sequence[int], size: int) -> Sequence[tuple[bytes, Sequence[bytes]]]:
        self.asked += [("inclusion", index, size) for index in indexes]
        proofs = []
        for index in indexes:
            place = (index + self.moved) % size
            path = self.hub.inclusion(USAGE, place, size) if self.path is None else self.path
            proofs.append((leaf_hash(self.hub.logs[USAGE][place]), path))
        return proofs[: self.at_most]


@dataclass
class World:
    """A node with some receipts at an honest hub."""

    store: Store
    usage: Usage
    keeper: ReplicaKeeper
    monitor: Monitor
    outbox: Outbox
    now_ms: list[int]
    cosigned: list[bytes]
    written: int = 0

    async def send(self, count: int) -> None:
        """Write receipts and let the outbox send them."""
        for _ in range(count):
            receipt = make_receipt(self.written)
            await self.store.write(lambda c, receipt=receipt: write_receipt(c, receipt))  # type: ignore[misc]
            self.written += 1
        while await self.outbox.work_once():
            pass

    async def included(self) -> int:
        """Return how many receipts are proved."""
        return (await self.outbox.status()).included


@pytest_asyncio.fixture
async def world(store: Store) -> World:
    usage, now_ms, cosigned = Usage(), [NOW_MS], []

    def clock() -> int:
        return now_ms[0]

    async def cosign(document: bytes) -> None:
        head = await store.read(lambda c: load_head(c, USAGE))
        assert head is not None
        assert head.checkpoint_document == document  # stored before it is cosigned
        cosigned.append(document)

    keeper = await ReplicaKeeper.load(store, member_id=PROVIDER, hub_key=usage.hub.key.public, clock=clock)
    backoff = Backoff(random.Random(1))
    return World(
        store=store,
        usage=usage,
        keeper=keeper,
        monitor=Monitor(
            store=store,
            keeper=keeper,
            log=usage,
            cosign=cosign,
            clock=clock,
            interval_s=0.01,
            proofs_per_round=100,
            retention_days=10,
        ),
        outbox=Outbox(store=store, sink=usage, node_id=NODE, key=KEY, clock=clock, backoff=backoff),
        now_ms=now_ms,
        cosigned=cosigned,
    )


async def test_receipts_are_proved_against_a_growing_log(world: World) -> None:
    await world.send(3)
    assert await world.monitor.check_once() == 3
    await world.send(20)
    world.usage.hub.time_ms += 2000
    assert await world.monitor.check_once() == 20
    assert await world.included() == 23
    assert ("consistency", 3, 23) in world.usage.asked
    assert len(world.cosigned) == 2
    assert await world.monitor.check_once() == 0


async def test_the_number_of_proofs_in_a_round_is_bounded(world: World) -> None:
    await world.send(250)
    rounds = [await world.monitor.check_once() for _ in range(3)]
    assert rounds == [100, 100, 50]


async def test_fewer_proofs_than_were_asked_for_prove_nothing(world: World) -> None:
    await world.send(3)
    world.usage.at_most = 2
    with pytest.raises(NodeError, match="2 proofs for 3 receipts"):
        await world.monitor.check_once()
    assert await world.included() == 0
    world.usage.at_most = None
    assert await world.monitor.check_once() == 3


async def test_a_receipt_without_a_checkpoint_yet_is_waited_for(world: World) -> None:
    await world.send(2)
    world.usage.lies = {"size": 1}
    assert await world.monitor.check_once() == 1
    world.usage.lies = {}
    assert await world.monitor.check_once() == 1


Lie = Callable[[World], None]


def loses_a_receipt(world: World) -> None:
    world.usage.hub.logs[USAGE].pop()
    world.usage.hub.time_ms += GRACE_MS + 1
    world.now_ms[0] += GRACE_MS + 1


def replaces_a_receipt(world: World) -> None:
    world.usage.hub.logs[USAGE][-1] = b"another"


def shows_another_entry(world: World) -> None:
    world.usage.moved = -1


def proves_nothing(world: World) -> None:
    world.usage.path = ()


def signs_with_another_key(world: World) -> None:
    world.usage.lies = {"key": PrivateKey.generate()}


@pytest.mark.parametrize(
    ("lie", "kind"),
    [
        (loses_a_receipt, AlarmKind.RECEIPT_MISSING),
        (replaces_a_receipt, AlarmKind.INCLUSION_UNPROVED),
        (shows_another_entry, AlarmKind.INCLUSION_UNPROVED),
        (proves_nothing, AlarmKind.INCLUSION_UNPROVED),
        (signs_with_another_key, AlarmKind.CHECKPOINT_FORGED),
    ],
)
async def test_a_lie_about_a_receipt_is_named(world: World, lie: Lie, kind: AlarmKind) -> None:
    await world.send(3)
    lie(world)
    with pytest.raises(Alarm) as caught:
        await world.monitor.check_once()
    assert caught.value.kind == kind, caught.value.message
    assert await world.included() < 3


def forks(world: World) -> None:
    world.usage.hub.logs[USAGE][0] = b"rewritten"


def forgets(world: World) -> None:
    del world.usage.hub.logs[USAGE][2:]


def shows_an_older_head(world: World) -> None:
    world.usage.lies = {"time_ms": NOW_MS - 1}


@pytest.mark.parametrize(
    ("lie", "kind"),
    [
        (forks, AlarmKind.LOG_FORKED),
        (forgets, AlarmKind.CHECKPOINT_OLD),
        (shows_an_older_head, AlarmKind.CHECKPOINT_OLD),
    ],
)
async def test_a_log_that_does_not_extend_what_was_seen_is_named(world: World, lie: Lie, kind: AlarmKind) -> None:
    await world.send(4)
    assert await world.monitor.check_once() == 4
    await world.send(4)
    lie(world)
    with pytest.raises(Alarm) as caught:
        await world.monitor.check_once()
    assert caught.value.kind == kind, caught.value.message
    assert await world.included() == 4


async def test_a_checkpoint_of_another_log_is_refused(world: World) -> None:
    await world.send(1)
    world.usage.hub.logs["directory"] = world.usage.hub.logs[USAGE]
    forged = world.usage.hub.checkpoint("directory")

    async def checkpoint() -> bytes:
        return forged

    world.usage.checkpoint = checkpoint  # type: ignore[method-assign]
    with pytest.raises(Alarm) as caught:
        await world.monitor.check_once()
    assert caught.value.kind == AlarmKind.ORIGIN_FOREIGN


async def test_a_running_monitor_latches_the_alarm_and_keeps_it(world: World) -> None:
    await world.send(3)
    replaces_a_receipt(world)
    task = asyncio.ensure_future(world.monitor.run())
    async with asyncio.timeout(10):
        while "INCLUSION_UNPROVED" not in world.monitor.last_error:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    alarm = world.keeper.replica.alarm
    assert alarm is not None
    assert alarm.kind == AlarmKind.INCLUSION_UNPROVED
    assert not world.keeper.replica.freshness(NOW_MS, 60_000).consistent
    kept = await world.store.read(lambda c: c.execute("SELECT kind FROM alarms").fetchall())
    assert kept == [("INCLUSION_UNPROVED",)]


async def test_a_hub_that_is_away_is_no_alarm(world: World) -> None:
    await world.send(1)
    world.usage.away = HubUnavailable("restarting")
    task = asyncio.ensure_future(world.monitor.run())
    async with asyncio.timeout(10):
        while "UNAVAILABLE" not in world.monitor.last_error:
            await asyncio.sleep(0.01)
        world.usage.away = None
        while await world.included() < 1:
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.keeper.replica.alarm is None


async def test_receipts_past_their_retention_are_forgotten_once_proved(world: World) -> None:
    await world.send(2)
    assert await world.monitor.check_once() == 2
    world.now_ms[0] += 11 * 86_400_000
    world.usage.hub.time_ms = world.now_ms[0]
    await world.send(1)
    await world.monitor.check_once()
    kept = await world.store.read(lambda c: c.execute("SELECT seq, state FROM outbox").fetchall())
    assert kept == [(3, "included")]
    assert await world.included() == 3  # of all that were ever written
