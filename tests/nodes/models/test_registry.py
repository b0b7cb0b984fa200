"""The registry at the nodes: who may say what, what is refused, and what a model needs to score."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from consent.model_state import Model, State, Step, WrongState
from modeling.errors import ModelInvalid
from modeling.scoring.inputs import ASKER
from modeling.scoring.model import canonical, parse_model
from modeling.scoring.told import parse_told
from nodes.errors import HubUnavailable
from nodes.models.parts import LinearParts, read_linear, write_linear
from nodes.models.registering import YEAR_MS
from nodes.models.registry import Registry, Terms
from nodes.settings import ModelRule
from tests.consent.model_builders import (
    OTHER,
    OWNER,
    OWNER_NODE,
    PROVIDER,
    PROVIDER_NODE,
)
from tests.nodes.models.world import World, both, linear, refused_with, served
from trust.document import SignedDocument

TERMS = Terms(name="sme-default", metrics={"auc": 0.71})


async def test_a_model_scores_once_every_provider_approved_and_its_owner_took_it_into_service(world: World) -> None:
    model = await world.owner.register_linear(both(), TERMS)
    model_id = model.version.model_id
    first, second = model.version.parts
    assert (first.product_id, first.nonzero, second.provider) == ("tax-models", 6, OTHER)
    assert first.fields[:2] == ("tax_payment.f0", "tax_payment.f1")
    await world.sync()
    for registry in world.nodes.values():
        with refused_with("MODEL_NOT_APPROVED"):
            registry.usable(model_id)
    await world.provider.take_step(model_id, Step.APPROVE, "checked", "officer")
    with pytest.raises(WrongState, match="waiting for powergrid"):
        await world.owner.sync()
        await world.owner.take_step(model_id, Step.SERVE, "validated", "risk")
    await world.other.take_step(model_id, Step.APPROVE, "checked", "officer")
    await world.sync()
    with refused_with("MODEL_NOT_APPROVED", "not been taken into service"):
        world.provider.usable(model_id)
    await world.owner.take_step(model_id, Step.SERVE, "validated", "risk")
    await world.sync()
    for registry in world.nodes.values():
        assert registry.usable(model_id, model.sm3).version == model.version
        with refused_with("MODEL_NOT_APPROVED", "Another document"):
            registry.usable(model_id, "0" * 64)
    with refused_with("NOT_FOUND"):
        world.owner.usable("00000000-0000-4000-8000-000000000000")


async def test_a_withdrawal_refuses_the_next_request_at_once_and_reaches_the_hub_when_it_is_back(world: World) -> None:
    model_id = await world.in_service(await world.owner.register_linear(linear(), TERMS))
    world.hub.away = True
    model = await world.provider.take_step(model_id, Step.WITHDRAW, "the licence ended", "officer")
    assert (model.standing.state, world.provider.is_sent(model)) == (State.RETIRED, False)
    with refused_with("MODEL_RETIRED", "the licence ended"):
        world.provider.usable(model_id)
    again = await world.start(PROVIDER_NODE)
    with refused_with("MODEL_RETIRED"):
        again.usable(model_id)
    with pytest.raises(HubUnavailable):
        await again.sync()
    assert world.owner.usable(model_id)
    world.hub.away = False
    await world.sync()
    assert again.is_sent(again.model(model_id))
    with refused_with("MODEL_RETIRED", "taxoffice withdrew its approval: the licence ended"):
        world.owner.usable(model_id)


async def test_a_withdrawal_does_not_wait_for_a_hub_that_another_call_waits_for(world: World) -> None:
    model_id = await world.in_service(await world.owner.register_linear(linear(), TERMS))
    stuck = asyncio.Event()

    async def hang(_document: SignedDocument) -> None:
        stuck.set()
        await asyncio.Event().wait()

    world.provider._node.hub.send = hang  # type: ignore[method-assign]
    waiting = asyncio.create_task(world.provider.take_step(model_id, Step.WITHDRAW, "", "officer"))
    await waiting
    sending = asyncio.create_task(world.provider.sync())
    await stuck.wait()
    async with asyncio.timeout(5):
        with pytest.raises(WrongState):  # it looked at once, and it has ended
            await world.provider.take_step(model_id, Step.WITHDRAW, "", "officer")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)


async def test_a_node_that_starts_again_knows_what_it_knew(world: World) -> None:
    model_id = await world.in_service(await world.owner.register_linear(linear(), TERMS))
    world.hub.away = True
    for node_id in (OWNER_NODE, PROVIDER_NODE):
        assert (await world.start(node_id)).usable(model_id).standing.state is State.IN_SERVICE
    assert world.owner.linear(model_id).model == linear()


async def test_news_is_fetched_when_the_hub_tells_of_it_and_again_after_it_was_away(world: World) -> None:
    world.hub.away = True
    running = asyncio.create_task(world.provider.run())
    try:
        async with asyncio.timeout(5):
            while not world.provider.last_error.startswith("UNAVAILABLE"):
                await asyncio.sleep(0.001)
            world.hub.away = False
            model = await world.owner.register_linear(linear(), TERMS)
            while not world.provider.models():
                world.provider.changed(1)
                await asyncio.sleep(0.001)
    finally:
        running.cancel()
    assert world.provider.model(model.version.model_id).sm3 == model.sm3
    assert world.other.models() == ()


async def test_a_model_that_just_went_into_service_is_looked_up(world: World) -> None:
    model = await world.owner.register_linear(linear(), TERMS)
    await world.provider.sync()
    await world.provider.take_step(model.version.model_id, Step.APPROVE, "", "officer")
    await world.owner.sync()
    await world.owner.take_step(model.version.model_id, Step.SERVE, "", "risk")
    with refused_with("MODEL_NOT_APPROVED"):
        world.provider.usable(model.version.model_id)
    assert (await world.provider.looked_up(model.version.model_id, model.sm3)).sm3 == model.sm3


async def test_only_a_provider_approves_and_only_the_owner_serves(world: World) -> None:
    model = await world.owner.register_linear(linear(), TERMS)
    model_id = model.version.model_id
    await world.sync()
    for registry, step in (
        (world.owner, Step.APPROVE),
        (world.owner, Step.WITHDRAW),
        (world.provider, Step.SERVE),
        (world.provider, Step.RETIRE),
    ):
        with refused_with("PERMISSION_DENIED"):
            await registry.take_step(model_id, step, "", "x")
    with refused_with("NOT_FOUND"):
        await world.other.take_step(model_id, Step.APPROVE, "", "x")
    with pytest.raises(WrongState):
        await world.provider.take_step(model_id, Step.WITHDRAW, "", "officer")
    declined = await world.provider.take_step(model_id, Step.DECLINE, "too few features", "officer")
    assert declined.standing.reason == "taxoffice declined: too few features"
    approved = await world.provider.take_step(model_id, Step.APPROVE, "", "officer")
    assert await world.provider.take_step(model_id, Step.APPROVE, "", "officer") == approved
    with pytest.raises(WrongState, match="withdraw"):
        world.provider._known.models[model_id] = with_another_provider(approved)
        await world.provider.take_step(model_id, Step.DECLINE, "", "officer")


def with_another_provider(model: Model) -> Model:
    """The same where another provider has still to approve."""
    two = msgspec.structs.replace(
        model.version, parts=(*model.version.parts, msgspec.structs.replace(model.version.parts[0], provider=OTHER))
    )
    return Model(version=two, sm3=model.sm3, document=model.document, approvals=model.approvals)


@pytest.mark.parametrize(
    ("rule", "state"),
    [
        ({}, State.APPROVED),
        ({"product": "tax-*", "kind": "linear"}, State.APPROVED),
        ({"owner": "otherbank"}, State.DRAFT),
        ({"product": "payroll"}, State.DRAFT),
        ({"kind": "joint_*"}, State.DRAFT),
        ({"maximum_leverage": 0.3}, State.DRAFT),
        ({"minimum_nonzero": 7}, State.DRAFT),
    ],
)
async def test_a_rule_approves_what_it_matches_and_nothing_else(
    world: World, rule: dict[str, Any], state: State
) -> None:
    await world.start(PROVIDER_NODE, (ModelRule(**{"owner": "firstbank", **rule}),))
    model = await world.owner.register_linear(linear(), TERMS)
    assert model.version.parts[0].leverage == pytest.approx(0.49 / 1.39)
    await world.sync()
    found = world.provider.model(model.version.model_id)
    assert found.standing.state is state
    assert [(word.user, word.reason) for word in found.approvals] == (
        [("node.toml", "rule 1 of [[model_approval]]")] if state is State.APPROVED else []
    )


async def test_a_rule_never_approves_what_an_operator_declined(world: World) -> None:
    model = await world.owner.register_linear(linear(), TERMS)
    await world.sync()
    await world.provider.take_step(model.version.model_id, Step.DECLINE, "no", "officer")
    again = await world.start(PROVIDER_NODE, (ModelRule(owner="firstbank"),))
    await again.sync()
    assert again.model(model.version.model_id).standing.state is State.DRAFT


async def test_leverage_is_over_all_models_that_may_score_or_did_within_a_year(world: World) -> None:
    async def attested(weights: list[float], registry: Registry = world.owner) -> tuple[str, float]:
        model = await registry.register_linear(linear(weights), TERMS)
        return model.version.model_id, model.version.parts[0].leverage or 0.0

    first, alone = await attested([1, 1, 1, 1, 1, 1])
    assert alone == pytest.approx(1 / 6)
    second, together = await attested([1, 1, 1, 1, 1, 2])
    assert together == pytest.approx(1.0)  # their difference is a feature
    await world.owner.take_step(second, Step.RETIRE, "never used", "risk")
    _, after = await attested([1, 1, 1, 1, 1, 1])
    assert after == pytest.approx(1 / 6)
    draft = world.owner.models()[0].version.model_id
    await world.in_service(world.owner.model(first))
    await world.owner.take_step(first, Step.RETIRE, "", "risk")
    await world.owner.take_step(draft, Step.RETIRE, "", "risk")
    third, within = await attested([1, 1, 1, 1, 2, 1])
    assert within == pytest.approx(1.0)
    await world.owner.take_step(third, Step.RETIRE, "", "risk")
    world.now_ms += YEAR_MS + 100
    _, later = await attested([1, 1, 1, 2, 1, 1])
    assert later == pytest.approx(4 / 9)
    assert [each.version.version for each in world.owner.models()] == [5, 4, 3, 2, 1]


async def test_what_cannot_be_registered_is_refused_and_leaves_nothing_at_the_hub(world: World) -> None:
    asker = msgspec.structs.replace(parse_model(linear()), features=parse_model(linear()).features[:1])
    asked = msgspec.structs.replace(
        asker,
        features=(
            msgspec.structs.replace(
                asker.features[0], input=msgspec.structs.replace(asker.features[0].input, member=ASKER)
            ),
        ),
    )
    with pytest.raises(ModelInvalid):
        await world.owner.register_linear(b"{}", TERMS)
    for data in (canonical(asker), canonical(asked)):
        with refused_with("MODEL_INVALID"):
            await world.owner.register_linear(data, TERMS)
    with refused_with("PRODUCT_UNAVAILABLE"):
        await world.owner.register_linear(linear(item="unknown_item"), TERMS)
    world.directory.offer(PROVIDER, "tax-more", "tax_payment")
    with refused_with("PRODUCT_UNAVAILABLE", "several"):
        await world.owner.register_linear(linear(), TERMS)
    with refused_with("MODEL_INVALID"):
        await world.owner.register_linear(linear(), Terms(name="Not a name", products={PROVIDER: "tax-more"}))
    assert world.hub.documents == []
    model = await world.owner.register_linear(linear(), Terms(name="named", products={PROVIDER: "tax-more"}))
    assert model.version.parts[0].product_id == "tax-more"


async def test_parts_that_are_not_what_was_committed_to_are_never_used(world: World) -> None:
    model = await world.owner.register_linear(linear(), TERMS)
    path = world.home / OWNER_NODE / "models" / model.version.model_id / "parts.json"
    held = read_linear(world.home / OWNER_NODE, model.version.model_id)
    salted = msgspec.structs.replace(held.parts[1], salt="00" * 16)
    write_linear(world.home / OWNER_NODE, model.version.model_id, LinearParts(parts=(held.parts[0], salted)))
    with refused_with("MODEL_INVALID", "restore the home"):
        world.owner.linear(model.version.model_id)
    path.write_bytes(b"{}")
    with refused_with("NOT_FOUND"):
        world.owner.linear(model.version.model_id)
    with refused_with("MODEL_INVALID", "do not lie in this node's home"):
        await world.owner.register_linear(linear(), TERMS)


ASKED = Terms(name="sme-default", askers=(PROVIDER,))


async def test_whoever_may_ask_a_model_asks_once_it_is_in_service_and_its_own_node_has_approved(world: World) -> None:
    world.directory.offer(OWNER, "platform-scores", "sales_summary")
    model = await world.owner.register_linear(served(), ASKED)
    version, model_id = model.version, model.version.model_id
    assert (version.mode, version.askers, version.own_features) == ("data_to_model", (PROVIDER,), 2)
    (part,) = version.parts
    assert (part.provider, part.product_id, part.nonzero) == (OWNER, "platform-scores", None)
    assert part.fields == ("sales_summary.revenue", "sales_summary.refunds")
    told = parse_told(version.told)
    assert [each.name for each in told.preparation.inputs] == ["turnover", "age"]
    await world.sync()
    with refused_with("NOT_FOUND"):
        world.other.model(model_id)
    await world.owner.take_step(model_id, Step.SERVE, "validated", "risk")
    await world.sync()
    assert world.owner.usable(model_id)
    with refused_with("MODEL_NOT_APPROVED", "has not approved"):
        world.provider.usable(model_id)
    with refused_with("PERMISSION_DENIED"):
        await world.provider.take_step(model_id, Step.RETIRE, "", "officer")
    await world.provider.take_step(model_id, Step.APPROVE, "checked", "officer")
    await world.sync()
    assert world.provider.usable(model_id, model.sm3).version.told == version.told
    await world.provider.take_step(model_id, Step.WITHDRAW, "another is better", "officer")
    await world.sync()
    with refused_with("MODEL_NOT_APPROVED"):
        world.provider.usable(model_id)
    assert world.owner.usable(model_id).standing.words == {PROVIDER: "withdrawn"}
    assert world.owner.linear(model_id).model == served()


async def test_a_model_without_columns_of_its_owner_names_what_a_consent_covers(world: World) -> None:
    world.directory.offer(OWNER, "platform-scores", "sales_summary")
    bare = canonical(msgspec.structs.replace(parse_model(served()), features=parse_model(served()).features[:2]))
    with refused_with("MODEL_INVALID", "Name what a consent has to cover"):
        await world.owner.register_linear(bare, ASKED)
    made = await world.owner.register_linear(bare, replace(ASKED, covers=("sales_summary.revenue",)))
    assert (made.version.parts[0].fields, made.version.own_features) == (("sales_summary.revenue",), 0)
    for terms, told in (
        (replace(ASKED, askers=()), "names its askers"),
        (replace(ASKED, askers=("nobody-there",)), "names its askers"),
    ):
        with refused_with("MODEL_INVALID", told):
            await world.owner.register_linear(served(), terms)
    with refused_with("MODEL_INVALID", "neither"):
        await world.owner.register_linear(linear(), ASKED)
