"""What the agent does for its own operator beyond passing a call on: publish products, ask for consent, stop a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xinqiao.v1 import agent_pb2, node_pb2

from consent.directory import PRODUCT_PUBLISHED_TYPE, ProductPublished
from consent.documents import (
    CONSENT_REQUEST_TYPE,
    ConsentRequest,
    ItemScope,
    Limits,
    PurposePart,
    encode,
    parse_request,
)
from consent.notice import NOTICE
from nodes.connection import CALL_TIMEOUT_S
from nodes.errors import NodeError
from nodes.exchanges.context import ExchangeContext
from nodes.hub_channel import rpc
from nodes.joint.job_store import JobStore
from nodes.local_messages import items_of, product_of, purpose_of
from nodes.products import load_products
from trust.document import sign_document

if TYPE_CHECKING:
    from nodes.agent import Agent

DAY_MS = 86_400_000


async def publish_products(context: ExchangeContext) -> agent_pb2.PublishOwnProductsReply:
    """Publish what products.toml of the home declares; what is published already with the same items stays. Raises NodeError."""
    replies = []
    for product in load_products(context.settings.home / "products.toml", context.catalogue):
        known = context.replica.directory.product(product.product_id)
        document = ProductPublished(
            product_id=product.product_id,
            provider=context.settings.member_id,
            title=product.title,
            description=product.description,
            items=product.items,
            version=known.published.version + 1 if known is not None else 1,
            time_ms=context.clock(),
        )
        if known is not None and known.withdrawn_ms is None and known.published.items == document.items:
            replies.append(product_of(known.published, "published"))
            continue
        signed = sign_document(PRODUCT_PUBLISHED_TYPE, encode(document), context.identity)
        message = node_pb2.ProductDocument(document=signed.encode())
        reply = await rpc(context.connection.stubs.products.PublishProduct(message, timeout=CALL_TIMEOUT_S))
        replies.append(product_of(document, reply.state))
    return agent_pb2.PublishOwnProductsReply(products=replies)


async def ask_consent(context: ExchangeContext, request: agent_pb2.AskConsentRequest) -> str:
    """Ask an enterprise for consent; the request's identifier. Raises NodeError, ConsentError."""
    now_ms = context.clock()
    items = items_of(request.items_json)
    document = ConsentRequest(
        request_id=context.new_id(),
        requester=context.settings.member_id,
        node_id=context.settings.node_id,
        provider=request.provider,
        uscc=request.uscc,
        purpose=PurposePart(
            purpose_code=purpose_of(request.purpose),
            application_no=request.application_no or None,
            separate_consent=any(context.catalogue.item(item.item_id).level >= 4 for item in items),
        ),
        scope=tuple(ItemScope(item_id=item.item_id, mode=item.mode, fields=item.fields) for item in items),
        limits=Limits(
            valid_from_ms=now_ms,
            valid_to_ms=now_ms + (request.valid_days or 30) * DAY_MS,
            data_life_days=request.data_life_days or 30,
            max_uses=request.max_uses or None,
        ),
        notice=NOTICE,
        reason=request.reason,
        time_ms=now_ms,
    )
    payload = encode(document)
    parse_request(payload)  # what would be refused elsewhere is refused here, with the same words
    signed = sign_document(CONSENT_REQUEST_TYPE, payload, context.identity)
    message = node_pb2.RequestConsentRequest(document=signed.encode())
    await rpc(context.connection.stubs.consents.RequestConsent(message, timeout=CALL_TIMEOUT_S))
    return document.request_id


async def stop_job(agent: Agent, job_id: str, reason: str) -> None:
    """End a job of this node, or its part in another member's, whether the bank is there or not. Raises NodeError if there is none."""
    stopped = await agent.jobs.stop(job_id, reason)
    for exchange_id in await JobStore(agent.context.store).taken_part(job_id):
        await agent.joint.leave(exchange_id, "JOB_STOPPED")
        await agent.provider.stop(exchange_id, reason)
        stopped = True
    if not stopped:
        raise NodeError(f"No job {job_id} is under way here; see `xinqiao model list`.", code="NOT_FOUND")
