"""What a provider decides about the rows of a request, and what it writes down."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from typing import Any

import msgspec
import pytest

from consent.documents import encode
from consent.usage import SubjectTree, SubjectUse
from nodes.errors import NodeError, UseRefused
from nodes.scoring.limits import MODELS
from nodes.scoring.spent import Model, spend, spent_on, spent_today
from nodes.scoring.verdict import SINCE, Verdict, judge, salt_of
from tests.nodes.exchanges.parties import Parties, receipts
from tests.nodes.hub_simulator import BANK
from tests.nodes.scoring.two_nodes import SPENT, USES, asked, consented, named, score_terms, scoring_node


async def judged(parties: Parties, blob: bytes, rows: int, **changes: Any) -> Verdict:
    limits = changes.pop("limits", {})
    model = changes.pop("model", SPENT)
    node = scoring_node(parties, **limits)
    brought = changes.pop("brought", b"the same")
    return await judge(node, score_terms(parties), USES, model, asked(rows, **changes), blob, brought)


async def count(parties: Parties, question: Any) -> Any:
    return await parties.provider_store.read(question)


def uses(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT coalesce(sum(total), 0) FROM uses").fetchone()[0])


async def test_permitted_rows_are_charged_counted_and_recorded_in_one_batch(parties: Parties) -> None:
    both = consented(parties, 3)
    verdict = await judged(parties, named([consent for _, consent in both]), 3)
    assert verdict.subjects == tuple(each.uscc for each, _ in both)
    assert not verdict.hidden.any()
    assert await count(parties, uses) == 3
    assert await count(parties, lambda c: spent_today(c, BANK, parties.now_ms)) == 3
    (receipt,) = await receipts(parties.provider_store)
    leaves = [
        SubjectUse(uscc=each.uscc, consent_id=consent.record_id, record_count=1, salt=salt_of(verdict.outcome.seed, at))
        for at, (each, consent) in enumerate(both)
    ]
    tree = SubjectTree([encode(use) for use in leaves])
    assert receipt["batch"] == {"root": tree.commitment.root, "size": 3}
    assert (receipt["digest"], receipt["decision"]) == (SPENT.model, "permit")
    stored = await count(
        parties, lambda c: c.execute("SELECT subject_use FROM batch_subjects ORDER BY position").fetchall()
    )
    assert [msgspec.json.decode(each, type=SubjectUse) for (each,) in stored] == leaves


async def test_a_row_without_consent_is_refused_and_says_why(parties: Parties) -> None:
    (first, consent), *_ = consented(parties, 2)
    verdict = await judged(parties, named([consent, str(uuid.uuid4())]), 2)
    assert verdict.subjects == (first.uscc, None)
    assert verdict.hidden.tolist() == [False, True]
    assert verdict.outcome.reasons[verdict.outcome.codes[1] - 1][0] == "NO_CONSENT"
    assert await count(parties, uses) == 1


async def test_one_enterprise_by_itself_has_a_receipt_of_its_own(parties: Parties) -> None:
    ((enterprise, consent),) = consented(parties, 1)
    await judged(parties, named([consent]), 1, single=True)
    (receipt,) = await receipts(parties.provider_store)
    assert (receipt["subject"], receipt["consent_id"], receipt["batch"]) == (enterprise.uscc, consent.record_id, None)


async def test_a_repeated_key_spends_nothing_and_has_the_first_receipt(parties: Parties) -> None:
    blob = named([consent for _, consent in consented(parties, 2)])
    first = await judged(parties, blob, 2)
    again = await judged(parties, blob, 2, request_no=7)
    assert again.outcome == first.outcome
    assert again.subjects == first.subjects
    assert await count(parties, uses) == 2
    assert len(await receipts(parties.provider_store)) == 1
    with pytest.raises(UseRefused) as refused:
        await judged(parties, blob[:16], 1)
    assert refused.value.reason == "REQUEST_KEY_USED"


async def test_a_repeated_key_with_other_ciphertexts_is_the_same_use_but_counts_against_the_limits(
    parties: Parties,
) -> None:
    """It may be another question: numbers of one's own choice for a served model, or other weights in another session."""
    blob = named([consent for _, consent in consented(parties, 2)])
    limits = {"scores_per_subject_per_day": 3, "scores_per_day": 2}
    found = [await judged(parties, blob, 2, limits=limits, brought=bytes([n])) for n in (0, 0, 1, 2, 2, 3, 4)]
    assert [each.hidden.any() for each in found] == [False] * 5 + [True] * 2
    assert found[-1].outcome.codes == bytes([SINCE | 1]) * 2
    assert "scores_per_subject_per_day" in found[-1].outcome.reasons[0][1]
    assert found[-1].subjects == (None, None)
    assert await count(parties, uses) == 2
    assert await count(parties, lambda c: spent_today(c, BANK, parties.now_ms)) == 2
    assert len(await receipts(parties.provider_store)) == 1


async def test_a_consent_that_ended_since_is_refused_in_a_repetition_though_it_was_recorded(parties: Parties) -> None:
    both = consented(parties, 2)
    blob = named([consent for _, consent in both])
    first = await judged(parties, blob, 2)
    parties.hub.revoke(*both[1])
    parties.catch_up()
    again = await judged(parties, blob, 2)
    assert again.hidden.tolist() == [False, True]
    assert again.outcome.codes[1] >= SINCE
    assert again.outcome.reasons[(again.outcome.codes[1] & ~SINCE) - 1][0] == "CONSENT_REVOKED"
    assert (again.outcome.root, again.outcome.used) == (first.outcome.root, first.outcome.used)


async def test_limits_hold_within_one_request_and_over_requests(parties: Parties) -> None:
    both = consented(parties, 3)
    blob = named([consent for _, consent in both])
    day = await judged(parties, blob, 3, limits={"scores_per_day": 2})
    assert day.hidden.tolist() == [False, False, True]
    assert "scores_per_day" in day.outcome.reasons[0][1]
    assert await count(parties, uses) == 2
    models = [msgspec.structs.replace(asked(1), request_key=name) for name in "abcd"]
    found = []
    for each in models:
        model = Model(requester=BANK, model=each.request_key * 64, fields=SPENT.fields, created_ms=SPENT.created_ms)
        found.append(await judged(parties, blob[:16], 1, request_key=each.request_key, model=model))
    assert [each.hidden.tolist() for each in found] == [[False], [False], [True], [True]]
    assert MODELS in found[-1].outcome.reasons[0][1]


async def test_two_requests_at_once_do_not_both_take_the_last_use(parties: Parties) -> None:
    ((enterprise, consent),) = consented(parties, 1, max_uses=1)
    found = await asyncio.gather(
        *(judged(parties, named([consent]), 1, request_key=str(n), single=True) for n in range(4))
    )
    assert sorted(each.hidden.tolist()[0] for each in found) == [False, True, True, True]
    spent = await count(parties, lambda c: spent_on(c, BANK, enterprise.uscc, parties.now_ms))
    assert spent.today == 1


async def test_a_consent_named_twice_or_a_blob_of_another_length_is_no_question(parties: Parties) -> None:
    (_, consent), (_, other) = consented(parties, 2)
    for blob, rows in ((named([consent, consent]), 2), (named([consent, other])[:-1], 2), (named([consent]), 2)):
        with pytest.raises(NodeError) as refused:
            await judged(parties, blob, rows)
        assert refused.value.code == "PROTOCOL_VIOLATION"
    assert await receipts(parties.provider_store) == []


async def test_a_node_that_cannot_know_refuses_the_question_and_remembers_nothing(parties: Parties) -> None:
    ((_, consent),) = consented(parties, 1)
    parties.now_ms += 120_000
    with pytest.raises(UseRefused) as refused:
        await judged(parties, named([consent]), 1)
    assert refused.value.reason == "CONSENT_STALE"
    parties.catch_up()
    assert not (await judged(parties, named([consent]), 1)).hidden.any()


async def test_nothing_of_a_value_is_kept_of_a_request(parties: Parties) -> None:
    blob = named([consent for _, consent in consented(parties, 1)])
    await judged(parties, blob, 1)
    (row,) = await count(parties, lambda c: c.execute("SELECT * FROM score_log").fetchall())
    assert "delinq" not in json.dumps([str(each) for each in row])
    await parties.provider_store.write(lambda c: spend(c, SPENT, [], parties.now_ms))
    assert await count(parties, lambda c: spent_today(c, BANK, parties.now_ms)) == 1
