from __future__ import annotations

import pytest
from sqlalchemy import Connection

from hub.database import Database
from hub.errors import HubError
from hub.logs import checkpoints, service
from hub.logs.clock import CheckpointClock
from tests.hub.world import World
from trust.checkpoint import cosign, extends, open_checkpoint, verify_witness
from trust.document import SignedDocument
from trust.errors import SignatureInvalid
from trust.sm2 import PrivateKey

KEY = PrivateKey.generate()
NODE = PrivateKey.generate()
OTHER = PrivateKey.generate()


def refresh(db: Database, now_ms: int, max_age_ms: int = 0) -> SignedDocument:
    return db.write_now(lambda c: checkpoints.refresh(c, "log", KEY, now_ms=now_ms, max_age_ms=max_age_ms))


def append(db: Database, *leaves: bytes) -> None:
    db.write_now(lambda c: service.append(c, "log", list(leaves)))


def keep(db: Database, document: SignedDocument, node_id: str, key: PrivateKey) -> None:
    verified = checkpoints.verify_cosignature(document, KEY.public, key.public)
    db.write_now(lambda c: checkpoints.store_cosignature(c, node_id, verified))


def test_a_checkpoint_states_size_and_root_and_the_next_one_extends_it(database: Database) -> None:
    append(database, b"a", b"b")
    first = open_checkpoint(refresh(database, 1000), KEY.public)
    append(database, b"c")
    second = open_checkpoint(refresh(database, 2000), KEY.public)
    assert (first.size, second.size) == (2, 3)
    extends(first, second, database.read_now(lambda c: service.consistency_proof(c, "log", 2, 3)))


def test_a_checkpoint_in_the_function_that_appends_covers_the_new_entry(database: Database) -> None:
    def both(connection: Connection) -> SignedDocument:
        service.append(connection, "log", [b"a"])
        return checkpoints.refresh(connection, "log", KEY, now_ms=1000)

    assert open_checkpoint(database.write_now(both), KEY.public).size == 1


def test_a_young_checkpoint_of_the_same_size_is_not_signed_anew(database: Database) -> None:
    append(database, b"a")
    first = refresh(database, 1000)
    assert refresh(database, 2999, max_age_ms=2000) == first
    assert refresh(database, 3000, max_age_ms=2000) != first
    append(database, b"b")
    assert open_checkpoint(refresh(database, 3001, max_age_ms=2000), KEY.public).size == 2


def test_time_never_goes_back_even_when_the_clock_does(database: Database) -> None:
    append(database, b"a")
    refresh(database, 5000)
    append(database, b"b")
    again = open_checkpoint(refresh(database, 1000), KEY.public)
    assert (again.size, again.time_ms) == (2, 5000)
    assert open_checkpoint(database.read_now(lambda c: checkpoints.newest(c, "log")), KEY.public).size == 2


def test_cosignatures_are_added_to_what_is_read(database: Database) -> None:
    append(database, b"a")
    document = refresh(database, 1000)
    for node_id, key in (("node-a", NODE), ("node-b", OTHER), ("node-a", NODE)):
        keep(database, cosign(document, key), node_id, key)
    read = database.read_now(lambda c: checkpoints.newest(c, "log"))
    assert len(read.signatures) == 3
    verify_witness(read, NODE.public)
    verify_witness(read, OTHER.public)


def test_a_cosignature_of_another_key_or_on_a_foreign_checkpoint_is_refused(database: Database) -> None:
    append(database, b"a")
    document = refresh(database, 1000)
    with pytest.raises(SignatureInvalid):
        checkpoints.verify_cosignature(cosign(document, OTHER), KEY.public, NODE.public)
    with pytest.raises(SignatureInvalid):
        checkpoints.verify_cosignature(cosign(document, NODE), OTHER.public, NODE.public)


def test_witnesses_are_those_who_saw_at_least_that_size_each_with_the_newest(database: Database) -> None:
    append(database, b"a")
    one = refresh(database, 1000)
    keep(database, cosign(one, NODE), "node-a", NODE)
    keep(database, cosign(one, OTHER), "node-b", OTHER)
    append(database, b"b")
    two = refresh(database, 2000)
    keep(database, cosign(two, NODE), "node-a", NODE)
    found = database.read_now(lambda c: checkpoints.witnesses(c, "log", 1))
    assert [(one.node_id, one.size) for one in found] == [("node-a", 2), ("node-b", 1)]
    verify_witness(found[0].document, NODE.public)
    assert [one.node_id for one in database.read_now(lambda c: checkpoints.witnesses(c, "log", 2))] == ["node-a"]


def test_old_checkpoints_go_but_never_the_newest_cosigned_one(database: Database) -> None:
    append(database, b"a")
    cosigned = refresh(database, 1000)
    keep(database, cosign(cosigned, NODE), "node-a", NODE)
    for number in range(1, 6):
        refresh(database, 1000 + number * checkpoints.KEEP_MS)
    read = database.read_now(lambda c: checkpoints.newest_witnessed(c, "log"))
    assert read is not None
    verify_witness(read, NODE.public)
    count = database.read_now(lambda c: c.exec_driver_sql("SELECT COUNT(*) FROM checkpoints").scalar())
    assert count is not None and count <= 7


def test_without_pruned_cosignatures_only_ten_minutes_are_kept(database: Database) -> None:
    append(database, b"a")
    for number in range(20):
        refresh(database, 1000 + number * checkpoints.KEEP_MS)
    count = database.read_now(lambda c: c.exec_driver_sql("SELECT COUNT(*) FROM checkpoints").scalar())
    assert count == 2


def test_a_log_without_a_checkpoint_is_not_found(database: Database) -> None:
    with pytest.raises(HubError) as caught:
        database.read_now(lambda c: checkpoints.newest(c, "log"))
    assert caught.value.code == "NOT_FOUND"


async def test_the_clock_refreshes_every_log(sqlite_world: World) -> None:
    hub = sqlite_world.hub
    await CheckpointClock(hub).tick()
    for origin in await hub.db.read(service.origins):
        document = await hub.db.read(lambda c, o=origin: checkpoints.newest(c, o))
        head = open_checkpoint(document, hub.keys.public)
        assert (head.origin, head.time_ms) == (origin, hub.clock())
