"""The counts behind the limits, in a node's database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.schema import MIGRATIONS
from nodes.scoring.limits import DAY_MS, YEAR_MS, Flag
from nodes.scoring.spent import Model, flag, flags_of, forget, spend, spending, spent_on, spent_on_model, spent_today

NOW = 1_900_000_000_000
A, B = "91110000600037341L", "91440300708461136T"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(tmp_path / "node.db", isolation_level=None)
    for statements in MIGRATIONS:
        for statement in statements:
            connection.execute(statement)
    yield connection
    connection.close()


def model(name: str, requester: str = "bank") -> Model:
    return Model(requester=requester, model=name * 64, fields=frozenset({"i.x"}), created_ms=NOW)


def test_a_score_counts_for_the_subject_the_day_and_the_model(database: sqlite3.Connection) -> None:
    spend(database, model("a"), [A, B], NOW)
    spend(database, model("b"), [A], NOW)
    spent = spent_on(database, "bank", A, NOW)
    assert spent.models == {"a" * 64, "b" * 64}
    assert spent.today == 2
    assert spent_on(database, "bank", B, NOW).today == 1
    assert spent_today(database, "bank", NOW) == 3
    (account,) = spending(database, NOW)
    assert account.models == (
        {"model": "a" * 64, "subjects": 2, "scores": 2},
        {"model": "b" * 64, "subjects": 1, "scores": 1},
    )


def test_another_requester_has_an_account_of_its_own(database: sqlite3.Connection) -> None:
    spend(database, model("a"), [A], NOW)
    assert spent_on(database, "other", A, NOW).models == frozenset()
    assert spent_today(database, "other", NOW) == 0


def test_a_new_day_begins_at_nothing_and_a_year_forgets_the_model(database: sqlite3.Connection) -> None:
    for _ in range(3):
        spend(database, model("a"), [A], NOW)
    assert spent_on(database, "bank", A, NOW).today == 3
    tomorrow = NOW + DAY_MS
    assert spent_on(database, "bank", A, tomorrow).today == 0
    assert spent_today(database, "bank", tomorrow) == 0
    spend(database, model("a"), [A], tomorrow)
    assert spent_on(database, "bank", A, tomorrow).today == 1
    assert spent_on(database, "bank", A, tomorrow + YEAR_MS - 1).models == {"a" * 64}
    assert spent_on(database, "bank", A, tomorrow + YEAR_MS).models == frozenset()


def test_a_subject_counts_once_for_a_model_however_often_it_is_scored(database: sqlite3.Connection) -> None:
    for _ in range(3):
        spend(database, model("a"), [A], NOW)
    spend(database, model("b"), [B], NOW)
    assert [each.what for each in flags_of(database, "bank", NOW + DAY_MS)] == ["hardly_used", "hardly_used"]
    (account,) = spending(database, NOW + DAY_MS)
    assert account.models[0] == {"model": "a" * 64, "subjects": 1, "scores": 3}
    assert len(account.flags) == 2


def test_what_was_seen_in_the_data_is_kept_for_thirty_days_and_flagged_with_the_rest(
    database: sqlite3.Connection,
) -> None:
    spend(database, model("a"), [A], NOW)
    seen = Flag(what="spread_misdeclared", models=("a" * 64,), sentence="Columns are distributed otherwise.")
    for _ in range(2):
        flag(database, "bank", seen, NOW)
    assert flags_of(database, "bank", NOW + DAY_MS) == (seen,)
    assert flags_of(database, "other", NOW) == ()
    assert flags_of(database, "bank", NOW + 30 * DAY_MS) == ()
    forget(database, NOW + 30 * DAY_MS, NOW)
    assert database.execute("SELECT count(*) FROM score_flags").fetchone() == (0,)


def test_a_model_that_this_node_serves_counts_for_the_day_and_is_no_model_of_the_requester(
    database: sqlite3.Connection,
) -> None:
    served = Model(requester="bank", model="c" * 64, fields=frozenset(), created_ms=NOW)
    spend(database, model("a"), [A], NOW)
    for _ in range(2):
        spend(database, served, [A], NOW)
    spent = spent_on(database, "bank", A, NOW)
    assert spent.models == {"a" * 64}
    assert (spent.today, spent_today(database, "bank", NOW)) == (3, 3)
    (account,) = spending(database, NOW)
    assert account.models[1] == {"model": "c" * 64, "subjects": 1, "scores": 2}
    assert (spent_on_model(database, served), spent_on_model(database, model("d"))) == (2, 0)
    assert flags_of(database, "bank", NOW + DAY_MS) == ()
