"""The provider's side of an exchange of scoring, over an encrypted session: what it opens, what it answers, what passes the wire."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import pytest
import tenseal.sealapi as seal

from consent.model_state import Step
from modeling import seal_bytes
from modeling.errors import ModelingError
from modeling.jobs.table import Table
from modeling.scoring import ring
from modeling.scoring.linear import EncryptedWeights
from modeling.scoring.model import LinearModel
from nodes.errors import NodeError
from nodes.scoring.computer import Computer, SessionLost
from nodes.scoring.messages import Answer, Layout, Opened
from nodes.scoring.own import OwnRows
from nodes.scoring.recipe import Answers, LinearRecipe
from tests.nodes.exchanges.parties import FIELDS, ITEM, Parties
from tests.nodes.hub_simulator import PROVIDER
from tests.nodes.scoring.two_nodes import (
    SESSION,
    asked,
    consented,
    exchange,
    heard,
    linear_model,
    named,
    opening,
    refused,
    registries,
    with_word,
)


async def test_only_what_was_approved_is_opened(parties: Parties, computer: Computer) -> None:
    consented(parties, 1)
    both = await registries(parties)
    model = await both.in_service(linear_model())
    blobs = with_word(parties, model, await blobs_of(linear_model(), computer))
    async with exchange(parties, both) as link:
        unknown = await refused(link, opening(model, model_id="00000000-0000-4000-8000-000000000000"), blobs)
        other = await refused(link, opening(model, model_sm3="0" * 64), blobs)
        foreign = await refused(link, opening(model), (blobs[0].replace(b"6.0", b"7.0"), *blobs[1:]))
        short = await refused(link, opening(model), blobs[:1])
        unsigned = await refused(link, opening(model), blobs[:3])
        await both.step(both.provider, model.version.model_id, Step.WITHDRAW)
        withdrawn = await refused(link, opening(model), blobs)
    assert [each.code for each in (unknown, other, foreign, short, unsigned, withdrawn)] == [
        "NOT_FOUND",
        "MODEL_NOT_APPROVED",
        "MODEL_INVALID",
        "MODEL_INVALID",
        "MODEL_INVALID",
        "MODEL_RETIRED",
    ]


async def test_a_bank_cannot_be_the_other_provider_of_a_pair(parties: Parties, computer: Computer) -> None:
    consented(parties, 1)
    both = await registries(parties)
    model = await both.in_service(linear_model())
    blobs = with_word(parties, model, await blobs_of(linear_model(), computer))
    async with exchange(parties, both) as link:
        for others in ({2: "bank-1"}, {2: "nobody-1"}, {2: "tax-1"}, {1: "tax-2"}):
            told = await refused(link, opening(model, others=others), blobs)
            assert told.code == "PROTOCOL_VIOLATION", told


async def test_the_limits_look_at_what_the_document_attests(parties: Parties, computer: Computer) -> None:
    consented(parties, 1)
    both = await registries(parties)
    model = await both.in_service(linear_model())
    async with exchange(parties, both, maximum_leverage=0.1) as link:
        blobs = with_word(parties, model, await blobs_of(linear_model(), computer))
        told = await refused(link, opening(model), blobs)
    assert (told.code, told.reason) == ("SCORE_LIMIT_REACHED", "maximum_leverage")


async def blobs_of(model: LinearModel, computer: Computer) -> tuple[bytes, ...]:
    return (await LinearRecipe(model, (PROVIDER,), computer).begin(SESSION)).blobs[PROVIDER]


async def test_scores_open_where_the_provider_permits_and_nothing_else_passes_the_wire(
    parties: Parties, computer: Computer
) -> None:
    pairs = consented(parties, 4)
    both = await registries(parties)
    linear = linear_model()
    model = await both.in_service(linear)
    recipe = LinearRecipe(linear, (PROVIDER,), computer)
    begun = await recipe.begin(SESSION)
    parties.hub.revoke(*pairs[2])
    parties.catch_up()
    consents = named([consent for _, consent in pairs])
    noise: list[float] = []
    async with exchange(parties, both, "number came twice") as link:
        opens = with_word(parties, model, begun.blobs[PROVIDER])
        sent = [*opens, consents]
        await link.say(opening(model), opens)
        assert isinstance((await heard(link))[0], Opened)
        layouts: tuple[tuple[int, Layout], ...] = ((1, "tiled"), (2, "columns"))
        for number, layout in layouts:
            await link.say(asked(4, request_no=number, request_key=layout, layout=layout), (consents,))
            answer, blobs = await heard(link)
            assert isinstance(answer, Answer), answer
            codes, _, _, *parts = blobs
            assert codes == b"\0\0\1\0"
            assert answer.reasons[0][0] == "CONSENT_REVOKED"
            answers = Answers(session=SESSION, layout=layout, rows=4, parts={PROVIDER: tuple(parts)})
            own = OwnRows(table={"income": np.arange(4.0)}, present=np.ones(4, np.bool_))
            kept = np.array([True, True, False, True])
            scores = await recipe.open(answers, kept, own)
            plain = plain_scores(linear, parties, [each.uscc for each, _ in pairs], own.table)
            np.testing.assert_allclose(scores[kept], plain[kept], atol=begun.error)
            # What a bank that does not care what was refused sees there: any number, most of them beyond the model's range.
            with suppress(NodeError):
                noise.append(float((await recipe.open(answers, np.ones(4, np.bool_), own))[2]))
        await link.say(asked(4, request_no=2, request_key="again"), (consents,))
    assert len(set(noise)) == len(noise)
    assert all(abs(each - plain[2]) > 1e-7 for each in noise)
    assert not any(is_secret_key(blob) for blob in every_object(sent))


def plain_scores(model: LinearModel, parties: Parties, codes: Sequence[str], own: Table) -> Any:
    table = parties.tables.table.to_pandas().set_index("uscc").loc[list(codes)]
    columns = {f"{ITEM}.{name}": table[name].to_numpy(np.float64) for name in FIELDS}
    present = np.ones(len(codes), np.bool_)
    return model.own_predictor(own, present) + model.part_for(PROVIDER).predictor(columns, present)


def every_object(blobs: Sequence[bytes]) -> list[bytes]:
    """The blobs, and the ciphertexts inside the weights."""
    weights = msgspec.msgpack.decode(blobs[2], type=EncryptedWeights)
    return [*blobs, *weights.columns, weights.tiled]


def is_secret_key(data: bytes) -> bool:
    """Whether the library reads a secret key of scoring's parameters in it."""
    try:
        seal_bytes.load_into(ring._library().context, seal.SecretKey(), data)
    except ModelingError:
        return False
    return True


def test_a_secret_key_would_be_recognised() -> None:
    assert is_secret_key(seal_bytes.saved(seal.KeyGenerator(ring._library().context).secret_key()))


async def test_a_process_that_is_lost_is_replaced_and_its_sessions_are_unknown(computer: Computer) -> None:
    linear = linear_model()
    recipe = LinearRecipe(linear, (PROVIDER,), computer)
    session = secrets.token_hex(16)
    await recipe.begin(session)
    first = computer.pid
    own = OwnRows(table={"income": np.zeros(1)}, present=np.ones(1, np.bool_))
    answers = Answers(session=session, layout="tiled", rows=1, parts={PROVIDER: (b"x",)})
    waiting = asyncio.ensure_future(recipe.begin(secrets.token_hex(16)))
    await asyncio.sleep(0)
    assert computer._child is not None
    computer._child.kill()
    with pytest.raises(SessionLost):
        await waiting
    with pytest.raises(SessionLost):
        await recipe.open(answers, np.ones(1, np.bool_), own)
    assert computer.pid != first
