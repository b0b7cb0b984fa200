from __future__ import annotations

from typing import Any

import pytest
from xinqiao.v1 import admin_pb2, node_pb2

from consent.documents import ItemMode
from consent.model_state import Model, open_version, open_word
from consent.models import ModelVersion, parse_version, sign_version, sign_word
from hub.models import service
from tests.consent import model_builders
from tests.consent.model_builders import OWNER, OWNER_NODE, PROVIDER
from tests.hub.live import PROVIDER_NODE, LiveHub, Node, admin_stub, now_ms, refused_with, until
from trust.document import SignedDocument, sign_document
from trust.suite import sm3

PRODUCT = "tax-models"


@pytest.fixture(autouse=True)
async def offered(live: LiveHub) -> None:
    await live.publish(PRODUCT, ItemMode.J)


def version(*, parts: Any = None, **changes: Any) -> ModelVersion:
    made = parts or (model_builders.part(product_id=PRODUCT),)
    return model_builders.version(parts=made, **{"created_ms": now_ms(), **changes})


def sent(document: SignedDocument) -> node_pb2.ModelDocument:
    return node_pb2.ModelDocument(document=document.encode())


async def register(node: Node, made: ModelVersion, state: str = "draft") -> Model:
    document = sign_version(made, node.key)
    reply = await node.models.RegisterModel(sent(document))
    assert (reply.model_id, reply.state) == (made.model_id, state)
    return Model(version=made, sm3=sm3(document.payload).hex(), document=document)


async def answer(node: Node, model: Model, decision: str = "approved", **changes: Any) -> node_pb2.ModelStateReply:
    word = model_builders.approval(model.version, model.sm3, decision, **{"time_ms": now_ms(), **changes})
    return await node.models.AnswerModel(sent(sign_word(word, node.key)))


async def do(node: Node, model: Model, what: str = "in_service", **changes: Any) -> node_pb2.ModelStateReply:
    word = model_builders.act(model.version, model.sm3, what, **{"time_ms": now_ms(), **changes})
    return await node.models.ActOnModel(sent(sign_word(word, node.key)))


async def documents(node: Node, after: int = 0) -> list[node_pb2.ModelDocumentItem]:
    return list((await node.models.ListModels(node_pb2.ListModelsRequest(after=after))).documents)


async def test_a_model_goes_from_draft_to_service_and_a_withdrawal_retires_it(live: LiveHub) -> None:
    model = await register(live.bank, version())
    async with refused_with("WRONG_STATE"):
        await do(live.bank, model)
    assert (await answer(live.provider, model, "declined")).state == "draft"
    assert (await answer(live.provider, model)).state == "approved"
    assert (await do(live.bank, model)).state == "in_service"
    assert (await answer(live.provider, model, "withdrawn")).state == "retired"
    for late in (answer(live.provider, model), do(live.bank, model), do(live.bank, model, "retired")):
        async with refused_with("WRONG_STATE"):
            await late


async def test_every_party_is_told_and_gets_documents_that_it_can_verify_itself(live: LiveHub) -> None:
    await live.provider.connect()
    await live.bank.connect()
    model = await register(live.bank, version())
    await answer(live.provider, model)
    await do(live.bank, model)
    directory = live.hub.directory.current
    for node in (live.bank, live.provider):
        await until(lambda node=node: node.of("models")[-1:] == [3])
        first, *words = await documents(node)
        seen = open_version(SignedDocument.decode(first.document), directory)
        assert seen.version == model.version
        for word in words:
            seen = seen.with_word(open_word(SignedDocument.decode(word.document), directory, seen))
        assert seen.standing.state == "in_service"
        assert [one.seq for one in await documents(node, after=1)] == [2, 3]


async def test_askers_of_data_to_model_are_told_and_each_speaks_for_itself(live: LiveHub) -> None:
    await live.bank.connect()
    own = model_builders.part(PROVIDER, product_id=PRODUCT, nonzero=None, leverage=None)
    by_owner = {"owner": PROVIDER, "owner_node": PROVIDER_NODE, "created_ms": now_ms()}
    made = model_builders.served_version(OWNER, parts=(own,), **by_owner)
    model = await register(live.provider, made, "approved")
    served = await do(live.provider, model, owner=PROVIDER, node_id=PROVIDER_NODE)
    assert served.state == "in_service"
    for decision in ("approved", "withdrawn"):
        assert (await answer(live.bank, model, decision, provider=OWNER, node_id=OWNER_NODE)).state == "in_service"
    await until(lambda: live.bank.of("models")[-1:] == [4])
    assert [one.seq for one in await documents(live.bank)] == [1, 2, 3, 4]


async def test_a_node_that_was_away_is_told_where_the_registry_is_when_it_comes_back(live: LiveHub) -> None:
    await register(live.bank, version())
    await live.provider.connect()
    await until(lambda: live.provider.of("models") == [1])


async def test_strangers_see_nothing_and_say_nothing(live: LiveHub) -> None:
    await live.admit("powergrid", "platform")
    stranger = await live.enrol("powergrid-1", "powergrid")
    model = await register(live.bank, version())
    await stranger.connect()
    assert await documents(stranger) == []
    async with refused_with("NOT_FOUND"):
        await answer(stranger, model, provider="powergrid", node_id="powergrid-1")
    async with refused_with("NOT_FOUND"):
        await do(stranger, model, owner="powergrid", node_id="powergrid-1")
    assert stranger.of("models") == []


async def test_the_operator_lists_every_model_and_why_it_ended(live: LiveHub) -> None:
    model = await register(live.bank, version())
    await answer(live.provider, model)
    await answer(live.provider, model, "withdrawn", reason="licence ended")
    stub, channel = admin_stub(live)
    (listed,) = (await stub.ListAllModels(admin_pb2.ListAllModelsRequest())).models
    await channel.close()
    assert parse_version(SignedDocument.decode(listed.document).payload) == model.version
    assert (listed.state, listed.reason) == ("retired", "taxoffice withdrew its approval: licence ended")


async def test_the_same_document_again_changes_nothing(live: LiveHub) -> None:
    made = version()
    model = await register(live.bank, made)
    again = await live.bank.models.RegisterModel(sent(sign_version(made, live.bank.key)))
    assert (again.state, again.seq) == ("draft", 1)
    word = sign_word(model_builders.approval(made, model.sm3, time_ms=now_ms()), live.provider.key)
    assert (await live.provider.models.AnswerModel(sent(word))).seq == 2
    assert (await live.provider.models.AnswerModel(sent(word))).seq == 2
    assert len(await documents(live.bank)) == 2


async def test_a_version_that_is_not_the_owners_or_not_on_offer_is_refused(live: LiveHub) -> None:
    refused: list[tuple[str, dict[str, Any]]] = [
        ("WRONG_STATE", {"owner": "taxoffice", "parts": (model_builders.part("firstbank", product_id=PRODUCT),)}),
        ("WRONG_STATE", {"owner_node": PROVIDER_NODE}),
        ("PRODUCT_UNAVAILABLE", {"parts": (model_builders.part(product_id="tax-basics"),)}),
        ("PRODUCT_UNAVAILABLE", {"parts": (model_builders.part(product_id="nothing"),)}),
        ("PRODUCT_UNAVAILABLE", {"parts": (model_builders.part("powergrid", product_id=PRODUCT),)}),
        ("NOT_FOUND", {"replaces": "00000000-0000-4000-8000-000000000000"}),
        ("CLOCK_SKEW", {"created_ms": now_ms() + 86_400_000}),
    ]
    for code, changes in refused:
        async with refused_with(code):
            await live.bank.models.RegisterModel(sent(sign_version(version(**changes), live.bank.key)))
    assert await documents(live.bank) == []


async def test_an_identifier_or_a_version_number_is_used_once(live: LiveHub) -> None:
    model = await register(live.bank, version(version=3))
    for changes in (
        {"model_id": model.version.model_id, "version": 4},
        {"version": 3},
        {"version": 2},
    ):
        async with refused_with("ALREADY_EXISTS"):
            await live.bank.models.RegisterModel(sent(sign_version(version(**changes), live.bank.key)))
    await register(live.bank, version(version=4, replaces=model.version.model_id))


async def test_words_in_others_names_under_others_keys_or_about_other_bytes_are_refused(live: LiveHub) -> None:
    model = await register(live.bank, version())
    good = model_builders.approval(model.version, model.sm3, time_ms=now_ms())
    async with refused_with("PERMISSION_DENIED"):
        await live.bank.models.AnswerModel(sent(sign_word(good, live.provider.key)))
    async with refused_with("SIGNATURE_INVALID"):
        await live.provider.models.AnswerModel(sent(sign_word(good, live.bank.key)))
    async with refused_with("WRONG_STATE"):
        await answer(live.provider, of_other_bytes(model))
    async with refused_with("INVALID_ARGUMENT"):
        await live.provider.models.ActOnModel(sent(sign_word(good, live.provider.key)))
    async with refused_with("INVALID_ARGUMENT"):
        await live.bank.models.RegisterModel(sent(sign_document("text/plain", b"{}", live.bank.key)))
    assert len(await documents(live.bank)) == 1


def of_other_bytes(model: Model) -> Model:
    """The same model under the digest of other bytes."""
    return Model(version=model.version, sm3="0" * 64, document=model.document)


async def test_a_node_that_was_revoked_says_nothing_more_and_its_words_still_stand(live: LiveHub) -> None:
    model = await register(live.bank, version())
    await answer(live.provider, model)
    await live.revoke_node(PROVIDER_NODE)
    async with refused_with("NODE_REVOKED"):
        await answer(live.provider, model, "withdrawn")
    assert (await do(live.bank, model)).state == "in_service"


async def test_long_lists_come_in_pages_and_words_are_limited_but_for_those_that_end_a_use(
    live: LiveHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PAGE", 2)
    monkeypatch.setattr(service, "MAX_WORDS", 2)
    model = await register(live.bank, version())
    await answer(live.provider, model, "declined")
    await answer(live.provider, model)
    async with refused_with("TOO_LARGE"):
        await answer(live.provider, model)
    await answer(live.provider, model, "withdrawn")
    page = await live.bank.models.ListModels(node_pb2.ListModelsRequest())
    assert ([one.seq for one in page.documents], page.more) == ([1, 2], True)
    page = await live.bank.models.ListModels(node_pb2.ListModelsRequest(after=2))
    assert ([one.seq for one in page.documents], page.more) == ([3, 4], False)
    assert await documents(live.bank, after=(1 << 64) - 1) == []
