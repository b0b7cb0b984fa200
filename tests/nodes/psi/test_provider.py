"""Comparisons between two nodes over a relay in memory, with the real processes of both parties: what is told, recorded and refused."""

from __future__ import annotations

import asyncio
import csv
import sqlite3
import uuid
from typing import Any

import pytest

from cli.demo.loans import synthetic_uscc
from consent.documents import ExchangeMode
from nodes.errors import ExchangeFailed, NodeError, StoreFailed
from nodes.party.process import PartyProcess
from nodes.psi import provider as module
from nodes.psi.messages import Agreed, Begin, Proposal
from nodes.psi.store import PsiStore
from tests.nodes.exchanges.parties import ITEM, Parties
from tests.nodes.hub_simulator import DAY_MS
from tests.nodes.psi.two_nodes import BASIS, Talk, provider_of, psi_terms, receipts_of, rule

OURS = [synthetic_uscc(number) for number in range(60)]
THEIRS = [synthetic_uscc(number) for number in range(25, 200)]
COMMON = set(OURS) & set(THEIRS)


def proposal(**changes: Any) -> Proposal:
    return Proposal(**{"run": str(uuid.uuid4()), "place": 1, "keep": "all"} | changes)


async def test_which_are_common_is_on_both_records_in_one_order(parties: Parties) -> None:
    provider = provider_of(parties, THEIRS, rule())
    async with Talk(parties, provider, psi_terms(parties, ExchangeMode.PSI_ROWS)) as talk:
        outcome = await talk.compare(parties, OURS)
        assert await asyncio.wait_for(talk.served, 30) == len(COMMON)
    assert (outcome.size, outcome.own, outcome.minimum) == (len(COMMON), 60, 20)
    assert (outcome.providers[0].common, outcome.providers[0].legal_basis) == (len(COMMON), BASIS)
    ours, theirs = await receipts_of(parties.bank_store), await receipts_of(parties.provider_store)
    for made, side in ((ours, "requester"), (theirs, "provider")):
        assert [(each.side, each.request_no, each.decision, each.legal_basis) for each, _ in made] == [
            (side, 0, "permit", BASIS),
            (side, 1, "permit", BASIS),
        ]
    assert ours[1][0].batch == theirs[1][0].batch
    named = [use.uscc for use in theirs[1][1]]
    assert set(named) == COMMON and theirs[0][1] == []
    with (parties.home / "out" / "common.csv").open(encoding="utf-8") as file:
        mine = [row["uscc"] for row in csv.DictReader(file)]
    kept = parties.home / "psi" / talk.terms.exchange_id
    assert [path.name for path in kept.iterdir()] == ["common.csv"]
    with (kept / "common.csv").open(encoding="utf-8") as file:
        assert [row["uscc"] for row in csv.DictReader(file)] == mine
    assert set(mine) == COMMON


async def test_how_many_is_all_that_either_learns(parties: Parties) -> None:
    provider = provider_of(parties, THEIRS, rule("size"))
    async with Talk(parties, provider, psi_terms(parties, ExchangeMode.PSI_SIZE)) as talk:
        outcome = await talk.compare(parties, OURS)
        assert await asyncio.wait_for(talk.served, 30) == outcome.size == len(COMMON)
    for store in (parties.bank_store, parties.provider_store):
        ((made, uses),) = await receipts_of(store)
        assert (made.request_no, made.batch is not None and made.batch.size, uses) == (0, 0, [])
    assert not (parties.home / "psi" / talk.terms.exchange_id).exists()
    (listed,) = await PsiStore(parties.provider_store).records()
    assert (listed.size, listed.state, listed.legal_basis) == (len(COMMON), "finished", BASIS)


async def test_below_the_minimum_nobody_learns_anything(parties: Parties) -> None:
    provider = provider_of(parties, THEIRS, rule(minimum=40))
    async with Talk(parties, provider, psi_terms(parties, ExchangeMode.PSI_ROWS)) as talk:
        with pytest.raises(ExchangeFailed) as error:
            await talk.compare(parties, OURS)
        assert error.value.code == "COHORT_TOO_SMALL"
        with pytest.raises(NodeError):
            await asyncio.wait_for(talk.served, 30)
    assert [made.request_no for made, _ in await receipts_of(parties.provider_store)] == [0]
    assert not (parties.home / "out").exists() and not (parties.home / "psi" / talk.terms.exchange_id).exists()
    (listed,) = await PsiStore(parties.provider_store).records()
    assert (listed.size, listed.state, listed.failure) == (None, "failed", "COHORT_TOO_SMALL")


@pytest.mark.parametrize(
    "rules",
    [
        (),
        (rule("size"),),
        (rule(member="other-bank"),),
        (rule(product="other-product"),),
    ],
)
async def test_without_a_rule_for_exactly_this_it_is_refused_and_recorded(parties: Parties, rules: Any) -> None:
    async with Talk(parties, provider_of(parties, THEIRS, *rules), psi_terms(parties, ExchangeMode.PSI_ROWS)) as talk:
        with pytest.raises(NodeError) as error:
            await talk.compare(parties, OURS)
    assert error.value.code == "PSI_NOT_PERMITTED"
    ((made, _),) = await receipts_of(parties.provider_store)
    assert (made.decision, made.legal_basis, made.items) == ("PSI_NOT_PERMITTED", None, (ITEM,))
    assert await PsiStore(parties.provider_store).records() == []


async def test_how_this_node_s_party_failed_leaves_it_as_a_code_only(parties: Parties) -> None:
    """Its list names an enterprise twice, which its own operator is told by rows."""
    async with Talk(
        parties, provider_of(parties, [*THEIRS, THEIRS[3]], rule()), psi_terms(parties, ExchangeMode.PSI_ROWS)
    ) as talk:
        with pytest.raises(NodeError) as at_the_bank:
            await talk.compare(parties, OURS)
        with pytest.raises(NodeError) as here:
            await asyncio.wait_for(talk.served, 30)
    for error in (at_the_bank, here):
        assert error.value.code in {"DATA_UNUSABLE", "PEER_FAILED"}
        assert "row" not in str(error.value)
    assert here.value.code == "DATA_UNUSABLE"


async def test_its_own_reason_stands_whatever_the_other_side_says_meanwhile(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bank hears that this node's party failed, and breaks off, before the process is seen to have ended."""

    async def start(*arguments: Any, **named: Any) -> PartyProcess:
        process = await original(*arguments, **named)
        wait = process.child.wait

        async def later() -> int:
            code = await wait()
            await asyncio.sleep(0.5)
            return code

        monkeypatch.setattr(process.child, "wait", later)
        return process

    original = module.start_party
    monkeypatch.setattr(module, "start_party", start)
    provider = provider_of(parties, [*THEIRS, THEIRS[3]], rule())
    async with Talk(parties, provider, psi_terms(parties, ExchangeMode.PSI_ROWS)) as talk:
        with pytest.raises(NodeError):
            await talk.compare(parties, OURS)
        with pytest.raises(NodeError) as here:
            await asyncio.wait_for(talk.served, 30)
    assert here.value.code == "DATA_UNUSABLE"


async def test_one_item_at_a_time(parties: Parties) -> None:
    terms = psi_terms(parties, ExchangeMode.PSI_ROWS, (ITEM, "demo_accounts"))
    async with Talk(parties, provider_of(parties, THEIRS, rule()), terms) as talk:
        with pytest.raises(NodeError) as error:
            await talk.compare(parties, OURS)
    assert error.value.code == "PSI_NOT_PERMITTED"


async def test_a_rule_is_spent_by_the_day_and_by_what_it_allows(parties: Parties) -> None:
    provider = provider_of(parties, THEIRS, rule("size", per_day=1), rule("rows", per_day=1))
    outcomes: list[str] = []
    for mode, later in (("psi_size", 0), ("psi_size", 0), ("psi_rows", 0), ("psi_size", DAY_MS)):
        parties.now_ms += later
        async with Talk(parties, provider, psi_terms(parties, ExchangeMode(mode))) as talk:
            await talk.link.say(proposal())
            try:
                said = await asyncio.wait_for(talk.link.hear(), 30)
                assert isinstance(said, Agreed)
                outcomes.append("agreed")
            except NodeError as error:
                outcomes.append(error.code)
    assert outcomes == ["agreed", "PSI_LIMIT_REACHED", "agreed", "agreed"]
    decisions = [made.decision for made, _ in await receipts_of(parties.provider_store)]
    assert decisions == ["permit", "PSI_LIMIT_REACHED", "permit", "permit"]


async def test_one_that_was_broken_off_is_not_gone_on_with(parties: Parties) -> None:
    provider, terms = provider_of(parties, THEIRS, rule(per_day=9)), psi_terms(parties, ExchangeMode.PSI_ROWS)
    for code in ("", "PEER_FAILED"):
        async with Talk(parties, provider, terms) as talk:
            await talk.link.say(proposal())
            if not code:
                assert isinstance(await talk.link.hear(), Agreed)
                continue
            with pytest.raises(NodeError) as error:
                await asyncio.wait_for(talk.link.hear(), 30)
            assert error.value.code == code


@pytest.mark.parametrize("said", [Begin(minimum=19), proposal()])
async def test_a_node_that_does_not_keep_to_it_gets_nothing(parties: Parties, said: Any) -> None:
    async with Talk(parties, provider_of(parties, THEIRS, rule()), psi_terms(parties, ExchangeMode.PSI_ROWS)) as talk:
        await talk.link.say(proposal())
        assert isinstance(await talk.link.hear(), Agreed)
        await talk.link.say(said)
        with pytest.raises(NodeError) as error:
            await asyncio.wait_for(talk.served, 30)
    assert error.value.code == "PROTOCOL_VIOLATION"


async def test_what_cannot_be_recorded_is_not_told(parties: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk refuses the record of the common enterprises: the bank does not learn which they are."""

    def refuse(connection: sqlite3.Connection, made: Any, uses: Any = ()) -> None:
        if made.request_no == 1:
            raise StoreFailed("the disk refuses")
        original(connection, made, uses)

    original = module.write_receipt
    monkeypatch.setattr(module, "write_receipt", refuse)
    async with Talk(parties, provider_of(parties, THEIRS, rule()), psi_terms(parties, ExchangeMode.PSI_ROWS)) as talk:
        with pytest.raises(NodeError):
            await talk.compare(parties, OURS)
    assert not (parties.home / "out").exists()
    assert [made.request_no for made, _ in await receipts_of(parties.bank_store)] == [0]


async def test_other_enterprises_on_the_provider_s_record_are_found_out(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(codes: Any, salts: bytes) -> Any:
        return original([synthetic_uscc(9_000_000), *list(codes)[1:]], salts)

    original = module.common_of
    monkeypatch.setattr(module, "common_of", other)
    async with Talk(parties, provider_of(parties, THEIRS, rule()), psi_terms(parties, ExchangeMode.PSI_ROWS)) as talk:
        with pytest.raises(ExchangeFailed, match="recorded other enterprises") as error:
            await talk.compare(parties, OURS)
    assert error.value.code == "PROTOCOL_VIOLATION"
    assert not (parties.home / "out").exists()
