"""Queries: what is answered, what is refused and why, and that a use is never spent twice."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from consent.decision import ItemUse
from consent.documents import ExchangeMode, Frequency, ItemMode
from nodes.errors import UseRefused
from nodes.exchanges.query import QueryResult
from tests.nodes.exchanges.parties import FIELDS, ITEM, Parties, Tables, receipts, rows_for

ASKED = (ItemUse(item_id=ITEM, mode=ItemMode.Q, fields=FIELDS),)


def key() -> str:
    return str(uuid.uuid4())


async def ask(parties: Parties, uscc: str, items: tuple[ItemUse, ...] = ASKED, request_key: str = "") -> QueryResult:
    terms = parties.terms(ExchangeMode.QUERY, items)
    async with parties.serving(terms), parties.asking(terms) as client:
        return await client.query(uscc, items, request_key=request_key or key(), deadline_s=10)


async def test_a_consented_query_is_answered_and_both_sides_record_the_same_digest(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    consent = parties.grant(enterprise, ItemMode.Q)
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    result = await ask(parties, enterprise.uscc)
    assert json.loads(result.records) == {ITEM: [dict(zip(FIELDS, range(6), strict=True))]}
    assert result.consent_ids == (consent.record_id,)
    (given,), (taken,) = await receipts(parties.provider_store), await receipts(parties.bank_store)
    assert given["digest"] == taken["digest"] != ""
    assert (given["side"], taken["side"]) == ("provider", "requester")
    assert given["subject"] == taken["subject"] == enterprise.uscc
    assert given["decision"] == taken["decision"] == "permit"


async def test_only_the_fields_asked_for_leave(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    parties.grant(enterprise, ItemMode.Q)
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    result = await ask(parties, enterprise.uscc, (ItemUse(item_id=ITEM, mode=ItemMode.Q, fields=("inq_fi",)),))
    assert json.loads(result.records) == {ITEM: [{"inq_fi": 5}]}


async def test_verification_shows_bands_and_no_values(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    parties.grant(enterprise, ItemMode.V)
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    result = await ask(parties, enterprise.uscc, (ItemUse(item_id=ITEM, mode=ItemMode.V, fields=("delinq_2yrs",)),))
    assert json.loads(result.records) == {ITEM: [{"delinq_2yrs": "<1"}]}


async def test_without_consent_it_is_refused_and_recorded_on_both_sides(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    with pytest.raises(UseRefused) as refusal:
        await ask(parties, enterprise.uscc)
    assert refusal.value.reason == "NO_CONSENT"
    for store in (parties.provider_store, parties.bank_store):
        (receipt,) = await receipts(store)
        assert (receipt["decision"], receipt["digest"], receipt["record_count"]) == ("NO_CONSENT", "", 0)


async def test_after_a_withdrawal_the_next_query_in_the_same_exchange_is_refused(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    consent = parties.grant(enterprise, ItemMode.Q)
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    terms = parties.terms(ExchangeMode.QUERY, ASKED)
    async with parties.serving(terms), parties.asking(terms) as client:
        await client.query(enterprise.uscc, ASKED, request_key=key())
        parties.hub.revoke(enterprise, consent)
        parties.catch_up()
        with pytest.raises(UseRefused) as refusal:
            await client.query(enterprise.uscc, ASKED, request_key=key())
    assert refusal.value.reason == "CONSENT_REVOKED"


async def test_a_node_cut_off_from_the_hub_refuses_after_max_staleness(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    parties.grant(enterprise, ItemMode.Q)
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    parties.now_ms += 59_000
    await ask(parties, enterprise.uscc)
    parties.now_ms += 1_001
    with pytest.raises(UseRefused) as refusal:
        await ask(parties, enterprise.uscc)
    assert refusal.value.reason == "CONSENT_STALE"


async def test_the_last_use_is_spent_once_however_many_ask_at_once(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    parties.grant(enterprise, ItemMode.Q, max_uses=3)
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    terms = parties.terms(ExchangeMode.QUERY, ASKED)
    async with parties.serving(terms), parties.asking(terms) as client:
        outcomes = await asyncio.gather(
            *(client.query(enterprise.uscc, ASKED, request_key=key()) for _ in range(20)), return_exceptions=True
        )
    answered = [outcome for outcome in outcomes if isinstance(outcome, QueryResult)]
    refused = [outcome.reason for outcome in outcomes if isinstance(outcome, UseRefused)]
    assert (len(answered), refused) == (3, ["USES_EXHAUSTED"] * 17)
    assert sorted(outcome.remaining_uses or 0 for outcome in answered) == [0, 1, 2]


async def test_a_repeated_request_key_is_answered_again_and_not_counted_again(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    parties.grant(enterprise, ItemMode.Q, max_uses=1)
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    again = key()
    first = await ask(parties, enterprise.uscc, request_key=again)
    second = await ask(parties, enterprise.uscc, request_key=again)
    assert first.records == second.records
    with pytest.raises(UseRefused) as refusal:
        await ask(parties, enterprise.uscc)
    assert refusal.value.reason == "USES_EXHAUSTED"


async def test_a_request_key_cannot_be_reused_for_another_subject(parties: Parties) -> None:
    one, two = parties.hub.register(1), parties.hub.register(2)
    for enterprise in (one, two):
        parties.grant(enterprise, ItemMode.Q, max_uses=1)
    parties.tables = Tables(rows_for([one.uscc, two.uscc]))
    parties.catch_up()
    again = key()
    await ask(parties, one.uscc, request_key=again)
    with pytest.raises(UseRefused) as refusal:
        await ask(parties, two.uscc, request_key=again)
    assert refusal.value.reason == "REQUEST_KEY_USED"


async def test_a_repeated_request_key_does_not_outlive_a_withdrawal(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    consent = parties.grant(enterprise, ItemMode.Q)
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    again = key()
    await ask(parties, enterprise.uscc, request_key=again)
    parties.hub.revoke(enterprise, consent)
    parties.catch_up()
    with pytest.raises(UseRefused) as refusal:
        await ask(parties, enterprise.uscc, request_key=again)
    assert refusal.value.reason == "CONSENT_REVOKED"


async def test_the_frequency_is_kept_and_begins_anew_in_the_next_window(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    parties.grant(enterprise, ItemMode.Q, frequency=Frequency(count=2, unit="hour"))
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    for _ in range(2):
        await ask(parties, enterprise.uscc)
    with pytest.raises(UseRefused) as refusal:
        await ask(parties, enterprise.uscc)
    assert refusal.value.reason == "FREQUENCY_EXCEEDED"
    parties.now_ms += 3_600_000
    parties.catch_up()
    await ask(parties, enterprise.uscc)


async def test_a_query_stays_within_what_its_exchange_was_opened_for(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    parties.grant(enterprise, ItemMode.Q)
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    terms = parties.terms(ExchangeMode.QUERY, (ItemUse(item_id=ITEM, mode=ItemMode.Q, fields=("inq_fi",)),))
    async with parties.serving(terms), parties.asking(terms) as client:
        with pytest.raises(UseRefused) as refusal:
            await client.query(enterprise.uscc, ASKED, request_key=key())
    assert refusal.value.reason == "FIELD_NOT_COVERED"


async def test_a_lost_connection_in_the_middle_of_many_queries_loses_none(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    parties.grant(enterprise, ItemMode.Q, max_uses=60)
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    terms = parties.terms(ExchangeMode.QUERY, ASKED)
    async with parties.serving(terms), parties.asking(terms) as client:
        tasks = [asyncio.create_task(client.query(enterprise.uscc, ASKED, request_key=key())) for _ in range(60)]
        await asyncio.sleep(0.02)
        parties.relay.cut()
        results = await asyncio.wait_for(asyncio.gather(*tasks), 20)
    assert len(results) == 60
    assert sum(receipt["decision"] == "permit" for receipt in await receipts(parties.provider_store)) == 60


async def test_a_provider_that_restarts_in_the_middle_counts_nothing_twice(parties: Parties) -> None:
    enterprise = parties.hub.register(1)
    parties.grant(enterprise, ItemMode.Q, max_uses=40)
    parties.tables = Tables(rows_for([enterprise.uscc]))
    parties.catch_up()
    terms = parties.terms(ExchangeMode.QUERY, ASKED)
    async with parties.asking(terms) as client:
        async with parties.serving(terms):
            tasks = [asyncio.create_task(client.query(enterprise.uscc, ASKED, request_key=key())) for _ in range(40)]
            await asyncio.sleep(0.03)
        async with parties.serving(terms):
            results = await asyncio.wait_for(asyncio.gather(*tasks), 20)
    assert len(results) == 40
    assert sum(receipt["decision"] == "permit" for receipt in await receipts(parties.provider_store)) == 40
