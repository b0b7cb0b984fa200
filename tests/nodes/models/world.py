"""Nodes' registries over a hub that keeps documents, and lies when a test tells it to."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from consent.model_state import Model, Step, open_version, open_word, require_step
from consent.models import MODEL_VERSION_TYPE, ModelVersion, parse_version, parse_word
from modeling.preparation.columns import Number
from modeling.scoring.inputs import ASKER, OWN, Input
from modeling.scoring.model import Feature, LinearModel, canonical, parse_model
from nodes.backoff import Backoff
from nodes.errors import HubRefused, HubUnavailable, NodeError
from nodes.models.node import RegistryNode
from nodes.models.registry import Registry
from nodes.settings import ModelRule
from nodes.store import Store
from tests.consent.model_builders import NOW, OTHER, OTHER_NODE, OWNER, OWNER_NODE, PROVIDER, PROVIDER_NODE, Known
from trust.document import SignedDocument
from trust.errors import TrustError
from trust.sm2 import PrivateKey
from trust.suite import sm3

SECOND_NODE = "taxoffice-2"
ITEM, OTHER_ITEM = "tax_payment", "power_usage"


def linear(
    weights: Sequence[float] = (0.6, -0.4, 0.5, 0.3, -0.7, 0.2),
    *,
    member: str = PROVIDER,
    item: str = ITEM,
    **changes: Any,
) -> bytes:
    """A linear model over fields f0, f1 … of a provider's item, and one column of the owner's."""
    features = [
        Feature(input=Input(member=member, column=number(f"{item}.f{place}")), weights=(weight,))
        for place, weight in enumerate(weights)
    ]
    own = Feature(input=Input(member=OWN, column=number("income")), weights=(0.9,))
    return canonical(LinearModel(name="m", intercept=-1.5, features=(own, *features), **changes))


def served() -> bytes:
    """Two columns of whoever asks, two of the owner's product."""
    names = ((ASKER, "turnover"), (ASKER, "age"), (OWN, "sales_summary.revenue"), (OWN, "sales_summary.refunds"))
    features = tuple(
        Feature(input=Input(member=member, column=number(name)), weights=(weight,))
        for (member, name), weight in zip(names, (0.5, -0.25, 0.75, 0.3), strict=True)
    )
    return canonical(LinearModel(name="m", intercept=-1.5, features=features))


def number(name: str) -> Number:
    return Number(name=name, low=None, high=None, fill=0.0, centre=0.0, spread=1.0, clip=6.0, indicator=False)


@dataclass
class Hub:
    """A registry that takes what is due, as the real one (tests/hub/models); `show` is what it shows instead of the truth."""

    directory: Known
    documents: list[bytes] = field(default_factory=list)
    away: bool = False
    show: list[bytes] | None = None

    async def send(self, document: SignedDocument) -> None:
        self._reached()
        if document.encode() in self.documents:
            return
        if document.payload_type == MODEL_VERSION_TYPE:
            open_version(document, self.directory)
        else:
            word = parse_word(document)
            model = self.model(word.model_id)
            open_word(document, self.directory, model)
            step = Step(getattr(word, "decision", None) or getattr(word, "act", ""))
            try:
                require_step(model, step, getattr(word, "provider", OWNER))
            except Exception as error:
                raise HubRefused(str(error), code="WRONG_STATE") from error
        self.documents.append(document.encode())

    async def documents_after(self, after: int) -> AsyncIterator[tuple[int, bytes]]:
        self._reached()
        for seq, encoded in enumerate(self.documents if self.show is None else self.show, start=1):
            if seq > after:
                yield seq, encoded

    def model(self, model_id: str) -> Model:
        found: Model | None = None
        for encoded in self.documents:
            document = SignedDocument.decode(encoded)
            if document.payload_type == MODEL_VERSION_TYPE:
                version = parse_version(document.payload)
                if version.model_id == model_id:
                    found = Model(version=version, sm3=sm3(document.payload).hex(), document=document)
            elif found is not None and parse_word(document).model_id == model_id:
                found = found.with_word(parse_word(document))
        assert found is not None
        return found

    def _reached(self) -> None:
        if self.away:
            raise HubUnavailable("the hub is away")


@dataclass
class Seen:
    """What one node sees of the hub."""

    hub: Hub
    member_id: str

    async def send(self, document: SignedDocument) -> None:
        await self.hub.send(document)

    async def documents(self, after: int) -> AsyncIterator[tuple[int, bytes]]:
        async for seq, encoded in self.hub.documents_after(after):
            if self._names(encoded):
                yield seq, encoded

    def _names(self, encoded: bytes) -> bool:
        """A lie is shown to everybody; the truth to the parties only."""
        if self.hub.show is not None:
            return True
        try:
            document = SignedDocument.decode(encoded)
        except TrustError:
            return True
        if document.payload_type != MODEL_VERSION_TYPE:
            return self.member_id in _parties(self.hub.model(parse_word(document).model_id))
        return self.member_id in _parties_of(parse_version(document.payload))


def _parties(model: Model) -> set[str]:
    return _parties_of(model.version)


def _parties_of(version: ModelVersion) -> set[str]:
    return {version.owner, *version.parties}


@dataclass
class World:
    """A hub, its directory and the nodes' registries."""

    home: Path
    keys: dict[str, PrivateKey]
    directory: Known
    hub: Hub
    now_ms: int = NOW
    stores: dict[str, Store] = field(default_factory=dict)
    nodes: dict[str, Registry] = field(default_factory=dict)

    @property
    def owner(self) -> Registry:
        return self.nodes[OWNER_NODE]

    @property
    def provider(self) -> Registry:
        return self.nodes[PROVIDER_NODE]

    @property
    def other(self) -> Registry:
        return self.nodes[OTHER_NODE]

    async def start(self, node_id: str, rules: tuple[ModelRule, ...] = ()) -> Registry:
        """Start a node, or start it again on its database."""
        member = node_id.rpartition("-")[0]
        home = self.home / node_id
        if node_id not in self.stores:
            home.mkdir()
            self.stores[node_id] = Store.open(home / "node.db")
        node = RegistryNode(
            home=home,
            store=self.stores[node_id],
            hub=Seen(self.hub, member),
            directory=lambda: self.directory,
            identity=self.keys[node_id],
            member_id=member,
            node_id=node_id,
            rules=rules,
            clock=self.tick,
            backoff=Backoff(random.Random(0), first_s=0.001, longest_s=0.01),  # noqa: S311 - jitter
        )
        registry = self.nodes[node_id] = await Registry.load(node)
        return registry

    def tick(self) -> int:
        self.now_ms += 1
        return self.now_ms

    async def sync(self) -> None:
        """Everybody sends, then everybody hears."""
        for registry in [*self.nodes.values()] * 2:
            await registry.sync()

    async def in_service(self, model: Model) -> str:
        """Have a model approved by everybody and taken into service; its identifier."""
        model_id = model.version.model_id
        await self.sync()
        for provider in model.version.providers:
            await self.nodes[f"{provider}-1"].take_step(model_id, Step.APPROVE, "checked", "officer")
        await self.sync()
        await self.owner.take_step(model_id, Step.SERVE, "validated", "risk")
        await self.sync()
        return model_id


async def make_world(home: Path, keys: dict[str, PrivateKey]) -> World:
    directory = Known(keys)
    directory.offer(PROVIDER, "tax-models", ITEM)
    directory.offer(OTHER, "power-models", OTHER_ITEM)
    world = World(home=home, keys=keys, directory=directory, hub=Hub(directory))
    for node_id in (OWNER_NODE, PROVIDER_NODE, OTHER_NODE):
        await world.start(node_id)
    return world


class refused_with:
    """Expect a NodeError of this code."""

    def __init__(self, code: str, match: str = "") -> None:
        self.code, self.match = code, match

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> bool:
        assert isinstance(error, NodeError), f"expected {self.code}, got {error!r}"
        assert (error.code, self.match in error.message) == (self.code, True), error.message
        return True


def both() -> bytes:
    """A model over two providers."""
    one, two = (parse_model(data) for data in (linear(), linear(member=OTHER, item=OTHER_ITEM)))
    return canonical(msgspec.structs.replace(one, features=(*one.features, *two.features[1:])))
