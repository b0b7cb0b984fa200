from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from hub.database import Database, after_commit, group_of, open_database, touch
from hub.database_errors import of_database, trace_of
from hub.errors import HubError
from hub.logs import service
from trust.merkle import leaf_hash, root_of


def insert_log(connection: Connection, origin: str) -> str:
    connection.execute(text("INSERT INTO logs (origin, size) VALUES (:origin, 0)"), {"origin": origin})
    return origin


def names(connection: Connection) -> list[str]:
    return list(connection.execute(text("SELECT origin FROM logs ORDER BY origin")).scalars())


async def test_a_write_returns_the_functions_value_and_is_seen_by_the_next_read(database: Database) -> None:
    assert await database.write(lambda connection: insert_log(connection, "a")) == "a"
    assert await database.read(names) == ["a"]


async def test_a_failing_function_is_rolled_back_alone_and_only_its_caller_hears_of_it(database: Database) -> None:
    called: list[str] = []

    def fail(connection: Connection) -> str:
        insert_log(connection, "half")
        after_commit(connection, lambda: called.append("half"))
        service.append(connection, "entries", [b"lost"])
        raise ValueError("mine alone")

    def good(connection: Connection) -> str:
        after_commit(connection, lambda: called.append("good"))
        service.append(connection, "entries", [b"kept"])
        return insert_log(connection, "good")

    one, two, three = await asyncio.gather(
        database.write(good),
        database.write(fail),
        database.write(lambda connection: service.append(connection, "entries", [b"second"])),
        return_exceptions=True,
    )
    assert (one, three) == ("good", 1)
    assert isinstance(two, ValueError)
    assert await database.read(names) == ["entries", "good"]
    assert await database.read(lambda connection: service.read_leaves(connection, "entries", 0)) == [b"kept", b"second"]
    assert called == ["good"]


async def test_many_writes_share_few_commits(database: Database) -> None:
    async def append(number: int) -> int:
        return await database.write(lambda connection: service.append(connection, "entries", [b"%d" % number]))

    indexes = await asyncio.gather(*(append(number) for number in range(300)))
    assert sorted(indexes) == list(range(300))
    assert database.writer.functions == 300
    assert database.writer.commits < 30


async def test_callbacks_run_on_the_event_loop_before_the_caller_goes_on(database: Database) -> None:
    order: list[str] = []
    loop = asyncio.get_running_loop()

    def function(connection: Connection) -> None:
        after_commit(
            connection, lambda: order.append("callback" if asyncio.get_running_loop() is loop else "elsewhere")
        )

    await database.write(function)
    order.append("caller")
    assert order == ["callback", "caller"]


async def test_a_listener_hears_the_topics_of_what_was_committed_only(database: Database) -> None:
    heard: list[frozenset[str]] = []
    database.subscribe(heard.append)

    def fail(connection: Connection) -> None:
        touch(connection, "undone")
        raise ValueError

    with pytest.raises(ValueError):
        await database.write(fail)
    await database.write(lambda connection: touch(connection, "done"))
    await asyncio.sleep(0.05)
    assert heard == [frozenset({"done"})]


async def test_a_violated_constraint_reaches_its_caller_and_leaves_the_writer_working(database: Database) -> None:
    await database.write(lambda connection: insert_log(connection, "a"))
    with pytest.raises(IntegrityError):
        await database.write(lambda connection: insert_log(connection, "a"))
    await database.write(lambda connection: insert_log(connection, "b"))
    assert await database.read(names) == ["a", "b"]


async def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)read-?\s?only|disk fails"):
        await database.read(lambda connection: insert_log(connection, "a"))
    assert await database.read(names) == []


async def test_a_reader_sees_one_snapshot(database: Database) -> None:
    await database.write(lambda connection: service.append(connection, "entries", [b"a"]))
    loop = asyncio.get_running_loop()

    def read(connection: Connection) -> tuple[int, int]:
        before = service.size(connection, "entries")
        write = database.write(lambda writing: service.append(writing, "entries", [b"b"]))
        asyncio.run_coroutine_threadsafe(write, loop).result(10)
        return before, service.size(connection, "entries")

    assert await database.read(read) == (1, 1)
    assert await database.read(lambda connection: service.size(connection, "entries")) == 2


async def test_a_cancelled_caller_does_not_disturb_the_others(database: Database) -> None:
    task = asyncio.ensure_future(database.write(lambda connection: insert_log(connection, "a")))
    await asyncio.sleep(0)
    task.cancel()
    assert await database.write(lambda connection: insert_log(connection, "b")) == "b"


async def test_a_closed_database_refuses_and_says_that_it_is_stopping(database: Database) -> None:
    database.close()
    with pytest.raises(HubError, match="stopping"):
        await database.write(names)


def test_queued_writes_are_finished_when_the_database_closes(database: Database, database_url: str) -> None:
    waiting = [
        database.writer.submit(lambda connection, n=n: insert_log(connection, f"log{n}"), None) for n in range(50)
    ]
    database.close()
    assert all(future.done() for future in waiting)
    again = open_database(database_url)
    assert len(again.read_now(names)) == 50
    again.close()


def test_appending_outside_a_write_is_refused(database: Database) -> None:
    with pytest.raises(RuntimeError, match=r"Database\.write"):
        database.read_now(group_of)


def test_another_kind_of_database_is_refused() -> None:
    with pytest.raises(HubError, match="not supported"):
        open_database("mssql://host/db")


def test_a_full_disk_is_told_as_such_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'hub.db'}"
    db = open_database(url)

    def limit(connection: Connection, pages: int) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    db.write_now(lambda connection: limit(connection, 160))
    acknowledged: list[int] = []
    with pytest.raises(HubError) as caught:
        for _ in range(1000):
            acknowledged.append(db.write_now(lambda connection: service.append(connection, "usage", [bytes(2000)] * 3)))
    assert caught.value.code == "DISK_FULL"
    assert acknowledged
    db.write_now(lambda connection: limit(connection, 100_000))  # the operator has made room
    assert db.write_now(lambda connection: service.append(connection, "usage", [b"after"])) == 3 * len(acknowledged)
    db.close()

    again = open_database(url)
    leaves = again.read_now(lambda connection: service.read_leaves(connection, "usage", 0))
    root = again.read_now(lambda connection: service.root(connection, "usage"))
    again.close()
    assert leaves == [bytes(2000)] * (3 * len(acknowledged)) + [b"after"]
    assert root == root_of([leaf_hash(leaf) for leaf in leaves])


async def test_everybody_in_a_group_that_failed_hears_of_it(tmp_path: Path) -> None:
    db = open_database(f"sqlite:///{tmp_path / 'hub.db'}")
    called: list[int] = []
    await db.write(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 100"))

    def append(connection: Connection) -> int:
        after_commit(connection, lambda: called.append(1))
        return service.append(connection, "usage", [bytes(50_000)])

    before = await db.read(lambda connection: service.size(connection, "usage"))
    outcomes = await asyncio.gather(*(db.write(append) for _ in range(60)), return_exceptions=True)
    stored = await db.read(lambda connection: service.size(connection, "usage"))
    db.close()
    refused = [one for one in outcomes if isinstance(one, HubError) and one.code == "DISK_FULL"]
    assert refused
    assert stored - before == len(outcomes) - len(refused) == len(called)


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (OSError(28, "No space left on device"), "DISK_FULL"),
        (OSError(2, "No such file"), None),
        (ValueError("mine"), None),
        (sqlite3.IntegrityError("constraint"), None),
    ],
)
def test_only_failures_of_the_database_itself_are_taken_for_such(problem: Exception, code: str | None) -> None:
    found = of_database(problem)
    assert (found and found.code) == code


def whole_usage_log(connection: Connection) -> list[bytes]:
    leaves: list[bytes] = []
    while page := service.read_leaves(connection, "usage", len(leaves)):
        leaves += page
    return leaves


APPENDER = textwrap.dedent(
    """
    import asyncio, sys
    from hub.database import open_database
    from hub.logs import service

    db = open_database(sys.argv[1])

    async def caller(number):
        count = 0
        while True:
            leaf = b"%d/%d" % (number, count)
            index = await db.write(lambda connection: service.append(connection, "usage", [leaf]))
            sys.stdout.write(f"{index} {leaf.decode()}\\n")
            sys.stdout.flush()
            count += 1

    async def main():
        await asyncio.gather(*(caller(number) for number in range(40)))

    asyncio.run(main())
    """
)


@pytest.mark.parametrize("after_lines", [1, 400, 1500])
def test_what_was_acknowledged_survives_kill_9_in_the_middle_of_group_commits(
    database_url: str, after_lines: int
) -> None:
    process = subprocess.Popen([sys.executable, "-c", APPENDER, database_url], stdout=subprocess.PIPE, text=True)
    if process.stdout is None:
        pytest.fail("the appender has no output")
    lines: list[str] = []
    with process.stdout as output:
        for line in output:
            lines.append(line)
            if len(lines) == after_lines:
                os.kill(process.pid, signal.SIGKILL)
        process.wait(20)
    # The last line may be cut: it was never read as an acknowledgement.
    acknowledged = [line.split() for line in lines if line.endswith("\n")]
    assert len(acknowledged) >= after_lines

    db = open_database(database_url)
    leaves = db.read_now(whole_usage_log)
    size = db.read_now(lambda connection: service.size(connection, "usage"))
    root = db.read_now(lambda connection: service.root(connection, "usage"))
    following = db.write_now(lambda connection: service.append(connection, "usage", [b"after"]))
    db.close()
    assert [(index, leaf) for index, leaf in acknowledged if leaves[int(index)] != leaf.encode()] == []
    assert size == len(leaves) == following
    assert root == root_of([leaf_hash(leaf) for leaf in leaves])


async def test_hub_processes_over_one_postgresql_append_in_turn_and_hear_of_each_other(postgresql_server: str) -> None:
    shared, last = (f"log-{secrets.token_hex(4)}" for _ in range(2))
    one, two = open_database(postgresql_server), open_database(postgresql_server)
    heard: list[frozenset[str]] = []
    two.subscribe(heard.append)
    await asyncio.sleep(0.3)  # the listeners connect

    async def append(db: Database, log: str, number: int) -> int:
        return await db.write(lambda connection: service.append(connection, log, [b"%d" % number]))

    indexes = await asyncio.gather(*(append(one if number % 2 else two, shared, number) for number in range(100)))
    assert sorted(indexes) == list(range(100))
    await append(one, last, 1000)  # of a name of its own: the news of the others may still be on their way
    for _ in range(600):
        if frozenset({last}) in heard:
            break
        await asyncio.sleep(0.05)
    leaves = await two.read(lambda connection: service.read_leaves(connection, shared, 0))
    root = await two.read(lambda connection: service.root(connection, shared))
    one.close()
    two.close()
    assert heard.count(frozenset({last})) == 1
    assert root == root_of([leaf_hash(leaf) for leaf in leaves])


def test_what_is_logged_of_a_database_error_quotes_no_row(database: Database) -> None:
    value = secrets.token_hex(8)  # not in the source, whose lines a trace does show
    database.write_now(lambda connection: insert_log(connection, value))
    with pytest.raises(IntegrityError) as caught:
        database.write_now(lambda connection: insert_log(connection, value))
    told = trace_of(caught.value)
    assert value not in told
    assert "insert_log" in told and "IntegrityError" in told
    assert "mine" in trace_of(ValueError("mine"))
