"""The Admin service of admin.proto, on the operator's socket.

Documents come signed by the operator's key; the hub checks them against the directory like any other entry. What
belongs to products, models, exchanges and receipts is asked of `Backoffice`, which the composition root provides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import asdict
from functools import partial
from typing import Protocol

from sqlalchemy import Connection
from xinqiao.v1 import admin_pb2, admin_pb2_grpc

from consent.model_state import Model
from hub.errors import HubError
from hub.exchanges.service import Exchange
from hub.interceptors import Context
from hub.logs import checkpoints
from hub.logs import service as logs
from hub.members import certificates
from hub.members import service as members
from hub.members.rpc import software_version
from hub.state import Hub
from hub.subjects import service as subjects
from trust.checkpoint import Checkpoint
from trust.document import SignedDocument

EXPORT_PAGE = 1000


class Backoffice(Protocol):
    """What the operator may ask of the hub's other subjects."""

    async def review_product(self, product_id: str, *, approve: bool, reason: str, operator: str) -> int:
        """Publish or reject a product that waits; the index of its directory entry, 0 when rejected."""

    async def pending_products(self) -> list[bytes]:
        """The products (SignedDocuments) that wait for review."""

    async def models(self) -> list[Model]:
        """Every model of the registry."""

    async def unmatched_receipts(self, older_than_ms: int) -> list[bytes]:
        """Receipts older than that many milliseconds whose twin has not come."""

    async def exchanges(self, node_ids: Collection[str] | None) -> list[Exchange]:
        """Exchanges of these nodes, or of all: what has not ended, and what changed last."""

    async def open_exchanges(self) -> int:
        """How many exchanges have not ended."""


class AdminServicer(admin_pb2_grpc.AdminServicer):
    """Decode, call, encode."""

    def __init__(self, hub: Hub, backoffice: Backoffice) -> None:
        """Serve the operator of this hub."""
        self._hub = hub
        self._backoffice = backoffice

    async def GetStatus(self, request: admin_pb2.GetStatusRequest, context: Context) -> admin_pb2.StatusReply:
        """Counts, connected nodes and log heads."""
        directory = self._hub.directory.current
        heads = await self._hub.db.read(_log_status)
        active = [member for member in directory.members() if member.suspended_ms is None]
        return admin_pb2.StatusReply(
            version=software_version(),
            database=self._hub.db.dialect,
            time_ms=self._hub.clock(),
            members=len(active),
            nodes=sum(len(directory.nodes_of(member.member_id)) for member in active),
            connected_nodes=sorted(self._hub.sessions.connected()),
            logs=heads,
            open_exchanges=await self._backoffice.open_exchanges(),
        )

    async def AddOperator(self, request: admin_pb2.DirectoryDocument, context: Context) -> admin_pb2.DirectoryReply:
        """Append an "operator-key"."""
        document = SignedDocument.decode(request.document)
        return _at(await self._hub.db.write(lambda connection: members.add_operator(self._hub, connection, document)))

    async def ListOperators(
        self, request: admin_pb2.ListOperatorsRequest, context: Context
    ) -> admin_pb2.ListOperatorsReply:
        """Every key that an operator ever had."""
        found = [
            admin_pb2.OperatorReply(
                operator=each.name,
                key_id=each.key.key_id,
                state="standing" if each.stands else "ended",
                from_ms=each.from_ms,
                signer=each.signer or "",
                ended_ms=each.ended_ms or 0,
                ended_by=each.ended_by or "",
            )
            for each in self._hub.directory.current.operators_ever()
        ]
        return admin_pb2.ListOperatorsReply(operators=found)

    async def AdmitMember(self, request: admin_pb2.DirectoryDocument, context: Context) -> admin_pb2.DirectoryReply:
        """Append a "member-admitted"."""
        document = SignedDocument.decode(request.document)
        return _at(await self._hub.db.write(lambda connection: members.admit(self._hub, connection, document)))

    async def Invite(self, request: admin_pb2.InviteRequest, context: Context) -> admin_pb2.InviteReply:
        """Make a one-time token."""
        token = await self._hub.db.write(
            lambda connection: members.invite(self._hub, connection, request.member_id, request.node_id)
        )
        return admin_pb2.InviteReply(token=token.encode(), expires_ms=token.expires_ms)

    async def Revoke(self, request: admin_pb2.DirectoryDocument, context: Context) -> admin_pb2.DirectoryReply:
        """Append a "node-revoked", "member-suspended", "subject-key-revoked" or "operator-revoked"."""
        document = SignedDocument.decode(request.document)
        return _at(await self._hub.db.write(lambda connection: members.revoke(self._hub, connection, document)))

    async def ListMembers(self, request: admin_pb2.ListMembersRequest, context: Context) -> admin_pb2.ListMembersReply:
        """Members and their nodes, the suspended and revoked ones too."""
        expiry = await self._hub.db.read(certificates.expiry_by_node)
        acknowledged = await self._hub.db.read(checkpoints.acknowledged)
        connected = set(self._hub.sessions.connected())
        reply = admin_pb2.ListMembersReply()
        for member in self._hub.directory.current.members():
            entry = reply.members.add(
                member_id=member.member_id,
                name=member.name,
                kind=member.kind,
                state="admitted" if member.suspended_ms is None else "suspended",
            )
            for node in self._hub.directory.nodes_ever(member.member_id):
                entry.nodes.add(
                    node_id=node.node_id,
                    state="revoked" if node.revoked else "enrolled",
                    connected=node.node_id in connected,
                    certificate_expires_ms=expiry.get(node.node_id, 0),
                    version=self._hub.sessions.version_of(node.node_id),
                    acknowledged=[
                        admin_pb2.CosignedHead(origin=each.origin, size=each.size, time_ms=each.time_ms)
                        for each in acknowledged
                        if each.node_id == node.node_id
                    ],
                )
        return reply

    async def ListAllExchanges(
        self, request: admin_pb2.ListAllExchangesRequest, context: Context
    ) -> admin_pb2.ListAllExchangesReply:
        """What has not ended and what changed last."""
        node_ids = None
        if request.member_id:
            node_ids = [node.node_id for node in self._hub.directory.nodes_ever(request.member_id)]
        found = await self._backoffice.exchanges(node_ids)
        return admin_pb2.ListAllExchangesReply(
            exchanges=[admin_pb2.ExchangeStatus(**asdict(exchange)) for exchange in found]
        )

    async def ListRegistrations(
        self, request: admin_pb2.ListRegistrationsRequest, context: Context
    ) -> admin_pb2.ListRegistrationsReply:
        """Registrations that wait for an operator."""
        found = await self._hub.db.read(subjects.pending)
        return admin_pb2.ListRegistrationsReply(registrations=[document.encode() for document in found])

    async def ApproveSubject(self, request: admin_pb2.DirectoryDocument, context: Context) -> admin_pb2.DirectoryReply:
        """Append a "subject-key" for a registration that waits."""
        document = SignedDocument.decode(request.document)
        return _at(await self._hub.db.write(lambda connection: subjects.approve(self._hub, connection, document)))

    async def RejectSubject(
        self, request: admin_pb2.RejectSubjectRequest, context: Context
    ) -> admin_pb2.DirectoryReply:
        """Refuse a registration; nothing is appended."""
        await self._hub.db.write(lambda connection: subjects.reject(connection, request.uscc, request.reason))
        return admin_pb2.DirectoryReply()

    async def ReviewProduct(
        self, request: admin_pb2.ReviewProductRequest, context: Context
    ) -> admin_pb2.DirectoryReply:
        """Publish or reject a product that waits for review."""
        if self._hub.directory.current.operator_key(request.operator) is None:
            raise HubError("PERMISSION_DENIED", f"{request.operator[:60]!r} is no operator of this hub; name one")
        index = await self._backoffice.review_product(
            request.product_id, approve=request.approve, reason=request.reason, operator=request.operator
        )
        return _at(index)

    async def ListPendingProducts(
        self, request: admin_pb2.ListPendingProductsRequest, context: Context
    ) -> admin_pb2.ListPendingProductsReply:
        """Products that wait for review."""
        return admin_pb2.ListPendingProductsReply(products=await self._backoffice.pending_products())

    async def ListAllModels(
        self, request: admin_pb2.ListAllModelsRequest, context: Context
    ) -> admin_pb2.ListAllModelsReply:
        """Every model and where it stands."""
        reply = admin_pb2.ListAllModelsReply()
        for model in await self._backoffice.models():
            standing = model.standing
            reply.models.add(document=model.document.encode(), state=standing.state, reason=standing.reason)
        return reply

    async def ExportLog(
        self, request: admin_pb2.ExportLogRequest, context: Context
    ) -> AsyncIterator[admin_pb2.ExportChunk]:
        """A whole log up to its newest checkpoint (cosigned where that covers as much), then that checkpoint."""
        origin = request.origin
        checkpoint = await self._hub.db.read(lambda connection: checkpoints.newest_complete(connection, origin))
        size = Checkpoint.decode(checkpoint.payload).size
        first = 0
        while first < size:
            limit = min(EXPORT_PAGE, size - first)
            page = await self._hub.db.read(partial(_page, origin=origin, first=first, limit=limit))
            for leaf in page:
                yield admin_pb2.ExportChunk(leaf=leaf)
            first += len(page)
            if len(page) < limit:
                raise HubError("LOG_INCONSISTENT", f"log {origin} ends at {first}, its checkpoint says {size}")
        yield admin_pb2.ExportChunk(checkpoint=checkpoint.encode())

    async def ListUnmatchedReceipts(
        self, request: admin_pb2.ListUnmatchedReceiptsRequest, context: Context
    ) -> admin_pb2.ListUnmatchedReceiptsReply:
        """Receipts whose twin is missing."""
        found = await self._backoffice.unmatched_receipts(request.older_than_s * 1000)
        return admin_pb2.ListUnmatchedReceiptsReply(signed_receipts=found)


def _page(connection: Connection, *, origin: str, first: int, limit: int) -> list[bytes]:
    return logs.read_leaves(connection, origin, first, limit)


def _at(index: int) -> admin_pb2.DirectoryReply:
    return admin_pb2.DirectoryReply(directory_index=index)


def _log_status(connection: Connection) -> list[admin_pb2.LogStatus]:
    found = []
    for origin in logs.origins(connection):
        size = logs.size(connection, origin)
        newest = checkpoints.newest_stored(connection, origin)
        found.append(
            admin_pb2.LogStatus(
                origin=origin,
                size=size,
                root=logs.root(connection, origin).hex(),
                witnesses=[witness.node_id for witness in checkpoints.witnesses(connection, origin, size)],
                checkpoint_ms=0 if newest is None else newest.time_ms,
            )
        )
    return found
