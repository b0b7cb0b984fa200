"""A provider that goes silent: who it is and what to do is told, by a code of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from nodes.errors import ExchangeFailed, NodeError
from nodes.exchanges.terms import ExchangeTerms
from nodes.scoring import panel as panels
from nodes.scoring.computer import Computer
from nodes.scoring.link import ScoreLink
from nodes.scoring.messages import Ask, Open, Opened
from nodes.scoring.own import OwnRows
from nodes.scoring.panel import Panel
from nodes.scoring.question import Asking, Question
from nodes.scoring.recipe import LinearRecipe
from tests.nodes.exchanges.parties import Parties
from tests.nodes.hub_simulator import PROVIDER
from tests.nodes.scoring.two_nodes import consented, heard, linear_model, named, registries, score_terms


@asynccontextmanager
async def silent_provider(
    parties: Parties, computer: Computer, *, opens: bool
) -> AsyncIterator[tuple[Panel, ScoreLink]]:
    """A bank's panel, and a provider that is connected and says nothing, or nothing any more once it has opened the model."""
    both = await registries(parties)
    model = await both.in_service(linear_model())
    terms = score_terms(parties)

    async def opened(*_: object) -> ExchangeTerms:
        return terms

    context = SimpleNamespace(
        session=lambda terms: parties.session(terms, "requester"),
        store=parties.bank_store,
        identity=parties.bank_key,
        clock=lambda: parties.now_ms,
    )
    recipe = LinearRecipe(linear_model(), (PROVIDER,), computer)
    asking = Asking(reason="test", user="test")
    panel = Panel(cast(Any, context), cast(Any, SimpleNamespace(open=opened)), computer, model, recipe, asking)
    theirs = parties.session(terms, "provider")
    link = ScoreLink(theirs)

    async def answer() -> None:
        said, _ = await heard(link)
        assert isinstance(said, Open)
        if opens:
            await link.say(Opened(session=said.session))

    tasks = [asyncio.create_task(theirs.run()), asyncio.create_task(answer())]
    await panel.open()
    try:
        yield panel, link
    finally:
        await panel.suspend()
        await theirs.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def question(consent: Any) -> Question:
    own = OwnRows(table={"income": np.zeros(1)}, present=np.ones(1, np.bool_))
    return Question(consents={PROVIDER: named([consent])}, own=own, request_key="k", single=True)


async def test_a_provider_that_does_not_open_is_named(
    parties: Parties, computer: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    consented(parties, 1)
    monkeypatch.setattr(panels, "OPEN_S", 3.0)
    async with silent_provider(parties, computer, opens=False) as (panel, _):
        with pytest.raises(ExchangeFailed) as late:
            await panel.ready()
    assert (late.value.code, late.value.retryable) == ("DEADLINE_EXCEEDED", True)
    assert f"{PROVIDER} did not answer within 3 s" in late.value.message
    assert "same request key" in late.value.message


async def test_a_provider_that_does_not_answer_is_named_and_the_next_question_opens_anew(
    parties: Parties, computer: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((_, consent),) = consented(parties, 1)
    monkeypatch.setattr(panels, "ANSWER_S", 0.3)
    async with silent_provider(parties, computer, opens=True) as (panel, link):
        await panel.ready()
        with pytest.raises(NodeError) as late:
            await panel.ask(question(consent))
        assert isinstance((await heard(link))[0], Ask)
        again = asyncio.create_task(panel.ready())
        assert isinstance((await heard(link))[0], Open)
        again.cancel()
    assert late.value.code == "DEADLINE_EXCEEDED"
    assert late.value.message.startswith(PROVIDER)


async def test_whoever_loses_patience_first_learns_who_was_silent(parties: Parties, computer: Computer) -> None:
    ((_, consent),) = consented(parties, 1)
    async with silent_provider(parties, computer, opens=True) as (panel, _):
        await panel.ready()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await panel.ask(question(consent))
        assert panel.silent == (PROVIDER,)
