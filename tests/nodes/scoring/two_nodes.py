"""A provider's and a bank's node as far as scores need them, over the hub, stores and data of `Parties`; a model in service."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
import pytest

from consent.decision import ItemUse
from consent.documents import ConsentDocument, ExchangeMode, ItemMode, Purpose
from consent.model_state import Model, Step
from modeling.preparation.columns import Number
from modeling.scoring.inputs import OWN, Input
from modeling.scoring.model import Feature, LinearModel, canonical
from nodes.backoff import Backoff
from nodes.errors import ExchangeFailed
from nodes.exchanges.session import PeerRestarted
from nodes.exchanges.terms import ExchangeTerms
from nodes.models.node import RegistryNode
from nodes.models.registry import Registry, Terms
from nodes.scoring import spent
from nodes.scoring.evidence import sent_word
from nodes.scoring.link import ScoreLink
from nodes.scoring.messages import Ask, Declined, Open
from nodes.scoring.node import ScoringNode
from nodes.scoring.provider import ScoringProvider
from nodes.settings import ScoringRules
from nodes.store import Store
from tests.nodes.exchanges.parties import CATALOGUE, FIELDS, ITEM, RULES, Parties, Tables, rows_for
from tests.nodes.hub_simulator import BANK, PROVIDER, Enterprise
from tests.nodes.models.world import Hub, Seen
from trust.sm2 import PrivateKey

PRODUCT = "delinquency"
SESSION = "ab" * 16
EXCHANGE = "e0e0e0e0-0000-4000-8000-000000000001"
USES = (ItemUse(item_id=ITEM, mode=ItemMode.J, fields=FIELDS),)
SPENT = spent.Model(requester=BANK, model="ab" * 32, fields=frozenset(FIELDS), created_ms=0)


@dataclass
class ScoredTables(Tables):
    """The same data, a row at a time too."""

    def rows(self, item_id: str, uscc: str, fields: Sequence[str]) -> list[pa.RecordBatch]:
        found = self.scan(item_id, "", pa.array([uscc]), fields, 100)
        return list(found)


def consented(parties: Parties, count: int, **limits: Any) -> list[tuple[Enterprise, ConsentDocument]]:
    """Enterprises that consented to scoring with the provider's item, and one record of each."""
    parties.purpose = Purpose.SCORING
    made = [parties.hub.register(number) for number in range(count)]
    parties.tables = ScoredTables(rows_for([each.uscc for each in made]))
    both = [(each, parties.grant(each, ItemMode.J, **limits)) for each in made]
    parties.catch_up()
    return both


def score_terms(parties: Parties, **changes: Any) -> ExchangeTerms:
    return parties.terms(ExchangeMode.SCORE, changes.get("items", USES), EXCHANGE)


def with_word(parties: Parties, model: Model, blobs: Sequence[bytes]) -> tuple[bytes, ...]:
    """What an opening brings, with the bank's signed word on it."""
    return (*blobs, sent_word(model, score_terms(parties), SESSION, blobs, parties.bank_key, parties.now_ms))


def asked(rows: int, **changes: Any) -> Ask:
    facts: dict[str, Any] = {"request_no": 1, "request_key": "k", "single": False, "layout": "tiled"}
    return Ask(session=SESSION, rows=rows, **(facts | changes))


def named(consents: Sequence[ConsentDocument | str]) -> bytes:
    return b"".join(uuid.UUID(each if isinstance(each, str) else each.record_id).bytes for each in consents)


def scoring_node(parties: Parties, registry: Registry | None = None, **limits: Any) -> ScoringNode:
    """The provider's."""
    return ScoringNode(
        store=parties.provider_store,
        replica=parties.replica,
        registry=cast(Registry, registry),
        tables=cast(ScoredTables, parties.tables),
        catalogue=CATALOGUE,
        rules=RULES,
        limits=ScoringRules(**limits),
        column_bytes=1 << 20,
        identity=parties.tax_key,
        member_id=PROVIDER,
        node_id="tax-1",
        max_staleness_ms=60_000,
        clock=lambda: parties.now_ms,
        new_id=lambda: str(uuid.uuid4()),
        written=lambda: None,
    )


def linear_model(weights: Sequence[float] = (0.5, -0.4, 0.3, 0.4, -0.5, 0.3)) -> LinearModel:
    """Over every field of the provider's item, and one column of the bank's."""
    features = [
        Feature(input=Input(member=PROVIDER, column=_number(f"{ITEM}.{name}")), weights=(weight,))
        for name, weight in zip(FIELDS, weights, strict=True)
    ]
    own = Feature(input=Input(member=OWN, column=_number("income")), weights=(0.7,))
    return LinearModel(name="m", intercept=-1.0, features=(own, *features))


def _number(name: str) -> Number:
    return Number(name=name, low=None, high=None, fill=0.0, centre=3.0, spread=2.0, clip=6.0, indicator=False)


@dataclass
class Registries:
    """Both nodes' registries over one hub."""

    bank: Registry
    provider: Registry

    async def in_service(self, model: LinearModel) -> Model:
        registered = await self.bank.register_linear(canonical(model), Terms(name="m", products={PROVIDER: PRODUCT}))
        model_id = registered.version.model_id
        await self.step(self.provider, model_id, Step.APPROVE)
        await self.step(self.bank, model_id, Step.SERVE)
        return self.bank.usable(model_id)

    async def served(self, model: LinearModel, *askers: str) -> Model:
        """Data to model: the provider's own model, in service; the bank approves it."""
        terms = Terms(name="m", products={PROVIDER: PRODUCT}, askers=askers or (BANK,))
        registered = await self.provider.register_linear(canonical(model), terms)
        await self.step(self.provider, registered.version.model_id, Step.SERVE)
        return registered

    async def step(self, registry: Registry, model_id: str, step: Step) -> None:
        await registry.sync()
        await registry.take_step(model_id, step, "test", "test")
        await self.bank.sync()
        await self.provider.sync()


async def registries(parties: Parties) -> Registries:
    """Raises nothing; the directory is the provider's copy."""
    hub = Hub(cast(Any, _Directory(parties)))

    async def load(store: Store, member: str, node: str, key: PrivateKey) -> Registry:
        return await Registry.load(
            RegistryNode(
                home=parties.home / node,
                store=store,
                hub=cast(Any, Seen(hub, member)),
                directory=lambda: parties.replica.directory,
                identity=key,
                member_id=member,
                node_id=node,
                rules=(),
                clock=lambda: parties.now_ms,
                backoff=Backoff(random.Random(0), first_s=0.001, longest_s=0.01),  # noqa: S311 - jitter
            )
        )

    return Registries(
        bank=await load(parties.bank_store, BANK, "bank-1", parties.bank_key),
        provider=await load(parties.provider_store, PROVIDER, "tax-1", parties.tax_key),
    )


class _Directory:
    """The directory as it is at each moment."""

    def __init__(self, parties: Parties) -> None:
        self._parties = parties

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parties.replica.directory, name)


@asynccontextmanager
async def exchange(parties: Parties, both: Registries, expects: str = "", **limits: Any) -> AsyncIterator[ScoreLink]:
    """The bank's link to a provider that serves; `expects`: how the provider ends it."""
    terms = score_terms(parties)
    provider = ScoringProvider(scoring_node(parties, both.provider, **limits))
    theirs, ours = parties.session(terms, "provider"), parties.session(terms, "requester")
    coroutines: tuple[Any, ...] = (theirs.run(), ours.run(), provider.serve(theirs, terms))
    tasks = [asyncio.create_task(each) for each in coroutines]
    try:
        async with asyncio.timeout(60):
            await ours.wait_ready()
            yield ScoreLink(ours)
            if not expects:
                assert not tasks[-1].done(), tasks[-1].exception()
            else:
                with pytest.raises(ExchangeFailed, match=expects):
                    await tasks[-1]
    finally:
        await ours.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await provider.close()


def opening(model: Model, **changes: Any) -> Open:
    facts: dict[str, Any] = {"model_id": model.version.model_id, "model_sm3": model.sm3, "place": 1, "others": {}}
    return Open(session=SESSION, **(facts | changes))


async def heard(link: ScoreLink) -> tuple[Any, tuple[bytes, ...]]:
    while True:
        try:
            return await link.hear()
        except PeerRestarted:
            continue


async def refused(link: ScoreLink, said: Open, blobs: Sequence[bytes]) -> Declined:
    await link.say(said, blobs)
    answer, _ = await heard(link)
    assert isinstance(answer, Declined), answer
    return answer
