from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection

from consent.directory import MEMBER_ADMITTED_TYPE, MemberAdmitted
from consent.documents import encode
from hub.database import open_database
from hub.logs import service as logs
from hub.members.directory import LiveDirectory
from tests.hub.world import World
from trust.document import SignedDocument, sign_document


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
    from hub.logs.tables import log_entries

    row = {"origin": "directory", "idx": 1, "leaf": altered.encode()}
    world.hub.db.write_now(lambda c: c.execute(log_entries.insert(), row))
    with pytest.raises(Exception, match=r"(?i)signature|verif|signed"):
        world.hub.db.read_now(LiveDirectory(world.hub.keys.log_key).load)


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
