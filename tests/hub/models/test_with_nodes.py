"""Two nodes' registries over the real hub: what one says, the other verifies."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from consent.documents import ItemMode
from consent.model_state import State, Step
from hub.models import service
from nodes.backoff import Backoff
from nodes.errors import NodeError
from nodes.models.hub import HubModels
from nodes.models.node import RegistryNode
from nodes.models.registry import Registry, Terms
from nodes.store import Store
from tests.hub.live import ITEM, LiveHub, Node, now_ms
from tests.nodes.models.world import linear


@dataclass
class Stubs:
    """The channel of an enrolled node, as `HubConnection.stubs` gives it."""

    stubs: Node


@pytest.fixture
async def registries(sqlite_live: LiveHub, tmp_path: Path) -> AsyncIterator[tuple[Registry, Registry]]:
    live = sqlite_live
    await live.publish("tax-models", ItemMode.J)
    made, stores = [], []
    for node in (live.bank, live.provider):
        (tmp_path / node.node_id).mkdir()
        stores.append(Store.open(tmp_path / node.node_id / "node.db"))
        made.append(
            await Registry.load(
                RegistryNode(
                    home=tmp_path / node.node_id,
                    store=stores[-1],
                    hub=HubModels(Stubs(node)),  # type: ignore[arg-type]
                    directory=lambda: live.hub.directory.current,
                    identity=node.key,
                    member_id=node.member_id,
                    node_id=node.node_id,
                    rules=(),
                    clock=now_ms,
                    backoff=Backoff(random.Random(0)),  # noqa: S311 - jitter
                )
            )
        )
    yield made[0], made[1]
    for store in stores:
        await store.close()


async def test_a_model_goes_into_service_between_nodes_and_a_withdrawal_ends_it(
    registries: tuple[Registry, Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PAGE", 1)
    bank, provider = registries
    model = await bank.register_linear(linear(item=ITEM), Terms(name="sme-default"))
    model_id = model.version.model_id
    with pytest.raises(NodeError) as refused:
        await bank.register_linear(linear(item=ITEM), Terms(name="sme-default", version=1))
    assert refused.value.code == "ALREADY_EXISTS"
    await provider.sync()
    await provider.take_step(model_id, Step.APPROVE, "checked", "officer")
    await bank.sync()
    await bank.take_step(model_id, Step.SERVE, "validated", "risk")
    assert (await provider.looked_up(model_id, model.sm3)).standing.state is State.IN_SERVICE
    assert bank.usable(model_id).sm3 == model.sm3
    await provider.take_step(model_id, Step.WITHDRAW, "licence ended", "officer")
    await provider.sync()
    await bank.sync()
    assert provider.is_sent(provider.model(model_id))
    with pytest.raises(NodeError) as refused:
        bank.usable(model_id)
    assert (refused.value.code, "licence ended" in refused.value.message) == ("MODEL_RETIRED", True)


async def test_both_ending_a_model_at_once_leaves_nothing_to_send(registries: tuple[Registry, Registry]) -> None:
    bank, provider = registries
    model = await bank.register_linear(linear(item=ITEM), Terms(name="sme-default"))
    model_id = model.version.model_id
    await provider.sync()
    await provider.take_step(model_id, Step.APPROVE, "", "officer")
    await bank.sync()
    await provider.take_step(model_id, Step.WITHDRAW, "theirs", "officer")
    await bank.take_step(model_id, Step.RETIRE, "ours", "risk")
    for registry in (provider, bank, provider):
        await registry.sync()
        assert registry.last_error == ""
        assert registry.is_sent(registry.model(model_id))
