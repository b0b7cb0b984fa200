"""Data to model over an encrypted session: an asker's encrypted columns come to the owner's node, which adds columns of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from consent.model_state import Step
from modeling.preparation.columns import Number
from modeling.scoring.inputs import ASKER, OWN, Input
from modeling.scoring.model import Feature, LinearModel
from modeling.scoring.told import parse_told
from nodes.scoring import spent
from nodes.scoring.computer import Computer
from nodes.scoring.limits import DAY_MS
from nodes.scoring.messages import Answer, Declined, Opened
from nodes.scoring.own import OwnRows
from nodes.scoring.recipe import Answers, MirroredRecipe
from nodes.scoring.servable import servable
from nodes.scoring.verdict import SINCE
from tests.nodes.exchanges.parties import FIELDS, ITEM, Parties, receipts
from tests.nodes.hub_simulator import BANK, OTHER_PROVIDER, PROVIDER
from tests.nodes.scoring.two_nodes import (
    SESSION,
    asked,
    consented,
    exchange,
    heard,
    named,
    opening,
    refused,
    registries,
)
from trust.sm2 import PrivateKey

SENT = {"turnover": np.array([1.0, -2.0, np.nan, 9.0]), "age": np.array([3.0, 4.0, 5.0, 6.0])}


def served(intercept: float = -0.5) -> LinearModel:
    """Two columns of the asker, two of the owner's item."""

    def feature(member: str, name: str, weight: float) -> Feature:
        column = Number(name=name, low=None, high=None, fill=0.0, centre=1.0, spread=2.0, clip=6.0, indicator=False)
        return Feature(input=Input(member=member, column=column), weights=(weight,))

    own = (feature(OWN, f"{ITEM}.{name}", weight) for name, weight in zip(FIELDS[:2], (0.5, -0.4), strict=True))
    return LinearModel(
        name="m", intercept=intercept, features=(feature(ASKER, "turnover", 0.7), feature(ASKER, "age", -0.3), *own)
    )


async def test_an_asker_opens_scores_of_enterprises_that_the_owner_permits(
    parties: Parties, computer: Computer
) -> None:
    pairs = consented(parties, 4)
    both = await registries(parties)
    model = await both.served(served())
    await both.step(both.bank, model.version.model_id, Step.APPROVE)
    usable = both.bank.usable(model.version.model_id)
    told = parse_told(usable.version.told)
    recipe = MirroredRecipe(told, PROVIDER, computer)
    begun = await recipe.begin(SESSION)
    parties.hub.revoke(*pairs[1])
    parties.catch_up()
    own = OwnRows(table=SENT, present=np.ones(4, np.bool_))
    brings = await recipe.question(SESSION, own)
    consents = named([consent for _, consent in pairs])
    async with exchange(parties, both, served_scores=100) as link:
        await link.say(opening(usable), begun.blobs[PROVIDER])
        assert isinstance((await heard(link))[0], Opened)
        await link.say(asked(4, layout="plain"), (consents, *brings))
        answer, (codes, _, _, *parts) = await heard(link)
        assert isinstance(answer, Answer), answer
        await link.say(asked(4, layout="plain", request_no=2, request_key="bad"), (consents, b"no ciphertext"))
        malformed, _ = await heard(link)
    assert (codes, answer.reasons[0][0]) == (b"\0\1\0\0", "CONSENT_REVOKED")
    assert isinstance(malformed, Declined)
    assert malformed.code == "PROTOCOL_VIOLATION"
    answers = Answers(session=SESSION, layout="plain", rows=4, parts={PROVIDER: tuple(parts)})
    everything = np.ones(4, np.bool_)
    kept = everything & (np.arange(4) != 1)
    scores = await recipe.open(answers, kept, own)
    plain = plain_scores(served(), parties, [each.uscc for each, _ in pairs])
    np.testing.assert_allclose(scores[kept], plain[kept], atol=begun.error)
    assert np.isnan(scores[1])
    # An asker that does not care what was refused sees a number that has to do neither with the score nor with its own columns.
    noise = (await recipe.open(answers, everything, own))[1]
    sent = served().part_for(ASKER).predictor(SENT, everything)[1]
    assert min(abs(noise - plain[1]), abs(noise - sent)) > 1e-6
    first, *_ = await receipts(parties.provider_store)
    assert (first["side"], first["record_count"], first["digest"]) == ("provider", 3, model.version.commitment)


def plain_scores(model: LinearModel, parties: Parties, codes: list[str]) -> Any:
    table = parties.tables.table.to_pandas().set_index("uscc").loc[codes]
    own = {f"{ITEM}.{name}": table[name].to_numpy(np.float64) for name in FIELDS[:2]}
    present = np.ones(len(codes), np.bool_)
    return model.own_predictor(own, present) + model.part_for(ASKER).predictor(SENT, present)


async def test_an_askers_programs_are_told_what_to_send_and_whether_the_model_is_in_service_here(
    parties: Parties,
) -> None:
    consented(parties, 1)
    both = await registries(parties)
    model = await both.served(served())
    await both.bank.sync()
    assert servable(both.provider, PROVIDER) == []
    (before,) = servable(both.bank, BANK)
    assert (before.state, before.why) == ("approved", "Node bank-1 has not approved model m version 1.")
    await both.step(both.bank, model.version.model_id, Step.APPROVE)
    (after,) = servable(both.bank, BANK)
    assert (after.name, after.state, after.why) == (f"{PROVIDER}/m", "in_service", "")
    assert [(each.name, each.kind) for each in after.own_columns] == [("turnover", "number"), ("age", "number")]


async def test_only_a_member_that_the_model_names_is_answered_and_only_while_it_is_in_service(
    parties: Parties, computer: Computer
) -> None:
    parties.hub.enrol_node("pay-1", OTHER_PROVIDER, PrivateKey.generate())
    consented(parties, 1)
    both = await registries(parties)
    model, foreign = await both.served(served()), await both.served(served(0.5), OTHER_PROVIDER)
    begun = await MirroredRecipe(parse_told(model.version.told), PROVIDER, computer).begin(SESSION)
    blobs = begun.blobs[PROVIDER]
    async with exchange(parties, both) as link:
        other = await refused(link, opening(foreign), blobs)
        short = await refused(link, opening(model), ())
        await both.step(both.provider, model.version.model_id, Step.RETIRE)
        retired = await refused(link, opening(model), blobs)
    assert [each.code for each in (other, short, retired)] == ["MODEL_NOT_APPROVED", "MODEL_INVALID", "MODEL_RETIRED"]


async def test_scores_a_day_are_limited_and_models_of_a_subject_are_not(parties: Parties, computer: Computer) -> None:
    pairs = consented(parties, 3)
    both = await registries(parties)
    model = await both.served(served())
    recipe = MirroredRecipe(parse_told(model.version.told), PROVIDER, computer)
    begun = await recipe.begin(SESSION)
    brings = await recipe.question(SESSION, OwnRows(table=rows(3), present=np.ones(3, np.bool_)))
    await spend_three_models(parties, [each.uscc for each, _ in pairs])
    async with exchange(parties, both, scores_per_day=5, served_scores=100) as link:
        await link.say(opening(model), begun.blobs[PROVIDER])
        assert isinstance((await heard(link))[0], Opened)
        await link.say(asked(3, layout="plain"), (named([each for _, each in pairs]), *brings))
        answer, (codes, *_) = await heard(link)
    assert isinstance(answer, Answer), answer
    assert codes == b"\0\0\1"
    assert answer.reasons[0][0] == "SCORE_LIMIT_REACHED"
    assert "scores_per_day" in answer.reasons[0][1]


async def test_by_default_an_asker_gets_half_as_many_scores_as_it_sends_columns_whoever_they_are_about(
    parties: Parties, computer: Computer
) -> None:
    pairs = consented(parties, 3)
    both = await registries(parties)
    model = await both.served(served())
    recipe = MirroredRecipe(parse_told(model.version.told), PROVIDER, computer)
    begun = await recipe.begin(SESSION)
    brings = await recipe.question(SESSION, OwnRows(table=rows(3), present=np.ones(3, np.bool_)))
    consents = named([each for _, each in pairs])
    async with exchange(parties, both) as link:
        await link.say(opening(model), begun.blobs[PROVIDER])
        assert isinstance((await heard(link))[0], Opened)
        told = []
        for number, key in enumerate(("first", "first", "second"), start=1):
            await link.say(asked(3, layout="plain", request_no=number, request_key=key), (consents, *brings))
            answer, (codes, *_) = await heard(link)
            assert isinstance(answer, Answer), answer
            told.append((codes, answer.reasons))
        other = await recipe.question(SESSION, OwnRows(table=rows(3), present=np.ones(3, np.bool_)))
        await link.say(asked(3, layout="plain", request_no=4, request_key="first"), (consents, *other))
        _, (chosen, *_) = await heard(link)  # a known key with numbers of one's own choice
        parties.now_ms += 3 * DAY_MS  # the limit is of all times
        parties.catch_up()
        await link.say(asked(3, layout="plain", request_no=5, request_key="later"), (consents, *brings))
        _, (later, *_) = await heard(link)
    assert [codes for codes, _ in told] == [b"\0\1\1", b"\0\1\1", b"\1\1\1"]
    assert (chosen[0] & SINCE, chosen[1:]) == (SINCE, b"\1\1")
    assert later == b"\1\1\1"
    code, sentence = told[0][1][0]
    assert code == "SCORE_LIMIT_REACHED"
    assert "limit served_scores" in sentence


def rows(count: int) -> dict[str, Any]:
    return {name: column[:count] for name, column in SENT.items()}


async def spend_three_models(parties: Parties, codes: list[str]) -> None:
    """As many models of the bank's own as may touch an enterprise."""

    def spend(connection: Any) -> None:
        for name in "abc":
            other = spent.Model(requester=BANK, model=name * 64, fields=frozenset(FIELDS), created_ms=0)
            spent.spend(connection, other, codes[:1], parties.now_ms)

    await parties.provider_store.write(spend)
