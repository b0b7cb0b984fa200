"""The bank's side of the rows: whom it asks about, and what it makes of a provider's answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import numpy as np
import pytest

from nodes.errors import ExchangeFailed
from nodes.exchanges.context import ExchangeContext
from nodes.scoring.messages import Answer
from nodes.scoring.panel import Panel
from nodes.scoring.question import Part, Replies
from nodes.scoring.rows import check, choose, record
from nodes.scoring.verdict import Verdict, judge
from tests.nodes.exchanges.parties import Parties, receipts
from tests.nodes.hub_simulator import PROVIDER
from tests.nodes.joint.two_nodes import bank_context
from tests.nodes.scoring.two_nodes import SPENT, USES, asked, consented, named, score_terms, scoring_node


def bank(parties: Parties) -> ExchangeContext:
    context = cast(SimpleNamespace, bank_context(parties))
    context.new_id = lambda: "00000000-0000-4000-8000-000000000001"
    context.settings.node_id = "bank-1"
    context.store = parties.bank_store
    context.outbox = SimpleNamespace(wake=lambda: None)
    return cast(ExchangeContext, context)


def model(parties: Parties) -> Any:
    part = SimpleNamespace(provider=PROVIDER, items=USES)
    version = SimpleNamespace(parts=(part,), purpose=parties.purpose, commitment=SPENT.model)
    return SimpleNamespace(version=version)


def panel(parties: Parties) -> Panel:
    terms = score_terms(parties)
    return cast(Panel, SimpleNamespace(model=model(parties), terms_of=lambda _: terms))


def replies(verdict: Verdict, rows: int, **changes: Any) -> Replies:
    outcome = verdict.outcome
    answer = Answer(
        session="ab" * 16,
        request_no=4,
        recorded_no=outcome.request_no,
        reasons=outcome.reasons,
        receipt_id=outcome.receipt_id,
        root=changes.get("root", outcome.root),
    )
    part = Part(
        answer=answer,
        codes=changes.get("codes", outcome.codes),
        seed=changes.get("seed", outcome.seed),
        used=changes.get("used", outcome.used),
        parts=(b"",),
    )
    return Replies(session="ab" * 16, layout="tiled", request_no=4, rows=rows, of={PROVIDER: part})


async def judged(parties: Parties, count: int = 3) -> tuple[list[str], list[Any], Verdict]:
    both = consented(parties, count)
    blob = named([consent for _, consent in both])
    verdict = await judge(scoring_node(parties), score_terms(parties), USES, SPENT, asked(count), blob, b"")
    return [each.uscc for each, _ in both], both, verdict


async def test_only_who_consented_is_asked_about_and_named_by_the_consent(parties: Parties) -> None:
    both = consented(parties, 2)
    parties.hub.revoke(*both[1])
    stranger = parties.hub.register(9).uscc
    chosen = choose(bank(parties), model(parties), [both[0][0].uscc, both[1][0].uscc, stranger, both[0][0].uscc])
    assert chosen.subjects == (both[0][0].uscc,)
    assert chosen.consents[PROVIDER] == named([both[0][1]])
    assert {uscc: why.code for uscc, why in chosen.refused.items()} == {
        both[1][0].uscc: "CONSENT_REVOKED",
        stranger: "NO_CONSENT",
    }


async def test_an_answer_that_is_as_recorded_is_kept_and_has_the_providers_root(parties: Parties) -> None:
    subjects, _, verdict = await judged(parties)
    context = bank(parties)
    checked = check(context, panel(parties), subjects, replies(verdict, 3), single=False)
    assert checked.kept.all()
    assert not checked.refused
    await record(context, checked.receipts)
    (given,), (taken,) = await receipts(parties.provider_store), await receipts(parties.bank_store)
    assert (given["batch"], given["digest"], given["request_no"]) == (taken["batch"], taken["digest"], 1)
    assert taken["request_no"] == 1


async def test_an_answer_about_others_than_were_recorded_is_refused(parties: Parties) -> None:
    subjects, _, verdict = await judged(parties)
    context = bank(parties)
    for changes in (
        {"root": "0" * 64},
        {"codes": b"\0\0\1"},
        {"codes": b"\0\0"},
        {"seed": b"x" * 31},
        {"used": verdict.outcome.used[:-16]},
    ):
        with pytest.raises(ExchangeFailed) as refused:
            check(context, panel(parties), subjects, replies(verdict, 3, **changes), single=False)
        assert refused.value.code == "PROTOCOL_VIOLATION"
    swapped = [subjects[1], subjects[0], subjects[2]]
    with pytest.raises(ExchangeFailed):
        check(context, panel(parties), swapped, replies(verdict, 3), single=False)


async def test_a_consent_that_the_bank_knows_to_have_ended_keeps_its_score_closed(parties: Parties) -> None:
    subjects, both, verdict = await judged(parties)
    parties.hub.revoke(*both[1])
    checked = check(bank(parties), panel(parties), subjects, replies(verdict, 3), single=False)
    assert checked.kept.tolist() == [True, False, True]
    assert checked.refused[subjects[1]].code == "CONSENT_REVOKED"


async def test_a_row_that_the_provider_refuses_says_why_and_who(parties: Parties) -> None:
    subjects, both, verdict = await judged(parties)
    parties.hub.revoke(*both[2])
    parties.catch_up()
    blob = named([consent for _, consent in both])
    again = await judge(scoring_node(parties), score_terms(parties), USES, SPENT, asked(3), blob, b"")
    assert msgspec.structs.replace(again.outcome, codes=b"", reasons=()) == msgspec.structs.replace(
        verdict.outcome, codes=b"", reasons=()
    )
    checked = check(bank(parties), panel(parties), subjects, replies(again, 3), single=False)
    np.testing.assert_array_equal(checked.kept, [True, True, False])
    why = checked.refused[subjects[2]]
    assert (why.code, why.member) == ("CONSENT_REVOKED", PROVIDER)
    assert checked.receipts[0].record_count == 3  # as it was recorded when it was permitted
