"""Invitations: an exchange is served once, however often and however closely the hub tells of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from consent.decision import ItemUse
from consent.documents import ExchangeMode, ItemMode
from nodes.errors import NodeError
from nodes.exchanges import provider as module
from nodes.exchanges.provider import ProviderExchanges
from tests.nodes.exchanges.parties import FIELDS, ITEM, Parties

ASKED = (ItemUse(item_id=ITEM, mode=ItemMode.R, fields=FIELDS),)


class Calls:
    """The hub's side of invitations: slow to take the answer, as over a network."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, str]] = []
        self.go_on = asyncio.Event()
        self.failure: NodeError | None = None

    def keep_ticket(self, exchange_id: str, ticket: bytes) -> None:
        return None

    async def answer(self, exchange_id: str, answer: str, reason: str = "") -> None:
        await self.go_on.wait()
        if self.failure is not None and answer == "join":
            raise self.failure
        self.answers.append((answer, reason))

    async def end(self, exchange_id: str, state: str, reason: str = "") -> None:
        return None


class Session:
    async def run(self) -> None:
        await asyncio.Event().wait()

    async def close(self, failure: object = None) -> None:
        return None


@pytest.fixture
def invited(parties: Parties, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A provider that approves everything, and how often it serves."""
    terms = parties.terms(ExchangeMode.RAW, ASKED)
    monkeypatch.setattr(module, "terms_for_provider", lambda *_args, **_named: terms)
    monkeypatch.setattr(ProviderExchanges, "_check_product", lambda *_args: None)
    served: list[str] = []

    async def serve(_session: Any, terms: Any) -> int:
        served.append(terms.exchange_id)
        await asyncio.Event().wait()
        return 0

    calls = Calls()
    context: Any = SimpleNamespace(
        settings=SimpleNamespace(node_id="tax-1", member_id="taxoffice"),
        replica=parties.replica,
        clock=lambda: parties.now_ms,
        calls=calls,
        session=lambda _terms: Session(),
    )
    approvals: Any = SimpleNamespace(required=lambda _terms: False)
    exchanges = ProviderExchanges(context, approvals, {ExchangeMode.RAW: serve})
    return SimpleNamespace(exchanges=exchanges, calls=calls, served=served)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_exchange_that_is_told_of_twice_at_once_is_served_once(invited: SimpleNamespace) -> None:
    for _ in range(3):
        invited.exchanges.invited(b"request", b"ticket")
    await settle()
    invited.calls.go_on.set()
    await settle()
    invited.exchanges.invited(b"request", b"ticket")
    await settle()
    assert invited.calls.answers == [("join", "")]
    assert len(invited.served) == 1
    await invited.exchanges.close()


async def test_an_invitation_that_could_not_be_answered_is_considered_again(invited: SimpleNamespace) -> None:
    invited.calls.failure = NodeError("the hub is away", code="UNAVAILABLE")
    invited.calls.go_on.set()
    invited.exchanges.invited(b"request", b"ticket")
    await settle()
    assert invited.served == []
    invited.calls.failure = None
    invited.exchanges.invited(b"request", b"ticket")
    await settle()
    assert len(invited.served) == 1
    await invited.exchanges.close()
