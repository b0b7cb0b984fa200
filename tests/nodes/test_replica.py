"""The replica against a hub that lies: each lie is refused, and the alarm says which it was."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from consent.directory import MemberAdmitted
from nodes.errors import Alarm, AlarmKind
from nodes.replica import Replica
from tests.nodes.hub_simulator import (
    CONSENTS,
    DIRECTORY,
    NOW_MS,
    OTHER_CONSENTS,
    OTHER_PROVIDER,
    PROVIDER,
    Enterprise,
    HubSimulator,
    make_uscc,
)
from tests.nodes.told_replica import World
from trust.document import SignedDocument
from trust.sm2 import PrivateKey

STALENESS_MS = 60_000


@pytest.fixture
def world() -> World:
    hub = HubSimulator()
    enterprise = hub.register(1)
    consent = hub.grant(enterprise)
    replica = Replica(member_id=PROVIDER, hub_key=hub.key.public)
    made = World(hub, replica, enterprise, consent.record_id)
    for origin in (DIRECTORY, CONSENTS):
        made.send(origin)
        made.sign(origin)
    return made


def revoke(world: World) -> bytes:
    """Let the enterprise revoke; returns the entry that the hub should send."""
    consent = world.hub.consent(world.enterprise, record_id=world.record_id)
    world.hub.revoke(world.enterprise, consent)
    return world.hub.logs[CONSENTS][-1]


# -- an honest hub ---------------------------------------------------------------------------------------------------


def test_an_honest_history_is_believed(world: World) -> None:
    assert world.consent() is None
    revoke(world)
    world.send(CONSENTS)
    world.sign(CONSENTS)
    assert world.consent() is not None
    assert world.replica.alarm is None
    assert dict(world.replica.positions()) == {DIRECTORY: len(world.hub.logs[DIRECTORY]), CONSENTS: 2}


def test_a_revocation_counts_before_the_checkpoint_over_it(world: World) -> None:
    revoke(world)
    world.send(CONSENTS)
    assert world.consent() is not None


def test_a_checkpoint_may_be_behind_the_entries(world: World) -> None:
    """The hub signs while entries are on their way; that is no lie."""
    world.hub.grant(world.hub.register(2))
    world.send(DIRECTORY)
    behind = world.hub.checkpoint(CONSENTS)
    world.hub.grant(world.enterprise)
    world.send(CONSENTS)
    accepted = world.replica.apply_checkpoint(behind, world.hub.time_ms)
    assert accepted.size == 2
    world.sign(CONSENTS)


def test_the_same_checkpoint_may_come_again(world: World) -> None:
    world.sign(CONSENTS)


def test_what_was_verified_is_drained_once(world: World) -> None:
    pending = world.replica.drain()
    assert [(e.origin, e.index) for e in pending.entries if e.origin == CONSENTS] == [(CONSENTS, 0)]
    assert {head.origin for head in pending.heads} == {DIRECTORY, CONSENTS}
    assert len(pending.changes) == 1
    assert world.replica.drain().empty


# -- a lying hub: an attack a line -----------------------------------------------------------------------------------

Attack = Callable[[World], None]


def hides_a_revocation(world: World) -> None:
    revoke(world)
    world.sign(CONSENTS)  # signs over it without having sent it


def hides_a_revocation_and_sends_the_next_entry(world: World) -> None:
    revoke(world)
    world.hub.grant(world.hub.register(2))
    world.send(DIRECTORY)
    world.send(CONSENTS, world.hub.logs[CONSENTS][2:], first_index=2)


def hides_a_revocation_behind_another_entry(world: World) -> None:
    """Sends a later entry under the revocation's index: the root gives it away."""
    honest = [*world.hub.logs[CONSENTS]]
    revoke(world)
    other = world.hub.register(2)
    world.send(DIRECTORY)
    world.hub.grant(other)
    shown = [*honest, world.hub.logs[CONSENTS][2]]
    world.send(CONSENTS, shown[1:])
    world.sign(CONSENTS, size=2)


def serves_an_old_checkpoint(world: World) -> None:
    old = world.hub.checkpoint(CONSENTS)
    revoke(world)
    world.hub.time_ms += 1000
    world.send(CONSENTS)
    world.sign(CONSENTS)
    world.replica.apply_checkpoint(old, world.hub.time_ms)


def sets_the_time_back(world: World) -> None:
    world.sign(CONSENTS, time_ms=world.hub.time_ms - 1)


def forks_its_log(world: World) -> None:
    other = [world.hub.entry("consent", world.hub.consent(world.enterprise), world.enterprise.key)]
    world.sign(CONSENTS, leaves=other)


def forks_the_directory(world: World) -> None:
    world.sign(DIRECTORY, leaves=[*world.hub.logs[DIRECTORY][:-1], world.hub.member("newcomer", "bank")])


def signs_with_another_key(world: World) -> None:
    world.sign(CONSENTS, key=PrivateKey.generate())


def sends_a_damaged_checkpoint(world: World) -> None:
    world.replica.apply_checkpoint(world.hub.checkpoint(CONSENTS)[:-2], world.hub.time_ms)


def replays_an_entry(world: World) -> None:
    world.send(CONSENTS, world.hub.logs[CONSENTS], first_index=0)


def replays_an_entry_under_a_new_index(world: World) -> None:
    world.send(CONSENTS, world.hub.logs[CONSENTS])


def skips_an_entry(world: World) -> None:
    world.hub.register(2)
    world.hub.register(3)
    world.send(DIRECTORY, world.hub.logs[DIRECTORY][-1:], first_index=len(world.hub.logs[DIRECTORY]) - 1)


def swaps_a_key_by_itself(world: World) -> None:
    """A second version, correctly numbered, but approved by nobody."""
    stolen = Enterprise(world.enterprise.uscc, world.enterprise.name, PrivateKey.generate(), version=2)
    leaf = world.hub.subject_key(stolen, previous=world.enterprise.key.public.key_id, signer=world.hub.key)
    world.send(DIRECTORY, [leaf])


def swaps_a_key_as_if_it_were_the_first(world: World) -> None:
    stolen = Enterprise(world.enterprise.uscc, world.enterprise.name, PrivateKey.generate(), version=1)
    world.send(DIRECTORY, [world.hub.subject_key(stolen)])


def swaps_a_key_without_naming_the_one_before(world: World) -> None:
    stolen = Enterprise(world.enterprise.uscc, world.enterprise.name, PrivateKey.generate(), version=2)
    world.send(DIRECTORY, [world.hub.subject_key(stolen)])


def revokes_a_key_by_itself(world: World) -> None:
    world.send(DIRECTORY, [world.hub.subject_key_revoked(world.enterprise, signer=world.hub.key)])


def forges_a_consent(world: World) -> None:
    document = world.hub.consent(world.enterprise)
    world.send(CONSENTS, [world.hub.entry("consent", document, PrivateKey.generate())])


def alters_a_consent_by_one_byte(world: World) -> None:
    leaf = world.hub.entry("consent", world.hub.consent(world.enterprise), world.enterprise.key)
    document = SignedDocument.decode(leaf)
    altered = document.payload.replace(b"Li Ming", b"Li Meng")
    world.send(CONSENTS, [SignedDocument(document.payload_type, altered, document.signatures).encode()])


def does_not_countersign(world: World) -> None:
    document = world.hub.consent(world.enterprise)
    world.send(CONSENTS, [world.hub.entry("consent", document, world.enterprise.key, countersigned=False)])


def sends_a_consent_for_another_provider(world: World) -> None:
    document = world.hub.consent(world.enterprise, provider=OTHER_PROVIDER)
    world.send(CONSENTS, [world.hub.entry("consent", document, world.enterprise.key)])


def sends_a_consent_of_an_unknown_enterprise(world: World) -> None:
    stranger = Enterprise(make_uscc(99), "nobody", PrivateKey.generate())
    world.send(CONSENTS, [world.hub.entry("consent", world.hub.consent(stranger), stranger.key)])


def admits_a_member_by_itself(world: World) -> None:
    world.send(DIRECTORY, [world.hub.entry("member-admitted", _member(), world.hub.key)])


def sends_garbage(world: World) -> None:
    world.send(CONSENTS, [b"\x00\xff"])


def sends_a_log_of_another_member(world: World) -> None:
    world.send(OTHER_CONSENTS, [world.hub.logs[CONSENTS][0]])


def signs_a_log_of_another_member(world: World) -> None:
    world.sign(OTHER_CONSENTS)


def _member() -> MemberAdmitted:
    return MemberAdmitted(member_id="intruder", name="x", kind="bank", uscc=None, time_ms=NOW_MS, operator="op")


ATTACKS: list[tuple[Attack, AlarmKind]] = [
    (hides_a_revocation, AlarmKind.ENTRY_HIDDEN),
    (hides_a_revocation_and_sends_the_next_entry, AlarmKind.INDEX_SKIPPED),
    (hides_a_revocation_behind_another_entry, AlarmKind.LOG_FORKED),
    (serves_an_old_checkpoint, AlarmKind.CHECKPOINT_OLD),
    (sets_the_time_back, AlarmKind.CHECKPOINT_OLD),
    (forks_its_log, AlarmKind.LOG_FORKED),
    (forks_the_directory, AlarmKind.LOG_FORKED),
    (signs_with_another_key, AlarmKind.CHECKPOINT_FORGED),
    (sends_a_damaged_checkpoint, AlarmKind.CHECKPOINT_FORGED),
    (replays_an_entry, AlarmKind.INDEX_REPEATED),
    (replays_an_entry_under_a_new_index, AlarmKind.ENTRY_INVALID),
    (skips_an_entry, AlarmKind.INDEX_SKIPPED),
    (swaps_a_key_by_itself, AlarmKind.SUBJECT_KEY_SWAPPED),
    (swaps_a_key_as_if_it_were_the_first, AlarmKind.SUBJECT_KEY_SWAPPED),
    (swaps_a_key_without_naming_the_one_before, AlarmKind.SUBJECT_KEY_SWAPPED),
    (revokes_a_key_by_itself, AlarmKind.SUBJECT_KEY_SWAPPED),
    (forges_a_consent, AlarmKind.ENTRY_FORGED),
    (alters_a_consent_by_one_byte, AlarmKind.ENTRY_FORGED),
    (does_not_countersign, AlarmKind.ENTRY_FORGED),
    (sends_a_consent_for_another_provider, AlarmKind.ENTRY_INVALID),
    (sends_a_consent_of_an_unknown_enterprise, AlarmKind.ENTRY_INVALID),
    (admits_a_member_by_itself, AlarmKind.ENTRY_FORGED),
    (sends_garbage, AlarmKind.ENTRY_INVALID),
    (sends_a_log_of_another_member, AlarmKind.ORIGIN_FOREIGN),
    (signs_a_log_of_another_member, AlarmKind.ORIGIN_FOREIGN),
]


@pytest.mark.parametrize(("attack", "kind"), ATTACKS, ids=[attack.__name__ for attack, _ in ATTACKS])
def test_a_lie_is_refused_and_named(world: World, attack: Attack, kind: AlarmKind) -> None:
    with pytest.raises(Alarm) as caught:
        attack(world)
    assert caught.value.kind == kind, caught.value.message
    assert caught.value.code == "LOG_INCONSISTENT"
    assert world.replica.alarm is caught.value
    assert not world.replica.freshness(world.hub.time_ms, STALENESS_MS).consistent


@pytest.mark.parametrize(("attack", "kind"), ATTACKS, ids=[attack.__name__ for attack, _ in ATTACKS])
def test_after_a_lie_nothing_more_is_believed_until_an_operator_has_looked(
    world: World, attack: Attack, kind: AlarmKind
) -> None:
    with pytest.raises(Alarm) as first:
        attack(world)
    with pytest.raises(Alarm) as second:
        world.sign(DIRECTORY)  # honest, and refused
    with pytest.raises(Alarm) as third:
        world.replica.apply_entries(DIRECTORY, 0, [])
    assert first.value is second.value is third.value
    world.replica.clear_alarm()
    assert world.replica.freshness(world.hub.time_ms, STALENESS_MS).consistent


def test_after_clearing_the_hub_has_to_continue_what_it_showed_before(world: World) -> None:
    with pytest.raises(Alarm):
        forks_its_log(world)
    world.replica.clear_alarm()
    world.sign(CONSENTS)  # the true history goes on
    with pytest.raises(Alarm) as caught:
        forks_its_log(world)  # the false one does not
    assert caught.value.kind == AlarmKind.LOG_FORKED


def test_entries_before_the_bad_one_stay_applied_and_are_stored(world: World) -> None:
    world.replica.drain()
    revocation = revoke(world)
    with pytest.raises(Alarm):
        world.send(CONSENTS, [revocation, b"garbage"])
    assert world.consent() is not None
    assert [entry.leaf for entry in world.replica.drain().entries] == [revocation]
    assert dict(world.replica.positions())[CONSENTS] == 2


# -- freshness -------------------------------------------------------------------------------------------------------


def test_without_any_checkpoint_nothing_is_known() -> None:
    replica = Replica(member_id=PROVIDER, hub_key=PrivateKey.generate().public)
    assert replica.freshness(NOW_MS, STALENESS_MS).checkpoint_ms is None


def test_freshness_is_that_of_the_older_of_both_logs(world: World) -> None:
    world.hub.time_ms += 10_000
    world.sign(CONSENTS)
    assert world.replica.freshness(world.hub.time_ms, STALENESS_MS).checkpoint_ms == NOW_MS
    world.sign(DIRECTORY)
    assert world.replica.freshness(world.hub.time_ms, STALENESS_MS).checkpoint_ms == NOW_MS + 10_000


def test_a_checkpoint_dated_ahead_does_not_stay_fresh_for_longer(world: World) -> None:
    for origin in (DIRECTORY, CONSENTS):
        world.sign(origin, time_ms=NOW_MS + 50_000)
    assert world.replica.freshness(NOW_MS, STALENESS_MS).checkpoint_ms == NOW_MS


def test_a_checkpoint_from_the_far_future_proves_nothing(world: World) -> None:
    for origin in (DIRECTORY, CONSENTS):
        world.sign(origin, time_ms=NOW_MS + 3_600_000)
    assert world.replica.freshness(NOW_MS, STALENESS_MS).checkpoint_ms is None
