from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection

from consent.directory import MEMBER_ADMITTED_TYPE, MemberAdmitted
from consent.documents import encode
from hub.database import open_database
from hub.logs import checkpoints
from hub.logs import service as logs
from hub.logs.clock import CheckpointClock
from hub.logs.tables import log_entries
from hub.members.directory import LiveDirectory
from tests.hub.world import World
from trust.checkpoint import open_checkpoint
from trust.document import SignedDocument, countersign, sign_document, verify_document
from trust.errors import LogInconsistent, SignatureInvalid
from trust.sm2 import PrivateKey, PublicKey


def admission(world: World, member_id: str) -> SignedDocument:
    entry = MemberAdmitted(member_id=member_id, name=member_id, kind="bank", time_ms=world.clock(), operator="alice")
    return sign_document(MEMBER_ADMITTED_TYPE, encode(entry), world.operator)


def members(directory: LiveDirectory) -> list[str]:
    return [member.member_id for member in directory.current.members()]


def test_an_entry_of_a_function_that_fails_is_in_neither_copy(world: World) -> None:
    directory, first, second = world.hub.directory, admission(world, "bank-a"), admission(world, "bank-b")

    def fail(connection: Connection) -> None:
        directory.append(connection, first)
        raise ValueError("afterwards")

    with pytest.raises(ValueError, match="afterwards"):
        world.hub.db.write_now(fail)
    assert members(directory) == []
    assert world.hub.db.write_now(lambda c: directory.append(c, second)) == 1
    assert world.hub.db.write_now(lambda c: directory.append(c, first)) == 2
    assert members(directory) == ["bank-b", "bank-a"]


def test_each_signature_is_computed_once_for_both_copies(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str] = []

    def verify(document: SignedDocument, payload_type: str, key: PublicKey) -> None:
        computed.append(key.key_id)
        verify_document(document, payload_type, key)

    monkeypatch.setattr("consent.directory.verify_document", verify)
    directory, good = world.hub.directory, admission(world, "bank-a")
    world.hub.db.write_now(lambda c: directory.append(c, good))
    assert members(directory) == ["bank-a"]
    assert sorted(computed) == sorted((world.hub.keys.public.key_id, world.operator.public.key_id))

    def undone(connection: Connection) -> None:
        directory.append(connection, admission(world, "bank-b"))
        raise ValueError

    with pytest.raises(ValueError):
        world.hub.db.write_now(undone)
    forged = sign_document(MEMBER_ADMITTED_TYPE, admission(world, "bank-c").payload, PrivateKey.generate())
    with pytest.raises(SignatureInvalid):
        world.hub.db.write_now(lambda c: directory.append(c, forged))
    assert members(directory) == ["bank-a"]


def test_the_second_entry_of_a_function_is_checked_against_the_first(world: World) -> None:
    directory = world.hub.directory

    def twice(connection: Connection) -> None:
        directory.append(connection, admission(world, "bank-a"))
        assert directory.in_write(connection).member("bank-a") is not None
        assert directory.current.member("bank-a") is None
        directory.append(connection, admission(world, "bank-a"))

    with pytest.raises(Exception, match="admitted already"):
        world.hub.db.write_now(twice)
    assert world.hub.db.read_now(lambda c: logs.size(c, "directory")) == 1


def test_a_restart_rebuilds_the_directory_from_its_log(world: World) -> None:
    world.admit("bank-a")
    world.enrol("bank-a-1", "bank-a")
    again = LiveDirectory(world.hub.keys.log_key)
    world.hub.db.read_now(again.load)
    assert again.current.node("bank-a-1") == world.hub.directory.current.node("bank-a-1")
    assert again.current.size == world.hub.directory.current.size


def test_a_stored_entry_that_was_altered_stops_the_start(world: World) -> None:
    world.admit("bank-a")
    leaf = world.hub.db.read_now(lambda c: logs.read_leaf(c, "directory", 1))
    original = SignedDocument.decode(leaf)
    altered = SignedDocument(original.payload_type, original.payload.replace(b"Bank-A", b"Bank-B"), original.signatures)
    assert altered.payload != original.payload
    world.hub.db.write_now(
        lambda c: c.exec_driver_sql("DELETE FROM log_entries WHERE origin = 'directory' AND idx = 1")
    )
    row = {"origin": "directory", "idx": 1, "leaf": altered.encode()}
    world.hub.db.write_now(lambda c: c.execute(log_entries.insert(), row))
    with pytest.raises(Exception, match=r"(?i)signature|verif|signed"):
        world.hub.db.read_now(LiveDirectory(world.hub.keys.log_key).load)


def sign_head(world: World) -> None:
    key = world.hub.keys.log_key
    world.hub.db.write_now(lambda c: checkpoints.refresh(c, "directory", key, now_ms=world.clock()))
    world.clock.advance(1)


def store(world: World, index: int, document: SignedDocument, *, rest: bool = True) -> None:
    """Put an entry into the stored log as somebody who can write to the database does; with its tiles, or the row only."""

    def work(connection: Connection) -> None:
        own = (log_entries.c.origin == "directory") & (log_entries.c.idx == index)
        connection.execute(log_entries.delete().where(own))
        connection.execute(log_entries.insert(), {"origin": "directory", "idx": index, "leaf": document.encode()})

    if rest:
        world.hub.db.write_now(lambda c: logs.append(c, "directory", [document.encode()]))
    else:
        world.hub.db.write_now(work)


def load(world: World) -> LiveDirectory:
    again = LiveDirectory(world.hub.keys.log_key)
    world.hub.db.read_now(again.load)
    return again


def forged(world: World) -> SignedDocument:
    """An admission whose signatures name the right keys and are of something else."""
    own, other = admission(world, "bank-b"), countersign(admission(world, "bank-c"), world.hub.keys.log_key)
    return SignedDocument(own.payload_type, own.payload, other.signatures)


def test_a_start_computes_the_signature_of_the_head_and_of_what_came_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for member_id in ("bank-a", "bank-b"):
        world.admit(member_id)
    sign_head(world)
    verified: list[bytes] = []
    monkeypatch.setattr("trust.document.verify_signature", lambda key, message, value: verified.append(message))
    again = load(world)
    assert len(verified) == 1
    assert members(again) == ["bank-a", "bank-b"]
    monkeypatch.undo()
    world.admit("bank-c")
    verified.clear()
    monkeypatch.setattr("trust.document.verify_signature", lambda key, message, value: verified.append(message))
    again = load(world)
    assert len(verified) == 3
    assert members(again) == ["bank-a", "bank-b", "bank-c"]


def test_a_directory_that_was_restored_goes_on_under_all_rules(world: World) -> None:
    world.admit("bank-a")
    sign_head(world)
    again = load(world)
    with pytest.raises(SignatureInvalid):
        world.hub.db.write_now(
            lambda c: again.append(c, sign_document(*_parts(admission(world, "bank-x")), world.hub.keys.log_key))
        )
    assert world.hub.db.write_now(lambda c: again.append(c, admission(world, "bank-b"))) == 2
    assert world.hub.db.write_now(again.signable)


def _parts(document: SignedDocument) -> tuple[str, bytes]:
    return document.payload_type, document.payload


def test_an_entry_under_the_signed_head_that_was_altered_stops_the_start(world: World) -> None:
    world.admit("bank-a")
    sign_head(world)
    store(world, 1, forged(world), rest=False)
    with pytest.raises(LogInconsistent, match="altered"):
        load(world)


def test_an_entry_under_the_signed_head_that_was_removed_stops_the_start(world: World) -> None:
    world.admit("bank-a")
    sign_head(world)
    world.hub.db.write_now(lambda c: c.execute(log_entries.delete().where(log_entries.c.idx == 1)))
    with pytest.raises(LogInconsistent, match="the 1 entries of the stored"):
        load(world)


def test_a_forged_entry_after_the_signed_head_stops_the_start(world: World) -> None:
    world.admit("bank-a")
    sign_head(world)
    store(world, 2, forged(world))
    with pytest.raises(SignatureInvalid):
        load(world)


def test_a_head_that_another_key_signed_stops_the_start(world: World) -> None:
    thief = PrivateKey.generate()
    world.hub.db.write_now(lambda c: checkpoints.refresh(c, "directory", thief, now_ms=world.clock()))
    with pytest.raises(SignatureInvalid):
        load(world)


@pytest.mark.parametrize("rest", [True, False])
async def test_no_head_is_signed_over_entries_that_the_hub_did_not_verify(world: World, rest: bool) -> None:
    world.admit("bank-a")
    clock = CheckpointClock(world.hub)
    await clock.tick()
    store(world, 2, forged(world), rest=rest)
    world.clock.advance(10)
    await clock.tick()
    head = world.hub.db.read_now(lambda c: checkpoints.newest_signed(c, "directory"))
    assert head is not None
    assert open_checkpoint(head, world.hub.keys.public).size == 2
    usage = world.hub.db.read_now(lambda c: checkpoints.newest_signed(c, "usage"))
    assert usage is not None
    assert open_checkpoint(usage, world.hub.keys.public).time_ms == world.clock()
    assert members(world.hub.directory) == ["bank-a"]


async def test_a_caller_sees_its_own_entry_when_its_write_returns(world: World) -> None:
    directory = world.hub.directory
    directory.attach(world.hub.db)
    heard: list[str] = []
    directory.listen(lambda document: heard.append(document.payload_type))
    document = admission(world, "bank-a")
    await world.hub.db.write(lambda c: directory.append(c, document))
    assert members(directory) == ["bank-a"]
    assert heard == [MEMBER_ADMITTED_TYPE]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # several hub processes share PostgreSQL only
async def test_a_second_hub_process_takes_in_what_the_first_appended(database_url: str, world: World) -> None:
    db = open_database(database_url)
    other = LiveDirectory(world.hub.keys.log_key)
    db.read_now(other.load)
    other.attach(db)
    await asyncio.sleep(0.3)
    directory, document = world.hub.directory, admission(world, "bank-a")
    await world.hub.db.write(lambda c: directory.append(c, document))
    for _ in range(100):
        if other.current.member("bank-a"):
            break
        await asyncio.sleep(0.05)
    assert members(other) == ["bank-a"]
    again = admission(world, "bank-a")
    with pytest.raises(Exception, match="admitted already"):
        await db.write(lambda c: other.append(c, again))
    db.close()
