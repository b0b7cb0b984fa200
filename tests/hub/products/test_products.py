from __future__ import annotations

import pytest
from xinqiao.v1 import node_pb2, public_pb2

from consent.directory import PRODUCT_WITHDRAWN_TYPE, ProductPublished, ProductWithdrawn
from consent.documents import encode, parse
from hub.products import service
from tests.hub.live import (
    PRODUCT,
    PROVIDER,
    LiveHub,
    Node,
    now_ms,
    product,
    refused_with,
)
from trust.document import SignedDocument, sign_document


async def publish(node: Node, document: SignedDocument) -> node_pb2.ProductReply:
    return await node.products.PublishProduct(node_pb2.ProductDocument(document=document.encode()))


async def review(live: LiveHub, product_id: str, *, approve: bool, reason: str = "") -> int | None:
    return await live.hub.db.write(
        lambda write: service.review(live.hub, write, product_id, approve=approve, reason=reason)
    )


async def offered(live: LiveHub) -> list[str]:
    reply = await live.subjects.ListPublishedProducts(public_pb2.ListPublishedProductsRequest())
    return [parse(SignedDocument.decode(one).payload, ProductPublished).product_id for one in reply.products]


def withdrawal(node: Node, product_id: str = PRODUCT) -> node_pb2.ProductDocument:
    entry = ProductWithdrawn(product_id=product_id, provider=node.member_id, time_ms=now_ms())
    return node_pb2.ProductDocument(document=sign_document(PRODUCT_WITHDRAWN_TYPE, encode(entry), node.key).encode())


async def test_a_product_is_on_offer_only_after_its_review(live: LiveHub) -> None:
    reply = await publish(live.provider, product(live.provider, product_id="invoices"))
    assert (reply.product_id, reply.state) == ("invoices", "pending_review")
    assert await offered(live) == [PRODUCT]
    assert await review(live, "invoices", approve=True) is not None
    assert await offered(live) == ["invoices", PRODUCT]
    assert live.hub.directory.current.product("invoices") is not None


async def test_a_rejected_product_is_seen_by_its_provider_with_the_reason_and_by_nobody_else(live: LiveHub) -> None:
    await publish(live.provider, product(live.provider, product_id="invoices"))
    await review(live, "invoices", approve=False, reason="items unclear")
    own = await live.provider.products.ListProducts(node_pb2.ListProductsRequest())
    others = await live.bank.products.ListProducts(node_pb2.ListProductsRequest())
    assert ("rejected", "items unclear") in [(one.state, one.reason) for one in own.products]
    assert [one.state for one in others.products] == ["published"]
    async with refused_with("INVALID_ARGUMENT"):
        await publish(live.provider, live.provider.exchange_request())


async def test_the_listed_document_is_the_directory_entry_with_the_countersignature(live: LiveHub) -> None:
    reply = await live.bank.products.ListProducts(node_pb2.ListProductsRequest())
    document = SignedDocument.decode(reply.products[0].document)
    signers = {signature.key_id for signature in document.signatures}
    assert signers == {live.provider.key.public.key_id, live.hub.keys.public.key_id}


async def test_publishing_the_same_document_again_changes_nothing(live: LiveHub) -> None:
    document = product(live.provider, product_id="invoices")
    await publish(live.provider, document)
    await review(live, "invoices", approve=True)
    assert (await publish(live.provider, document)).state == "published"


async def test_a_new_version_replaces_the_offer_once_it_is_approved(live: LiveHub) -> None:
    await publish(live.provider, product(live.provider, version=2, title="Second"))
    assert live.hub.directory.current.product(PRODUCT).published.title == "Tax basics"
    await review(live, PRODUCT, approve=True)
    assert live.hub.directory.current.product(PRODUCT).published.title == "Second"
    assert await offered(live) == [PRODUCT]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 1, "title": "other"}, "CONSENT_CONFLICT"),
        ({"provider": "firstbank", "product_id": "loans"}, "PERMISSION_DENIED"),
    ],
)
async def test_a_provider_publishes_only_what_is_its_own_and_new(
    live: LiveHub, changes: dict[str, object], code: str
) -> None:
    async with refused_with(code):
        await publish(live.provider, product(live.provider, **changes))


async def test_another_providers_identifier_is_refused(live: LiveHub) -> None:
    async with refused_with("CONSENT_CONFLICT"):
        await publish(live.bank, product(live.bank, version=9))


async def test_a_product_signed_by_another_key_is_refused(live: LiveHub) -> None:
    forged = sign_document(
        product(live.provider).payload_type, product(live.provider, product_id="x1").payload, live.bank.key
    )
    async with refused_with("SIGNATURE_INVALID"):
        await publish(live.provider, forged)


async def test_a_withdrawn_product_is_off_offer_and_cannot_be_withdrawn_by_others(live: LiveHub) -> None:
    async with refused_with("NOT_FOUND"):
        await live.bank.products.WithdrawProduct(withdrawal(live.bank))
    reply = await live.provider.products.WithdrawProduct(withdrawal(live.provider))
    assert reply.state == "withdrawn"
    assert await offered(live) == []
    assert live.hub.directory.current.product(PRODUCT).withdrawn_ms is not None
    async with refused_with("PRODUCT_UNAVAILABLE"):
        await live.bank.open_exchange(provider=PROVIDER)


async def test_only_a_product_that_waits_can_be_reviewed(live: LiveHub) -> None:
    with pytest.raises(service.HubError, match="published"):
        await review(live, PRODUCT, approve=True)
    with pytest.raises(service.HubError, match="no product"):
        await review(live, "nothing", approve=True)
