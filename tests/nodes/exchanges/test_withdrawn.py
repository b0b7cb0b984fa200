"""Who has withdrawn since a transfer was planned: found beside the event loop, and looked at again when the log has grown."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest

from consent.documents import ItemMode
from nodes.errors import Alarm, AlarmKind, NodeError
from nodes.exchanges.withdrawn import Withdrawn
from tests.nodes.exchanges.parties import Parties

SEVERAL = 5


class Noted(dict[str, int]):
    """Who asked for a consent's row."""

    def __init__(self, rows: dict[str, int]) -> None:
        super().__init__(rows)
        self.threads: set[int] = set()

    def get(self, record_id: str, default: int | None = None) -> int | None:  # type: ignore[override]
        self.threads.add(threading.get_ident())
        return super().get(record_id, default)


def permitted_of(parties: Parties, more: tuple[tuple[str, str], ...] = ()) -> pa.Table:
    for number in range(SEVERAL):
        parties.grant(parties.hub.register(number), ItemMode.R)
    parties.catch_up()
    book = parties.replica.own_book
    pairs = [*zip(book.subjects, book.record_ids, strict=True), *more]
    return pa.table({"uscc": [code for code, _ in pairs], "consent_id": [consent for _, consent in pairs]})


def grow(parties: Parties, number: int) -> None:
    parties.hub.register(number)
    parties.catch_up()


async def test_consents_are_found_in_another_thread_and_once(parties: Parties) -> None:
    permitted, book = permitted_of(parties), parties.replica.own_book
    book._row_of = noted = Noted(book._row_of)
    withdrawn = await Withdrawn.of(parties.replica, permitted)
    assert len(noted.threads) == 1 and threading.get_ident() not in noted.threads
    noted.threads.clear()
    for number in (97, 98):
        grow(parties, number)
        assert len(withdrawn.now()) == 0
    assert not noted.threads


async def test_a_log_that_grows_by_something_else_changes_nothing(parties: Parties) -> None:
    withdrawn = await Withdrawn.of(parties.replica, permitted_of(parties))
    before = withdrawn.now()
    grow(parties, 97)
    assert withdrawn.now() is before


async def test_who_withdraws_is_left_out_from_the_next_look_on(parties: Parties) -> None:
    permitted, book = permitted_of(parties), parties.replica.own_book
    withdrawn = await Withdrawn.of(parties.replica, permitted)
    assert len(withdrawn.now()) == 0
    for count, row in enumerate((3, 1), start=1):
        book.revoked[row] = parties.now_ms
        grow(parties, 96 + count)
        assert book.subjects[row] in withdrawn.now().to_pylist() and len(withdrawn.now()) == count


async def test_a_consent_that_is_not_known_counts_as_ended(parties: Parties) -> None:
    permitted = permitted_of(parties, more=(("91350211M000100Y43", "c-unknown"),))
    withdrawn = await Withdrawn.of(parties.replica, permitted)
    assert withdrawn.now().to_pylist() == ["91350211M000100Y43"]


async def test_while_the_hub_is_in_doubt_nothing_is_said(parties: Parties) -> None:
    withdrawn = await Withdrawn.of(parties.replica, permitted_of(parties))
    parties.replica.raise_alarm(Alarm(AlarmKind.LOG_FORKED, "directory", "two roots"))
    with pytest.raises(NodeError, match="contradict"):
        withdrawn.now()
