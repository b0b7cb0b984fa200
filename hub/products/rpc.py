"""The Products service of node.proto, and the public list of public.proto."""

from __future__ import annotations

from xinqiao.v1 import node_pb2, node_pb2_grpc, public_pb2

from hub.auth import caller
from hub.interceptors import Context
from hub.products import service
from hub.state import Hub
from trust.document import SignedDocument


class ProductsServicer(node_pb2_grpc.ProductsServicer):
    """Decode, call, encode."""

    def __init__(self, hub: Hub) -> None:
        """Serve this hub's products."""
        self._hub = hub

    async def PublishProduct(self, request: node_pb2.ProductDocument, context: Context) -> node_pb2.ProductReply:
        """Leave a product for review."""
        hub, who, document = self._hub, caller(), SignedDocument.decode(request.document)
        return _reply(await hub.db.write(lambda write: service.publish(hub, write, who, document)))

    async def WithdrawProduct(self, request: node_pb2.ProductDocument, context: Context) -> node_pb2.ProductReply:
        """Take a product off offer."""
        hub, who, document = self._hub, caller(), SignedDocument.decode(request.document)
        return _reply(await hub.db.write(lambda write: service.withdraw(hub, write, who, document)))

    async def ListProducts(self, request: node_pb2.ListProductsRequest, context: Context) -> node_pb2.ListProductsReply:
        """Published products and the caller's own."""
        member_id = caller().member_id
        found = await self._hub.db.read(lambda read: service.visible_to(read, member_id))
        return node_pb2.ListProductsReply(
            products=[
                node_pb2.ProductItemReply(document=one.document, state=one.state, reason=one.reason) for one in found
            ]
        )


class ProductCalls:
    """The public list. A base of the whole Subjects servicer."""

    def __init__(self, hub: Hub) -> None:
        """Serve anybody."""
        self._hub = hub

    async def ListPublishedProducts(
        self, request: public_pb2.ListPublishedProductsRequest, context: Context
    ) -> public_pb2.ListPublishedProductsReply:
        """Products on offer."""
        return public_pb2.ListPublishedProductsReply(products=await self._hub.db.read(service.published))


def _reply(listed: service.Listed) -> node_pb2.ProductReply:
    return node_pb2.ProductReply(product_id=listed.product_id, state=listed.state, reason=listed.reason)
