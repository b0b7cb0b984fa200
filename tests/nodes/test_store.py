"""The node's database: what was acknowledged is there, whatever happened in between."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nodes.errors import DiskFull, SchemaTooNew, StoreFailed, StoreInUse
from nodes.schema import MIGRATIONS
from nodes.store import Store

USES = "INSERT INTO uses (record_id, total) VALUES (?, 1)"


def spend(record_id: str) -> Callable[[sqlite3.Connection], str]:
    def work(connection: sqlite3.Connection) -> str:
        connection.execute(USES, (record_id,))
        return record_id

    return work


def record_ids(connection: sqlite3.Connection) -> list[str]:
    return [record_id for (record_id,) in connection.execute("SELECT record_id FROM uses ORDER BY record_id")]


async def test_what_was_written_can_be_read(store: Store) -> None:
    assert await store.write(spend("a")) == "a"
    assert await store.read(record_ids) == ["a"]


async def test_functions_that_arrive_together_share_one_transaction(store: Store) -> None:
    blocked, go_on = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        blocked.set()
        go_on.wait(10)

    first = asyncio.ensure_future(store.write(hold))
    await asyncio.to_thread(blocked.wait, 10)
    commits: list[str] = []
    store._connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    rest = [asyncio.ensure_future(store.write(spend(f"{n:03}"))) for n in range(100)]
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(first, *rest)
    assert len(await store.read(record_ids)) == 100
    assert len(commits) == 2  # the one that was held, and one for the hundred


async def test_a_function_that_raises_is_rolled_back_alone(store: Store) -> None:
    def spend_and_fail(connection: sqlite3.Connection) -> None:
        connection.execute(USES, ("lost",))
        raise KeyError("mine")

    results = await asyncio.gather(
        store.write(spend("a")), store.write(spend_and_fail), store.write(spend("b")), return_exceptions=True
    )
    assert results[0] == "a"
    assert isinstance(results[1], KeyError)
    assert results[2] == "b"
    assert await store.read(record_ids) == ["a", "b"]


async def test_a_broken_constraint_is_named_and_harms_nobody_else(store: Store) -> None:
    results = await asyncio.gather(
        store.write(spend("a")), store.write(spend("a")), store.write(spend("b")), return_exceptions=True
    )
    assert [type(result) for result in results] == [str, StoreFailed, str]
    assert await store.read(record_ids) == ["a", "b"]


async def test_two_functions_never_interleave(store: Store) -> None:
    await store.write(lambda c: c.execute("INSERT INTO uses VALUES ('n', 0)") and None)

    def add_one(connection: sqlite3.Connection) -> None:
        (total,) = connection.execute("SELECT total FROM uses WHERE record_id = 'n'").fetchone()
        connection.execute("UPDATE uses SET total = ? WHERE record_id = 'n'", (total + 1,))

    await asyncio.gather(*(store.write(add_one) for _ in range(500)))
    assert await store.read(lambda c: c.execute("SELECT total FROM uses").fetchone()) == (500,)


async def test_readers_cannot_write(store: Store) -> None:
    with pytest.raises(StoreFailed):
        await store.read(lambda c: c.execute(USES, ("x",)))
    assert await store.read(record_ids) == []


async def test_a_full_disk_acknowledges_nothing_and_leaves_the_store_usable(store: Store) -> None:
    await store.write(spend("before"))

    def limit(connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute(USES, ("x" * 1_000_000,))

    await store.write(limit)
    with pytest.raises(DiskFull) as caught:
        await store.write(fill)
    assert caught.value.code == "DISK_FULL"
    await store.write(lambda c: c.execute("PRAGMA max_page_count = 1000000") and None)
    await store.write(spend("after"))
    assert await store.read(record_ids) == ["after", "before"]


async def test_a_commit_that_fails_is_told_to_everybody_in_the_group(store: Store) -> None:
    def prepare(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")

    await store.write(prepare)
    results = await asyncio.gather(
        store.write(spend("a")),
        store.write(lambda c: c.execute("INSERT INTO child VALUES (7)") and None),  # found out at COMMIT only
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [StoreFailed, StoreFailed]
    assert await store.read(record_ids) == []
    assert await store.write(spend("b")) == "b"


async def test_a_second_process_is_refused(store: Store) -> None:
    with pytest.raises(StoreInUse):
        Store.open(store.path)


async def test_a_closed_store_refuses(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "node.db")
    pending = asyncio.ensure_future(store.write(spend("a")))
    await asyncio.sleep(0)
    await store.close()
    assert await pending == "a"  # what was handed in before is finished
    with pytest.raises(StoreFailed):
        await store.write(spend("b"))
    with pytest.raises(StoreFailed):
        await store.read(record_ids)


async def test_a_cancelled_caller_does_not_disturb_the_others(store: Store) -> None:
    cancelled = asyncio.ensure_future(store.write(spend("a")))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await store.write(spend("b")) == "b"
    assert await store.read(record_ids) == ["a", "b"]


async def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    await Store.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(SchemaTooNew):
        Store.open(path)


async def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreFailed):
        Store.open(path)


async def test_opening_again_applies_no_migration_twice(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    first = Store.open(path)
    await first.write(spend("a"))
    await first.close()
    second = Store.open(path)
    assert await second.read(record_ids) == ["a"]
    assert await second.read(lambda c: c.execute("PRAGMA user_version").fetchone()) == (len(MIGRATIONS),)
    await second.close()


WRITER = """
import asyncio, sys
from collections.abc import Callable
from pathlib import Path
from nodes.store import Store

async def main() -> None:
    store = Store.open(Path(sys.argv[1]))
    async def one(worker: int) -> None:
        for number in range(1_000_000):
            name = f"{worker}-{number}"
            def work(connection):
                connection.execute("INSERT INTO uses (record_id, total) VALUES (?, 1)", (name,))
                connection.execute("INSERT INTO use_windows VALUES (?, 0, 1)", (name,))
            await store.write(work)
            print(name, flush=True)
    await asyncio.gather(*(one(worker) for worker in range(50)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged_before_kill", [1, 300, 2000])
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, acknowledged_before_kill: int) -> None:
    path = tmp_path / "node.db"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(acknowledged_before_kill)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    assert process.wait(10) == -signal.SIGKILL
    process.stdout.close()
    acknowledged += rest.split("\n")[:-1]  # the last line may be cut

    async def look() -> tuple[list[str], list[str], str]:
        store = Store.open(path)
        spent = await store.read(record_ids)
        windows = await store.read(
            lambda c: [r for (r,) in c.execute("SELECT record_id FROM use_windows ORDER BY record_id")]
        )
        (health,) = await store.read(lambda c: c.execute("PRAGMA integrity_check").fetchone())
        await store.close()
        return spent, windows, health

    spent, windows, health = asyncio.run(look())
    assert len(acknowledged) >= acknowledged_before_kill
    assert set(acknowledged) <= set(spent)  # nothing lost
    assert spent == windows  # each function happened whole or not at all
    assert health == "ok"


async def test_a_shared_database_with_tables_of_its_own_is_written_by_two_at_once(tmp_path: Path) -> None:
    tables = (("CREATE TABLE notes (note TEXT)",),)
    stores = [Store.open(tmp_path / "notes.db", migrations=tables, shared=True) for _ in range(2)]

    def note(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO notes VALUES ('x')")

    await asyncio.gather(*(store.write(note) for store in stores for _ in range(20)))
    for store in stores:
        assert await store.read(lambda connection: connection.execute("SELECT count(*) FROM notes").fetchone()) == (40,)
        await store.close()
    with pytest.raises(SchemaTooNew):
        Store.open(tmp_path / "notes.db", migrations=(), shared=True)
