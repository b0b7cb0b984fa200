from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import Connection, text

from hub.database import Database, touch
from hub.logs import service
from tests.hub.world import in_one_group


def append(*leaves: bytes) -> Callable[[Connection], int]:
    return lambda connection: service.append(connection, "entries", list(leaves))


async def test_what_a_group_shares_is_done_once_after_its_last_function(database: Database) -> None:
    calls: list[list[int]] = []

    def sizes(connection: Connection, indexes: Sequence[int]) -> list[tuple[int, int]]:
        calls.append(list(indexes))
        return [(index, service.size(connection, "entries")) for index in indexes]

    def fail(_: Connection) -> int:
        raise ValueError("mine alone")

    one, failed, two, plain = await in_one_group(
        database,
        database.write(append(b"a"), sizes),
        database.write(fail, sizes),
        database.write(append(b"b", b"c"), sizes),
        database.write(append(b"d")),
    )
    assert (one, two, plain) == ((0, 4), (1, 4), 3)
    assert str(failed) == "mine alone"
    assert calls == [[0, 1]]


async def test_what_is_finished_in_different_ways_does_not_mix(database: Database) -> None:
    def doubled(_: Connection, results: Sequence[int]) -> list[int]:
        return [2 * result for result in results]

    def written(_: Connection, results: Sequence[int]) -> list[str]:
        return [str(result) for result in results]

    answers = await in_one_group(
        database,
        database.write(lambda _: 1, doubled),
        database.write(lambda _: 2, written),
        database.write(lambda _: 3, doubled),
    )
    assert answers == [2, "2", 6]


async def test_a_finish_that_fails_is_told_to_its_callers_only_and_undone_alone(database: Database) -> None:
    heard: list[frozenset[str]] = []
    database.subscribe(heard.append)

    def fail(connection: Connection, _: Sequence[int]) -> list[int]:
        connection.execute(text("INSERT INTO logs (origin, size) VALUES ('half', 0)"))
        service.append(connection, "entries", [b"lost"])
        touch(connection, "lost")
        raise ValueError("no proof")

    def same(_: Connection, results: Sequence[int]) -> Sequence[int]:
        return results

    failed, good, plain = await in_one_group(
        database,
        database.write(append(b"kept"), fail),
        database.write(append(b"also kept"), same),
        database.write(append(b"plain")),
    )
    assert (str(failed), good, plain) == ("no proof", 1, 2)
    assert await database.read(lambda c: service.read_leaves(c, "entries", 0)) == [b"kept", b"also kept", b"plain"]
    assert await database.read(service.origins) == ["entries"]
    await asyncio.sleep(0.05)
    assert frozenset.union(*heard) == {"entries"}


async def test_a_finish_gives_as_many_results_as_it_got(database: Database) -> None:
    with pytest.raises(ValueError, match="shorter"):
        await database.write(append(b"kept"), lambda _, results: list(results)[1:])
    assert await database.write(append(b"next"), lambda _, results: results) == 1
