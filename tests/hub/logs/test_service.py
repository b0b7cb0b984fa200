from __future__ import annotations

import asyncio
import itertools
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from hub.database import Database
from hub.errors import HubError
from hub.logs import service
from trust.merkle import consistency_path, inclusion_path, leaf_hash, root_of, verify_consistency, verify_inclusion

NUMBERS = itertools.count()


def append(db: Database, origin: str, leaves: list[bytes]) -> int:
    return db.write_now(lambda connection: service.append(connection, origin, leaves))


def test_indexes_are_consecutive_and_logs_do_not_mix(database: Database) -> None:
    assert [append(database, "a", [b"0", b"1"]), append(database, "b", [b"x"]), append(database, "a", [b"2"])] == [
        0,
        0,
        2,
    ]
    assert database.read_now(lambda connection: service.read_leaves(connection, "a", 1)) == [b"1", b"2"]
    assert database.read_now(service.origins) == ["a", "b"]


def test_proofs_equal_those_of_the_plain_tree_and_verify(database: Database) -> None:
    leaves = [b"leaf %d" % number for number in range(600)]  # more than two tiles
    hashes = [leaf_hash(leaf) for leaf in leaves]
    for first in range(0, 600, 150):
        append(database, "log", leaves[first : first + 150])

    def check(connection: Connection) -> None:
        root = service.root(connection, "log")
        assert root == root_of(hashes)
        for index in (0, 255, 256, 511, 512, 599):
            path = service.inclusion_proof(connection, "log", index, 600)
            assert path == inclusion_path(hashes, index)
            verify_inclusion(hashes[index], index, 600, path, root)
        path = service.consistency_proof(connection, "log", 257, 600)
        assert path == consistency_path(hashes, 257, 600)
        verify_consistency(257, 600, path, service.root(connection, "log", 257), root)

    database.read_now(check)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=st.lists(st.tuples(st.lists(st.binary(max_size=8), max_size=5), st.booleans(), st.booleans()), max_size=12))
def test_any_mix_of_failing_functions_and_early_reads_in_one_group_leaves_the_log_as_if_they_had_not_been(
    database: Database, runs: list[tuple[list[bytes], bool, bool]]
) -> None:
    origin = f"log-{next(NUMBERS)}"  # hypothesis runs many examples over one database
    gate = threading.Event()
    database.writer.submit(lambda _connection: gate.wait(10), None)  # so that the rest is one group

    def run(connection: Connection, leaves: list[bytes], fails: bool, reads: bool) -> int:
        first = service.append(connection, origin, leaves)
        if reads:
            assert service.read_leaves(connection, origin, first) == leaves
        if fails:
            raise ValueError("on purpose")
        return first

    waiting = [
        database.writer.submit(lambda connection, r=(leaves, fails, reads): run(connection, *r), None)
        for leaves, fails, reads in runs
    ]
    gate.set()
    kept: list[bytes] = []
    for future, (leaves, fails, _reads) in zip(waiting, runs, strict=True):
        problem = future.exception(10)
        assert (problem is not None) == fails
        if not fails:
            assert future.result(10) == len(kept)
            kept += leaves
    if kept:
        assert database.read_now(lambda connection: service.read_leaves(connection, origin, 0)) == kept
        assert database.read_now(lambda connection: service.root(connection, origin)) == root_of(map(leaf_hash, kept))
    else:
        assert database.read_now(lambda connection: service.size(connection, origin)) == 0


@pytest.mark.parametrize(
    ("question", "code"),
    [
        (lambda c: service.root(c, "no such"), "NOT_FOUND"),
        (lambda c: service.root(c, "log", 4), "PROOF_OUT_OF_RANGE"),
        (lambda c: service.inclusion_proof(c, "log", 3, 3), "PROOF_OUT_OF_RANGE"),
        (lambda c: service.inclusion_proof(c, "log", 0, 4), "PROOF_OUT_OF_RANGE"),
        (lambda c: service.inclusion_proof(c, "log", -1, 3), "PROOF_OUT_OF_RANGE"),
        (lambda c: service.consistency_proof(c, "log", 3, 2), "PROOF_OUT_OF_RANGE"),
        (lambda c: service.read_leaf(c, "log", 3), "PROOF_OUT_OF_RANGE"),
        (lambda c: service.read_leaf(c, "log", -1), "PROOF_OUT_OF_RANGE"),
    ],
)
def test_what_lies_outside_the_log_is_named_as_such(database: Database, question: object, code: str) -> None:
    append(database, "log", [b"a", b"b", b"c"])
    with pytest.raises(HubError) as caught:
        database.read_now(question)  # type: ignore[arg-type]
    assert caught.value.code == code


def test_an_empty_log_has_the_empty_root(database: Database) -> None:
    database.write_now(lambda connection: service.create(connection, "log"))
    database.write_now(lambda connection: service.create(connection, "log"))
    assert database.read_now(lambda connection: service.root(connection, "log")) == root_of([])


async def test_appends_touch_their_logs_topic(database: Database) -> None:
    heard: list[frozenset[str]] = []
    database.subscribe(heard.append)
    await database.write(lambda connection: service.append(connection, "consent/gov", [b"x"]))
    await asyncio.sleep(0.05)
    assert heard == [frozenset({"consent/gov"})]
