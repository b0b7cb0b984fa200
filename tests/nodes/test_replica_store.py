"""What the replica verified survives a restart, whole, and without being verified again."""

from __future__ import annotations

import dataclasses
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consent.book import ConsentBook, ConsentRow
from nodes.errors import Alarm, AlarmKind, DiskFull, StoreFailed
from nodes.replica import Pending, Replica
from nodes.replica_store import ReplicaKeeper, load_alarm, load_replica, save_changes, save_pending
from nodes.schema import MIGRATIONS
from nodes.store import Store
from tests.nodes.hub_simulator import BANK, CONSENTS, DIRECTORY, NOW_MS, PROVIDER, HubSimulator
from trust.errors import TrustError
from trust.sm2 import PublicKey, verify_signature


def clock() -> int:
    return NOW_MS


def follow(hub: HubSimulator, replica: Replica) -> None:
    """Bring the replica up to date with an honest hub."""
    for origin, position in replica.positions():
        replica.apply_entries(origin, position, hub.logs[origin][position:])
        replica.apply_checkpoint(hub.checkpoint(origin), hub.time_ms)


def rows_of(book: ConsentBook) -> dict[str, ConsentRow | None]:
    return {record_id: book.stored(record_id) for record_id in book.record_ids}


async def load(store: Store, hub: HubSimulator, member_id: str = PROVIDER) -> ReplicaKeeper:
    return await ReplicaKeeper.load(store, member_id=member_id, hub_key=hub.key.public, clock=clock)


async def test_a_restart_knows_what_was_known(store: Store) -> None:
    hub = HubSimulator()
    keeper = await load(store, hub)
    enterprises = [hub.register(number) for number in range(3)]
    consents = [hub.grant(enterprise) for enterprise in enterprises]
    follow(hub, keeper.replica)
    await keeper.persist()
    hub.revoke(enterprises[1], consents[1])
    hub.time_ms = consents[2].limits.valid_to_ms + 1000
    hub.expire(consents[2])
    follow(hub, keeper.replica)
    await keeper.persist()

    again = (await load(store, hub)).replica
    assert again.positions() == keeper.replica.positions()
    assert rows_of(again.own_book) == rows_of(keeper.replica.own_book)
    assert len(again.own_book) == 3
    assert again.own_book.newest_ms == keeper.replica.own_book.newest_ms
    assert again.freshness(hub.time_ms, 60_000) == keeper.replica.freshness(hub.time_ms, 60_000)
    assert again.directory.size == keeper.replica.directory.size
    for enterprise in enterprises:
        assert again.directory.subject_key(enterprise.uscc) == enterprise.key.public
    hub.grant(hub.register(9))
    follow(hub, again)  # and goes on from there, under the hub's checkpoints


async def test_a_restart_verifies_no_stored_signature_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = HubSimulator()
    keeper = await load(store, hub)
    for number in range(5):
        hub.grant(hub.register(number))
    follow(hub, keeper.replica)
    await keeper.persist()
    verified: list[PublicKey] = []

    def counting(public: PublicKey, message: bytes, signature: bytes) -> None:
        verified.append(public)
        verify_signature(public, message, signature)

    monkeypatch.setattr("trust.document.verify_signature", counting)
    again = (await load(store, hub)).replica
    assert len(again.own_book) == 5
    assert verified == []
    hub.register(6)
    follow(hub, again)
    assert len(verified) == 2 + 2  # an entry with two signatures, and two checkpoints of the hub


async def test_a_replaced_key_is_known_with_its_times_after_a_restart(store: Store) -> None:
    hub = HubSimulator()
    keeper = await load(store, hub)
    enterprise = hub.register(1)
    first = enterprise.key.public
    hub.time_ms += 1_000_000
    renewed = dataclasses.replace(enterprise, key=hub.operator.generate(), version=2)
    hub.append(DIRECTORY, hub.subject_key(renewed, previous=first.key_id))
    follow(hub, keeper.replica)
    await keeper.persist()
    directory = (await load(store, hub)).replica.directory
    assert directory.subject_key(enterprise.uscc) == renewed.key.public
    assert directory.subject_key(enterprise.uscc, NOW_MS) == first


async def test_lies_are_noticed_after_a_restart_too(store: Store) -> None:
    hub = HubSimulator()
    keeper = await load(store, hub)
    enterprise = hub.register(1)
    consent = hub.grant(enterprise)
    follow(hub, keeper.replica)
    await keeper.persist()
    hub.revoke(enterprise, consent)
    hidden = (await load(store, hub)).replica
    with pytest.raises(Alarm) as caught:
        hidden.apply_checkpoint(hub.checkpoint(CONSENTS), hub.time_ms)
    assert caught.value.kind == AlarmKind.ENTRY_HIDDEN
    old = (await load(store, hub)).replica
    with pytest.raises(Alarm) as caught:
        old.apply_checkpoint(hub.checkpoint(CONSENTS, size=0), hub.time_ms)
    assert caught.value.kind == AlarmKind.CHECKPOINT_OLD
    forged = (await load(store, hub)).replica
    with pytest.raises(Alarm) as caught:
        forged.apply_entries(DIRECTORY, forged.directory.size, [hub.member("intruder", "bank")[:-1]])
    assert caught.value.kind == AlarmKind.ENTRY_INVALID


async def test_a_checkpoint_behind_the_entries_is_accepted_after_a_restart(store: Store) -> None:
    hub = HubSimulator()
    keeper = await load(store, hub)
    enterprise = hub.register(1)
    follow(hub, keeper.replica)
    hub.grant(enterprise)
    behind = hub.checkpoint(CONSENTS)
    hub.grant(enterprise)
    keeper.replica.apply_entries(CONSENTS, 0, hub.logs[CONSENTS])
    await keeper.persist()
    again = (await load(store, hub)).replica
    assert again.apply_checkpoint(behind, hub.time_ms).size == 1


async def test_the_inbox_and_other_members_books_survive_a_restart(store: Store) -> None:
    hub = HubSimulator()
    hub.logs[f"consent/{BANK}"] = []
    keeper = await load(store, hub, BANK)
    enterprise = hub.register(1)
    consent = hub.grant(enterprise)
    follow(hub, keeper.replica)
    hub.revoke(enterprise, consent)
    for index in (0, 1):
        keeper.replica.apply_grantee_entry(
            seq=index + 1,
            origin=CONSENTS,
            index=index,
            leaf=hub.logs[CONSENTS][index],
            checkpoint=hub.checkpoint(CONSENTS),
            path=hub.inclusion(CONSENTS, index, 2),
            now_ms=hub.time_ms,
        )
    await keeper.persist()
    again = (await load(store, hub, BANK)).replica
    assert again.grantee_seq == 2
    book = again.granted_book(PROVIDER)
    assert book is not None
    assert [view.revoked_ms for view in book.consents_of(enterprise.uscc)] == [NOW_MS]
    assert len(again.own_book) == 0
    assert again.checkpoint(CONSENTS) == keeper.replica.checkpoint(CONSENTS)


async def test_what_a_full_disk_refused_is_stored_later(store: Store) -> None:
    hub = HubSimulator()
    keeper = await load(store, hub)
    follow(hub, keeper.replica)
    await keeper.persist()

    def limit(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    await store.write(limit)
    for number in range(200):
        hub.append(DIRECTORY, hub.member(f"member-{number}", "bank"))
    follow(hub, keeper.replica)
    with pytest.raises(DiskFull):
        await keeper.persist()
    assert (await load(store, hub)).replica.directory.size == 4
    hub.append(DIRECTORY, hub.member("last", "bank"))
    follow(hub, keeper.replica)
    await store.write(lambda c: c.execute("PRAGMA max_page_count = 1000000") and None)
    await keeper.persist()
    assert (await load(store, hub)).replica.directory.size == 205


async def test_an_alarm_outlives_a_restart_until_an_operator_clears_it(store: Store) -> None:
    hub = HubSimulator()
    keeper = await load(store, hub)
    await keeper.record_alarm(Alarm(AlarmKind.LOG_FORKED, DIRECTORY, "two roots"))
    again = await load(store, hub)
    alarm = again.replica.alarm
    assert alarm is not None
    assert (alarm.kind, alarm.origin, alarm.detail) == (AlarmKind.LOG_FORKED, DIRECTORY, "two roots")
    assert not again.replica.freshness(NOW_MS, 60_000).consistent
    await again.clear_alarm("compared with the hub's operator")
    assert again.replica.alarm is None
    assert (await load(store, hub)).replica.alarm is None
    kept = await store.read(lambda c: c.execute("SELECT kind, cleared_ms, cleared_reason FROM alarms").fetchall())
    assert kept == [("LOG_FORKED", NOW_MS, "compared with the hub's operator")]


async def test_a_damaged_store_is_refused_and_not_believed(store: Store) -> None:
    hub = HubSimulator()
    keeper = await load(store, hub)
    follow(hub, keeper.replica)
    await keeper.persist()
    await store.write(lambda c: c.execute("UPDATE log_heads SET frontier = zeroblob(length(frontier))") and None)
    with pytest.raises(StoreFailed):
        await load(store, hub)
    await store.write(lambda c: c.execute("UPDATE log_entries SET leaf = x'00' WHERE idx = 1") and None)
    with pytest.raises(StoreFailed):
        await load(store, hub)


Act = tuple[str, int]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    acts=st.lists(st.tuples(st.sampled_from(["register", "grant", "revoke", "save"]), st.integers(0, 3)), max_size=25)
)
def test_a_restart_at_any_moment_equals_an_uninterrupted_run(acts: list[Act]) -> None:
    """The state loaded after any sequence of acts is the one that was folded in memory."""
    hub, connection = HubSimulator(), sqlite3.connect(":memory:", isolation_level=None)
    for statements in MIGRATIONS:
        for statement in statements:
            connection.execute(statement)
    live = Replica(member_id=PROVIDER, hub_key=hub.key.public)
    enterprises = [hub.register(number) for number in range(2)]
    granted = []
    for act, which in acts:
        if act == "register":
            enterprises.append(hub.register(len(enterprises)))
        elif act == "grant":
            enterprise = enterprises[which % len(enterprises)]
            granted.append((enterprise, hub.grant(enterprise)))
        elif act == "revoke" and granted:
            hub.revoke(*granted[which % len(granted)])
        elif act == "save":
            follow(hub, live)
            save_pending(connection, live.drain())
    follow(hub, live)
    save_pending(connection, live.drain())
    loaded = load_replica(connection, PROVIDER, hub.key.public)
    connection.close()
    assert loaded.positions() == live.positions()
    assert rows_of(loaded.own_book) == rows_of(live.own_book)
    for enterprise in enterprises:
        by_id = {view.record_id: view for view in loaded.own_book.consents_of(enterprise.uscc)}
        assert by_id == {view.record_id: view for view in live.own_book.consents_of(enterprise.uscc)}


def test_nothing_pending_is_nothing_to_store() -> None:
    assert Pending(entries=(), inbox=(), changes=(), heads=()).empty


def test_a_restart_without_alarm_has_none() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    save_changes(connection, ())
    assert load_alarm(connection) is None
    connection.close()


def test_an_alarm_carries_what_it_was_concluded_from() -> None:
    hub = HubSimulator()
    replica = Replica(member_id=PROVIDER, hub_key=hub.operator.public)
    with pytest.raises(Alarm) as caught:
        replica.apply_checkpoint(hub.checkpoint(DIRECTORY), NOW_MS)
    assert isinstance(caught.value.__cause__, TrustError)
