"""What a provider decides about another member's job: once, whole or not at all, and on its own book only."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from consent.documents import ItemMode, ItemScope, Recipients
from modeling.errors import CohortTooSmall, DataUnusable
from nodes.errors import Alarm, AlarmKind, ExchangeFailed, NodeError, UseRefused
from nodes.exchanges.permitted import read_table
from nodes.exchanges.terms import ExchangeTerms
from nodes.joint.cohort import BankRows, commitment_of, from_table
from nodes.joint.job_store import JobStore
from nodes.joint.messages import ItemColumns, Proposal
from nodes.joint.own_table import read_own_table
from nodes.joint.provider_plan import DecidedPlan, JointNode, decide, find_plan, left_rows
from tests.nodes.after_turn import AfterTurn
from tests.nodes.exchanges.parties import CATALOGUE, ITEM, Parties, Tables, receipts, rows_for
from tests.nodes.hub_simulator import BANK, CONSENTS, PROVIDER
from tests.nodes.joint.two_nodes import (
    FIELDS,
    OTHER_ITEM,
    bank_context,
    consented,
    joint_terms,
    narrowed,
    proposal,
    provider_node,
)
from trust.suite import sm3


def bank_rows_of(parties: Parties) -> BankRows:
    """The bank's rows: every consent of the provider's log that it holds, whatever it says."""
    book = bank_context(parties).replica.granted_book(PROVIDER)
    assert book is not None
    held = dict(zip(book.subjects, book.record_ids, strict=True))
    return BankRows(order=tuple(held), consents={PROVIDER: held}, secret=bytes(32))


async def decided(
    parties: Parties, node: JointNode, terms: ExchangeTerms, folder: Path, asked: Proposal | None = None
) -> DecidedPlan:
    bank = bank_rows_of(parties)
    tokens = bank.tokens(PROVIDER, terms.exchange_id)
    return await decide(node, terms, asked or proposal(len(bank.order)), tokens, folder)


async def uses_of(parties: Parties) -> dict[str, int]:
    def read(connection: sqlite3.Connection) -> dict[str, int]:
        return dict(connection.execute("SELECT record_id, total FROM uses").fetchall())

    return await parties.provider_store.read(read)


async def nothing_was_decided(parties: Parties, terms: ExchangeTerms) -> bool:
    plan = await parties.provider_store.read(lambda connection: find_plan(connection, terms.exchange_id))
    return plan is None and await receipts(parties.provider_store) == [] and await uses_of(parties) == {}


async def test_what_was_decided_is_stored_charged_and_recorded_over_the_same_subjects_as_the_banks(
    parties: Parties, tmp_path: Path
) -> None:
    both = consented(parties, 6)
    revoked, consent = both[2]
    parties.hub.revoke(revoked, consent)
    parties.grant(parties.hub.register(50), ItemMode.Q)
    parties.catch_up()
    terms = joint_terms(parties)
    bank = bank_rows_of(parties)
    plan = await decided(parties, provider_node(parties), terms, tmp_path)

    rows = from_table(read_table(tmp_path / "rows.arrow"))
    permitted = {each.uscc for each, _ in both} - {revoked.uscc}
    assert rows.subjects == tuple(code if code in permitted else None for code in bank.order)
    assert plan.refused == {"CONSENT_REVOKED": 1, "MODE_NOT_ALLOWED": 1}
    assert plan.batch_root == commitment_of(bank.uses(PROVIDER, rows.permitted, rows.salts)).root
    assert plan.tokens_sm3 == sm3(bank.tokens(PROVIDER, terms.exchange_id)).hex()
    assert await parties.provider_store.read(lambda connection: find_plan(connection, terms.exchange_id)) == plan
    (receipt,) = await receipts(parties.provider_store)
    assert receipt["batch"] == {"root": plan.batch_root, "size": 5}
    assert (receipt["receipt_id"], receipt["side"], receipt["mode"]) == (plan.receipt_id, "provider", "joint")
    assert await uses_of(parties) == {held.record_id: 1 for each, held in both if each.uscc in permitted}
    (listed,) = await JobStore(parties.provider_store).records()
    assert (listed.role, listed.state, listed.members, listed.name) == ("passive", "running", (BANK,), "risk")


async def test_the_table_holds_the_permitted_rows_and_nothing_of_anybody_else(parties: Parties, tmp_path: Path) -> None:
    both = consented(parties, 5)
    stranger = parties.hub.register(60)
    parties.tables = Tables(rows_for([*(each.uscc for each, _ in both[1:]), stranger.uscc]))
    await decided(parties, provider_node(parties), joint_terms(parties), tmp_path)
    table, present = read_own_table(tmp_path / "table.arrow")
    assert list(table) == [f"{ITEM}.{name}" for name in FIELDS]
    order = bank_rows_of(parties).order
    assert present.tolist() == [code != both[0][0].uscc for code in order]
    rows = {row["uscc"]: row for row in parties.tables.table.to_pylist()}
    for name in FIELDS:
        expected = [float(rows[code][name]) if code in rows else np.nan for code in order]
        np.testing.assert_array_equal(table[f"{ITEM}.{name}"], expected)


async def test_several_records_become_one_as_the_bank_proposed(parties: Parties, tmp_path: Path) -> None:
    both = consented(parties, 4)
    parties.tables = Tables(rows_for([each.uscc for each, _ in both], repeat=3))
    item = ItemColumns(item_id=ITEM, fields={"inq_fi": None}, aggregate="sum")
    await decided(parties, provider_node(parties), joint_terms(parties), tmp_path, proposal(4, items=(item,)))
    table, _ = read_own_table(tmp_path / "table.arrow")
    own: dict[str, float] = {}
    for row in parties.tables.table.to_pylist():
        own[row["uscc"]] = own.get(row["uscc"], 0) + row["inq_fi"]
    assert table[f"{ITEM}.inq_fi"].tolist() == [own[code] for code in bank_rows_of(parties).order]


async def test_a_job_of_too_few_is_refused_and_costs_nobody_a_use(parties: Parties, tmp_path: Path) -> None:
    consented(parties, 4)
    terms = joint_terms(parties)
    with pytest.raises(CohortTooSmall, match="fewer than 5"):
        await decided(parties, provider_node(parties, minimum_rows=5), terms, tmp_path)
    assert await nothing_was_decided(parties, terms)


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (lambda parties: setattr(parties, "now_ms", parties.now_ms + 60_000), "CONSENT_STALE"),
        (
            lambda parties: parties.replica.raise_alarm(Alarm(AlarmKind.LOG_FORKED, CONSENTS, "seen by a test")),
            "LOG_INCONSISTENT",
        ),
    ],
)
async def test_a_node_that_does_not_know_the_consents_of_now_refuses(
    parties: Parties, tmp_path: Path, before: Callable[[Parties], Any], reason: str
) -> None:
    consented(parties, 4)
    terms = joint_terms(parties)
    before(parties)
    with pytest.raises(UseRefused) as refused:
        await decided(parties, provider_node(parties), terms, tmp_path)
    assert refused.value.reason == reason
    assert await nothing_was_decided(parties, terms)


async def test_a_consent_for_one_use_is_in_one_job(parties: Parties, tmp_path: Path) -> None:
    consented(parties, 4, max_uses=1)
    node = provider_node(parties)
    await decided(parties, node, joint_terms(parties), tmp_path / "one")
    with pytest.raises(UseRefused) as refused:
        await decided(parties, node, joint_terms(parties), tmp_path / "two")
    assert refused.value.reason == "USES_EXHAUSTED"
    assert set((await uses_of(parties)).values()) == {1}
    assert await left_rows(node, joint_terms(parties), from_table(read_table(tmp_path / "one" / "rows.arrow"))) == []


class SpentMeanwhile(Tables):
    """Data that takes so long to read that another request spends a use meanwhile."""

    def __init__(self, table: pa.Table, database: Path, record_id: str) -> None:
        super().__init__(table)
        self._database, self._record_id = database, record_id

    def scan(self, *asked: Any) -> Iterator[pa.RecordBatch]:
        connection = sqlite3.connect(self._database)
        connection.execute("INSERT INTO uses (record_id, total) VALUES (?, 1)", (self._record_id,))
        connection.commit()
        connection.close()
        yield from super().scan(*asked)


async def test_a_use_that_is_spent_while_the_data_is_read_undoes_the_decision(parties: Parties, tmp_path: Path) -> None:
    both = consented(parties, 4, max_uses=1)
    terms, spent = joint_terms(parties), both[1][1].record_id
    node = dataclasses.replace(
        provider_node(parties), tables=SpentMeanwhile(parties.tables.table, parties.provider_store.path, spent)
    )
    with pytest.raises(UseRefused) as refused:
        await decided(parties, node, terms, tmp_path)
    assert refused.value.reason == "USES_EXHAUSTED"
    assert await uses_of(parties) == {spent: 1}
    assert await receipts(parties.provider_store) == []
    assert await JobStore(parties.provider_store).records() == []


async def test_a_node_that_is_lost_before_it_has_stored_its_decision_has_decided_nothing(
    parties: Parties, tmp_path: Path
) -> None:
    consented(parties, 4)
    terms = joint_terms(parties)

    def lost() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await decided(parties, dataclasses.replace(provider_node(parties), new_id=lost), terms, tmp_path)
    assert await nothing_was_decided(parties, terms)
    await decided(parties, provider_node(parties), terms, tmp_path)
    assert set((await uses_of(parties)).values()) == {1}


async def test_a_second_decision_about_the_same_exchange_charges_nobody(parties: Parties, tmp_path: Path) -> None:
    consented(parties, 4)
    terms, node = joint_terms(parties), provider_node(parties)
    await decided(parties, node, terms, tmp_path)
    with pytest.raises(NodeError):
        await decided(parties, node, terms, tmp_path)
    assert set((await uses_of(parties)).values()) == {1}
    assert len(await receipts(parties.provider_store)) == 1


async def test_texts_with_a_sum_and_no_columns_at_all_are_refused_and_charge_nobody(
    parties: Parties, tmp_path: Path
) -> None:
    both = consented(parties, 4)
    texts = parties.tables.table.set_column(1, "delinq_2yrs", pa.array(["x"] * len(both)))
    terms = joint_terms(parties)
    node = dataclasses.replace(provider_node(parties), tables=Tables(texts))
    item = ItemColumns(item_id=ITEM, fields=dict.fromkeys(FIELDS), aggregate="sum")
    with pytest.raises(DataUnusable, match="sum is for numbers"):
        await decided(parties, node, terms, tmp_path, proposal(4, items=(item,)))
    with pytest.raises(ExchangeFailed, match="no columns"):
        await decided(parties, node, terms, tmp_path, proposal(4, items=()))
    assert await nothing_was_decided(parties, terms)


# -- who has left


async def test_rows_leave_by_withdrawal_expiry_or_a_narrower_consent(parties: Parties, tmp_path: Path) -> None:
    both = consented(parties, 8)
    for number in range(2):
        each = parties.hub.register(80 + number)
        both.append((each, parties.grant(each, ItemMode.J, valid_to_ms=parties.now_ms + 1000)))
    parties.catch_up()
    terms, node = joint_terms(parties), provider_node(parties)
    await decided(parties, node, terms, tmp_path)
    rows = from_table(read_table(tmp_path / "rows.arrow"))
    assert await left_rows(node, terms, rows) == []
    parties.hub.revoke(*both[0])
    narrowed(parties, *both[1], scope=(ItemScope(item_id=ITEM, mode=ItemMode.Q),))
    narrowed(parties, *both[2], recipients=Recipients(data_source=PROVIDER, data_users=("secondbank",)))
    narrowed(
        parties, *both[3], scope=(ItemScope(item_id=ITEM, mode=ItemMode.J), ItemScope(item_id=ITEM, mode=ItemMode.Q))
    )
    parties.now_ms += 1000
    parties.catch_up()
    left = {rows.subjects[row] for row in await left_rows(node, terms, rows)}
    assert left == {each.uscc for each, _ in [*both[:3], *both[8:]]}


async def test_of_several_consents_that_a_job_needs_each_one_counts(parties: Parties, tmp_path: Path) -> None:
    both = consented(parties, 5)
    more = [parties.grant(each, ItemMode.J, items=(OTHER_ITEM,)) for each, _ in both]
    parties.catch_up()
    terms, node = joint_terms(parties, ITEM, OTHER_ITEM), provider_node(parties)
    bank = BankRows(
        order=tuple(each.uscc for each, _ in both),
        consents={PROVIDER: {each.uscc: held.record_id for each, held in both}},
        secret=bytes(32),
    )
    await decide(node, terms, proposal(5), bank.tokens(PROVIDER, terms.exchange_id), tmp_path)
    assert len(await uses_of(parties)) == 10
    rows = from_table(read_table(tmp_path / "rows.arrow"))
    parties.hub.revoke(*both[4])
    parties.hub.revoke(both[1][0], more[1])
    parties.catch_up()
    assert await left_rows(node, terms, rows) == [1, 4]


async def test_a_large_book_does_not_hold_up_the_event_loop_and_what_comes_meanwhile_counts_next_time(
    parties: Parties, tmp_path: Path
) -> None:
    both = consented(parties, 5)
    terms, slow = joint_terms(parties), AfterTurn(CATALOGUE)
    node = dataclasses.replace(provider_node(parties), catalogue=slow)  # type: ignore[arg-type]

    def changes(enterprise: int) -> Callable[[], None]:
        def withdrawn() -> None:
            parties.hub.revoke(*both[enterprise])
            parties.grant(parties.hub.register(90 + enterprise), ItemMode.J)
            parties.catch_up()

        return withdrawn

    plan, _ = await asyncio.gather(decided(parties, node, terms, tmp_path), slow.turn(changes(0)))
    rows = from_table(read_table(tmp_path / "rows.arrow"))
    assert (len(rows.uses), plan.refused) == (5, {})
    slow = AfterTurn(CATALOGUE)
    node = dataclasses.replace(node, catalogue=slow)  # type: ignore[arg-type]
    left, _ = await asyncio.gather(left_rows(node, terms, rows), slow.turn(changes(1)))
    assert [rows.subjects[row] for row in left] == [both[0][0].uscc]
    assert {rows.subjects[row] for row in await left_rows(node, terms, rows)} == {both[n][0].uscc for n in (0, 1)}


@pytest.mark.parametrize("late_ms", [0, 59_999, 60_000])
async def test_who_has_left_is_not_answered_from_an_old_copy(parties: Parties, tmp_path: Path, late_ms: int) -> None:
    consented(parties, 4)
    terms, node = joint_terms(parties), provider_node(parties)
    await decided(parties, node, terms, tmp_path)
    rows = from_table(read_table(tmp_path / "rows.arrow"))
    parties.now_ms += late_ms
    if late_ms < node.max_staleness_ms:
        assert await left_rows(node, terms, rows) == []
        return
    with pytest.raises(NodeError) as refused:
        await left_rows(node, terms, rows)
    assert refused.value.code == "CONSENT_STALE"


async def test_after_an_alarm_nobody_is_told_who_has_left(parties: Parties, tmp_path: Path) -> None:
    consented(parties, 4)
    terms, node = joint_terms(parties), provider_node(parties)
    await decided(parties, node, terms, tmp_path)
    rows = from_table(read_table(tmp_path / "rows.arrow"))
    parties.replica.raise_alarm(Alarm(AlarmKind.LOG_FORKED, CONSENTS, "seen by a test"))
    with pytest.raises(NodeError) as refused:
        await left_rows(node, terms, rows)
    assert refused.value.code == "LOG_INCONSISTENT"
