"""What a hub shows of models is verified: a lying, forgetful or wound-back hub changes nothing that a node does."""

from __future__ import annotations

from consent.model_state import Model, State, Step
from consent.models import sign_version, sign_word
from nodes.models.registry import Terms
from tests.consent.model_builders import (
    OTHER,
    OTHER_NODE,
    OWNER_NODE,
    PROVIDER_NODE,
    approval,
    version,
)
from tests.nodes.models.world import SECOND_NODE, World, linear, refused_with
from trust.document import sign_document
from trust.suite import sm3

TERMS = Terms(name="sme-default", metrics={"auc": 0.71})


async def lies(world: World, model: Model) -> dict[str, tuple[list[bytes], str]]:
    """What a hub could show to have a model of which nothing is approved look approved."""
    later = version(model_id=model.version.model_id, name="sme-default", version=2, parts=model.version.parts)
    other = sign_version(version(parts=model.version.parts), world.keys[OWNER_NODE])
    good = approval(model.version, model.sm3)
    about_other = approval(version(model_id=model.version.model_id), sm3(other.payload).hex())
    truth = model.document.encode()
    return {
        "signed by another": ([truth, sign_word(good, world.keys[OWNER_NODE]).encode()], "SIGNATURE_INVALID"),
        "of another member": (
            [
                truth,
                sign_word(
                    approval(model.version, model.sm3, provider=OTHER, node_id=OTHER_NODE), world.keys[OTHER_NODE]
                ).encode(),
            ],
            "DIRECTORY_RULE",
        ),
        "of a node that nobody knows": (
            [
                truth,
                sign_word(approval(model.version, model.sm3, node_id="taxoffice-9"), world.keys[SECOND_NODE]).encode(),
            ],
            "DIRECTORY_RULE",
        ),
        "about other bytes": ([truth, sign_word(about_other, world.keys[PROVIDER_NODE]).encode()], "DIRECTORY_RULE"),
        "of another type": (
            [
                truth,
                sign_document(
                    "application/x", sign_word(good, world.keys[PROVIDER_NODE]).payload, world.keys[PROVIDER_NODE]
                ).encode(),
            ],
            "CONSENT_MALFORMED",
        ),
        "another document under the same identifier": (
            [truth, sign_version(later, world.keys[OWNER_NODE]).encode()],
            "CONSENT_ERROR",
        ),
        "a model that does not name the member": (
            [
                truth,
                sign_version(version("thirdbank", owner=OTHER, owner_node=OTHER_NODE), world.keys[OTHER_NODE]).encode(),
            ],
            "CONSENT_ERROR",
        ),
        "about a model that was never shown": (
            [truth, sign_word(approval(version(), model.sm3), world.keys[PROVIDER_NODE]).encode()],
            "CONSENT_ERROR",
        ),
        "no document at all": ([truth, b"{}"], "DOCUMENT_MALFORMED"),
    }


async def test_what_a_lying_hub_shows_is_refused_and_told(world: World) -> None:
    model = await world.owner.register_linear(linear(), TERMS)
    await world.sync()
    for name, (shown, code) in (await lies(world, model)).items():
        world.hub.show = shown
        for registry in (world.owner, world.provider):
            await registry.sync()
            assert registry.last_error.startswith(code), (name, registry.last_error)
            assert registry.model(model.version.model_id).standing.state is State.DRAFT, name
            assert [each.sm3 for each in registry.models()] == [model.sm3]
    world.hub.show = None
    await world.sync()
    assert {registry.last_error for registry in world.nodes.values()} == {""}


async def test_a_hub_that_forgets_a_withdrawal_or_shows_the_approval_again_changes_nothing(world: World) -> None:
    model_id = await world.in_service(await world.owner.register_linear(linear(), TERMS))
    before = list(world.hub.documents)
    await world.provider.take_step(model_id, Step.WITHDRAW, "", "officer")
    await world.sync()
    world.hub.show = [*before, *before[1:]]
    for node_id in (OWNER_NODE, PROVIDER_NODE):
        registry = await world.start(node_id)
        await registry.sync()
        with refused_with("MODEL_RETIRED"):
            registry.usable(model_id)


async def test_a_hub_cannot_approve_for_a_node_of_a_provider(world: World) -> None:
    world.directory.enrol(SECOND_NODE, world.keys[SECOND_NODE])
    second = await world.start(SECOND_NODE)
    model_id = await world.in_service(await world.owner.register_linear(linear(), TERMS))
    with refused_with("MODEL_NOT_APPROVED", "Node taxoffice-2 has not approved"):
        second.usable(model_id)
    await second.take_step(model_id, Step.APPROVE, "checked here too", "officer")
    assert second.usable(model_id).standing.state is State.IN_SERVICE
    await second.take_step(model_id, Step.WITHDRAW, "", "officer")
    await world.sync()
    for registry in (world.owner, world.provider):
        with refused_with("MODEL_RETIRED"):
            registry.usable(model_id)


async def test_a_word_whose_signer_is_still_on_the_way_in_the_directory_is_taken_later(world: World) -> None:
    model = await world.owner.register_linear(linear(), TERMS)
    model_id = model.version.model_id
    node = world.directory._nodes.pop(PROVIDER_NODE)
    said = sign_word(approval(model.version, model.sm3), world.keys[PROVIDER_NODE])
    world.hub.documents.append(said.encode())
    await world.owner.sync()
    assert world.owner.last_error.startswith("DIRECTORY_RULE")
    world.directory._nodes[PROVIDER_NODE] = node
    await world.owner.sync()
    assert (world.owner.last_error, world.owner.model(model_id).standing.state) == ("", State.APPROVED)


async def test_a_hub_that_went_back_is_read_from_its_beginning(world: World) -> None:
    for _ in range(3):
        await world.owner.register_linear(linear(), TERMS)
    await world.sync()
    del world.hub.documents[1:]
    model = await world.owner.register_linear(linear(), TERMS)
    await world.provider.sync()
    assert len(world.provider.models()) == 3
    world.provider.changed(2)
    await world.provider.sync()
    assert world.provider.model(model.version.model_id).sm3 == model.sm3
