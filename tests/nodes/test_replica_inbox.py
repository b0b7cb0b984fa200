"""Entries of other members' consent logs: proved, in order, and of one history, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodes.errors import Alarm, AlarmKind
from nodes.replica import Replica
from tests.nodes.hub_simulator import BANK, CONSENTS, DIRECTORY, PROVIDER, HubSimulator
from tests.nodes.told_replica import World
from trust.sm2 import PrivateKey


@pytest.fixture
def bank() -> World:
    """A bank's node, and a consent in the provider's log that names it."""
    hub = HubSimulator()
    enterprise = hub.register(1)
    hub.grant(hub.register(2))
    consent = hub.grant(enterprise)
    hub.logs[f"consent/{BANK}"] = []
    made = World(hub, Replica(member_id=BANK, hub_key=hub.key.public), enterprise, consent.record_id)
    made.send(DIRECTORY)
    made.sign(DIRECTORY)
    return made


def honest(world: World, seq: int, index: int) -> dict[str, Any]:
    """Return what an honest hub sends of the provider's log into the bank's inbox."""
    hub, size = world.hub, len(world.hub.logs[CONSENTS])
    return {
        "seq": seq,
        "origin": CONSENTS,
        "index": index,
        "leaf": hub.logs[CONSENTS][index],
        "checkpoint": hub.checkpoint(CONSENTS),
        "path": hub.inclusion(CONSENTS, index, size),
        "now_ms": hub.time_ms,
    }


def inbox(world: World, seq: int, index: int) -> None:
    """Send an entry of the provider's log into the bank's inbox."""
    world.replica.apply_grantee_entry(**honest(world, seq, index))


def granted(world: World) -> list[str]:
    book = world.replica.granted_book(PROVIDER)
    assert book is not None
    return [view.record_id for view in book.consents_of(world.enterprise.uscc)]


def test_a_proved_entry_of_another_log_is_believed(bank: World) -> None:
    assert bank.replica.granted_book(PROVIDER) is None
    inbox(bank, 1, 1)
    assert granted(bank) == [bank.record_id]
    assert bank.replica.grantee_seq == 1
    pending = bank.replica.drain()
    assert [(entry.seq, entry.index) for entry in pending.inbox] == [(1, 1)]
    assert CONSENTS in {head.origin for head in pending.heads}


INBOX_LIES: list[tuple[str, Callable[[World], dict[str, object]], AlarmKind]] = [
    ("skips", lambda w: {"seq": 2}, AlarmKind.INDEX_SKIPPED),
    ("repeats", lambda w: {"seq": 0}, AlarmKind.INDEX_REPEATED),
    ("no_proof", lambda w: {"path": ()}, AlarmKind.INCLUSION_UNPROVED),
    ("wrong_index", lambda w: {"index": 0}, AlarmKind.INCLUSION_UNPROVED),
    ("other_leaf", lambda w: {"leaf": w.hub.logs[CONSENTS][0]}, AlarmKind.INCLUSION_UNPROVED),
    ("other_log", lambda w: {"checkpoint": w.hub.checkpoint(DIRECTORY)}, AlarmKind.INCLUSION_UNPROVED),
    ("own_log", lambda w: {"origin": f"consent/{BANK}"}, AlarmKind.ORIGIN_FOREIGN),
    ("no_consent_log", lambda w: {"origin": "usage"}, AlarmKind.ORIGIN_FOREIGN),
    (
        "other_key",
        lambda w: {"checkpoint": w.hub.checkpoint(CONSENTS, key=PrivateKey.generate())},
        AlarmKind.CHECKPOINT_FORGED,
    ),
]


@pytest.mark.parametrize(("lie", "kind"), [line[1:] for line in INBOX_LIES], ids=[line[0] for line in INBOX_LIES])
def test_a_lie_in_the_inbox_is_refused_and_named(
    bank: World, lie: Callable[[World], dict[str, object]], kind: AlarmKind
) -> None:
    with pytest.raises(Alarm) as caught:
        bank.replica.apply_grantee_entry(**(honest(bank, 1, 1) | lie(bank)))
    assert caught.value.kind == kind, caught.value.message
    assert bank.replica.grantee_seq == 0


def test_a_forged_consent_in_the_inbox_is_refused(bank: World) -> None:
    forged = bank.hub.entry("consent", bank.hub.consent(bank.enterprise), PrivateKey.generate())
    bank.hub.append(CONSENTS, forged)
    with pytest.raises(Alarm) as caught:
        inbox(bank, 1, 2)
    assert caught.value.kind == AlarmKind.ENTRY_FORGED


def test_two_histories_of_another_log_are_noticed(bank: World) -> None:
    inbox(bank, 1, 1)
    bank.hub.logs[CONSENTS] = [bank.hub.logs[CONSENTS][1], bank.hub.logs[CONSENTS][0]]
    with pytest.raises(Alarm) as caught:
        inbox(bank, 2, 0)
    assert caught.value.kind == AlarmKind.LOG_FORKED


def test_an_older_checkpoint_of_another_log_is_noticed(bank: World) -> None:
    inbox(bank, 1, 1)
    earlier = bank.hub.checkpoint(CONSENTS, time_ms=bank.hub.time_ms - 5000)
    with pytest.raises(Alarm) as caught:
        bank.replica.apply_grantee_entry(**(honest(bank, 2, 0) | {"checkpoint": earlier}))
    assert caught.value.kind == AlarmKind.CHECKPOINT_OLD
