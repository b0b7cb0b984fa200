"""The bank's rows: by its own copy of the consents, the same as long as the job runs, until somebody leaves."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from consent.documents import ItemMode, ItemScope, Purpose, PurposePart
from modeling.errors import CohortTooSmall
from nodes.errors import Alarm, AlarmKind, NodeError, UseRefused
from nodes.joint import bank_cohort
from nodes.joint.bank_cohort import kept_rows, left_rows, selected_rows, training_rows
from nodes.joint.cohort import BankRows
from tests.nodes.after_turn import AfterTurn
from tests.nodes.exchanges.parties import CATALOGUE, ITEM, Parties
from tests.nodes.hub_simulator import CONSENTS, OTHER_PROVIDER, PROVIDER
from tests.nodes.joint.job_texts import job, provider
from tests.nodes.joint.two_nodes import OTHER_ITEM, bank_context, consented, narrowed

JOB = job(purpose="joint_modelling")
BOTH = [provider(PROVIDER), provider(OTHER_PROVIDER)]


async def test_the_rows_are_the_enterprises_whose_consents_cover_the_job(parties: Parties) -> None:
    both = consented(parties, 22)
    consented_to_else = parties.hub.register(50)
    parties.grant(consented_to_else, ItemMode.R)
    parties.grant(parties.hub.register(51), ItemMode.J, items=(OTHER_ITEM,))
    gone, consent = both[0]
    parties.hub.revoke(gone, consent)
    rows = await selected_rows(bank_context(parties), JOB, "job")
    assert rows.consents == {PROVIDER: {each.uscc: held.record_id for each, held in both[1:]}}
    assert sorted(rows.order) == sorted(each.uscc for each, _ in both[1:])


async def test_with_two_providers_the_rows_are_of_all_or_of_any(parties: Parties) -> None:
    both = consented(parties, 30)
    for enterprise, _ in both[:24]:
        parties.grant(enterprise, ItemMode.J, provider=OTHER_PROVIDER)
    for number in range(60, 65):
        parties.grant(parties.hub.register(number), ItemMode.J, provider=OTHER_PROVIDER)
    context = bank_context(parties)
    for rows, count, here, there in (("all", 24, 24, 24), ("any", 35, 30, 29)):
        found = await selected_rows(
            context, job(purpose=None, providers=BOTH, cohort={"rows": rows, "minimum": 20}), "job"
        )
        assert len(found.order) == count
        assert (len(found.consents[PROVIDER]), len(found.consents[OTHER_PROVIDER])) == (here, there)


async def test_no_consent_at_all_or_none_that_covers_the_job_is_a_refusal_with_its_reason(parties: Parties) -> None:
    parties.purpose = Purpose.JOINT_MODELLING
    with pytest.raises(UseRefused, match="names this bank") as nobody:
        await selected_rows(bank_context(parties), JOB, "job")
    assert nobody.value.reason == "NO_CONSENT"
    parties.grant(parties.hub.register(1), ItemMode.R)
    with pytest.raises(UseRefused, match=f"covers this job at {PROVIDER}") as other:
        await selected_rows(bank_context(parties), JOB, "job")
    assert other.value.reason == "MODE_NOT_ALLOWED"


async def test_too_few_are_refused(parties: Parties) -> None:
    consented(parties, 19)
    with pytest.raises(CohortTooSmall, match="fewer than 20"):
        await selected_rows(bank_context(parties), JOB, "job")


async def test_a_job_that_goes_on_has_the_rows_that_it_began_with(parties: Parties, tmp_path: Path) -> None:
    both = consented(parties, 25)
    for enterprise, _ in both[:21]:
        parties.grant(enterprise, ItemMode.J, provider=OTHER_PROVIDER)
    asked = job(purpose=None, providers=BOTH, cohort={"rows": "any", "minimum": 20})
    first = await kept_rows(bank_context(parties), asked, "job", tmp_path)
    parties.hub.revoke(*both[3])
    parties.grant(parties.hub.register(70), ItemMode.J)
    again = await kept_rows(bank_context(parties), asked, "job", tmp_path)
    assert again == first
    assert again.tokens(OTHER_PROVIDER, "x") == first.tokens(OTHER_PROVIDER, "x")
    assert sorted((await selected_rows(bank_context(parties), asked, "job")).order) != sorted(first.order)


async def test_a_member_may_be_called_as_the_column_of_codes(
    parties: Parties, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = BankRows(order=("A", "B"), consents={"uscc": {"A": "consent"}}, secret=b"s")
    monkeypatch.setattr(bank_cohort, "_select", lambda *_: rows)
    for _ in range(2):
        assert await kept_rows(bank_context(parties), job(providers=[provider("uscc")]), "job", tmp_path) == rows


@pytest.mark.parametrize(("count", "share", "training"), [(100, 0.3, 70), (3, 0.9, 1), (20, 0.05, 19), (1, 0.9, 1)])
def test_the_first_rows_train(count: int, share: float, training: int) -> None:
    assert training_rows(job(split={"test": share}), count) == training


# -- who has left


async def test_an_enterprise_leaves_by_withdrawal_expiry_or_a_narrower_consent_of_either_provider(
    parties: Parties,
) -> None:
    both = consented(parties, 25)
    expiring = [parties.hub.register(80 + number) for number in range(2)]
    for enterprise in expiring:
        parties.grant(enterprise, ItemMode.J, valid_to_ms=parties.now_ms + 1000)
    there = [parties.grant(each, ItemMode.J, provider=OTHER_PROVIDER) for each in [*(e for e, _ in both), *expiring]]
    asked = job(purpose=None, providers=BOTH)
    rows = await selected_rows(bank_context(parties), asked, "job")
    assert await left_rows(bank_context(parties), asked, rows) == []
    parties.hub.revoke(*both[0])
    parties.hub.revoke(both[1][0], there[1])
    narrowed(parties, *both[2], scope=(ItemScope(item_id=ITEM, mode=ItemMode.Q),))
    narrowed(parties, both[3][0], there[3], purpose=PurposePart(purpose_code=Purpose.SCORING))
    parties.now_ms += 1000
    gone = {each.uscc for each, _ in both[:4]} | {each.uscc for each in expiring}
    assert {rows.order[row] for row in await left_rows(bank_context(parties), asked, rows)} == gone


async def test_a_consent_that_is_given_anew_does_not_bring_a_row_back(parties: Parties) -> None:
    both = consented(parties, 21)
    rows = await selected_rows(bank_context(parties), JOB, "job")
    parties.hub.revoke(*both[0])
    parties.grant(both[0][0], ItemMode.J)
    assert await left_rows(bank_context(parties), JOB, rows) == [rows.order.index(both[0][0].uscc)]


async def test_of_several_consents_that_a_job_needs_each_one_counts(parties: Parties) -> None:
    both = consented(parties, 21)
    more = [parties.grant(each, ItemMode.J, items=(OTHER_ITEM,)) for each, _ in both]
    two = provider(PROVIDER)
    two["items"] += provider(PROVIDER, ("revol_util",), OTHER_ITEM)["items"]
    asked = job(purpose=None, providers=[two])
    rows = await selected_rows(bank_context(parties), asked, "job")
    assert len(rows.order) == 21
    parties.hub.revoke(*both[4])
    parties.hub.revoke(both[9][0], more[9])
    left = {rows.order[row] for row in await left_rows(bank_context(parties), asked, rows)}
    assert left == {both[4][0].uscc, both[9][0].uscc}


async def test_a_large_cohort_does_not_hold_up_the_event_loop_and_what_comes_meanwhile_counts_next_time(
    parties: Parties,
) -> None:
    both = consented(parties, 21)
    context = bank_context(parties)
    book = context.replica.granted_book(PROVIDER)
    assert book is not None

    def withdraw(place: int) -> None:
        book.revoked[book.rows_of(both[place][0].uscc)[0]] = parties.now_ms

    slow = AfterTurn(CATALOGUE)
    context.catalogue = slow  # type: ignore[misc, assignment]
    rows, _ = await asyncio.gather(selected_rows(context, JOB, "job"), slow.turn(lambda: withdraw(0)))
    assert len(rows.order) == 21
    slow = AfterTurn(CATALOGUE)
    context.catalogue = slow  # type: ignore[misc, assignment]
    left, _ = await asyncio.gather(left_rows(context, JOB, rows), slow.turn(lambda: withdraw(1)))
    assert [rows.order[row] for row in left] == [both[0][0].uscc]
    assert {rows.order[row] for row in await left_rows(context, JOB, rows)} == {both[n][0].uscc for n in (0, 1)}


async def test_after_an_alarm_the_bank_does_not_know_who_has_left(parties: Parties) -> None:
    consented(parties, 21)
    context = bank_context(parties)
    rows = await selected_rows(context, JOB, "job")
    context.replica.raise_alarm(Alarm(AlarmKind.LOG_FORKED, CONSENTS, "seen by a test"))
    with pytest.raises(NodeError) as refused:
        await left_rows(context, JOB, rows)
    assert refused.value.code == "LOG_INCONSISTENT"
