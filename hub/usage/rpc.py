"""The Usage service of node.proto, and an enterprise's calls about uses of public.proto."""

from __future__ import annotations

import asyncio

from xinqiao.v1 import node_pb2, node_pb2_grpc, public_pb2

from hub.auth import caller
from hub.errors import HubError
from hub.interceptors import Context
from hub.logs import service as logs
from hub.state import Hub
from hub.subjects.service import authenticate
from hub.usage import batches, receipts, service
from trust.document import SignedDocument
from trust.sm2 import PublicKey


class UsageServicer(node_pb2_grpc.UsageServicer):
    """Decode, call, encode."""

    def __init__(self, hub: Hub) -> None:
        """Serve this hub's usage log."""
        self._hub = hub

    async def SubmitReceipts(
        self, request: node_pb2.SubmitReceiptsRequest, context: Context
    ) -> node_pb2.SubmitReceiptsReply:
        """Take receipts; verified on a thread, so that a thousand of them do not stop the event loop."""
        hub, who = self._hub, caller()
        key, leaves = self._identity_key(who.node_id), list(request.signed_receipts)
        verified = await asyncio.to_thread(receipts.verify, who, key, leaves)
        indexes = await hub.db.write(lambda write: receipts.record(hub, write, verified))
        return node_pb2.SubmitReceiptsReply(indexes=indexes)

    async def SubmitBatchSubjects(
        self, request: node_pb2.SubmitBatchSubjectsRequest, context: Context
    ) -> node_pb2.SubmitBatchSubjectsReply:
        """Take the subjects of a batch."""
        node_id, encoded = caller().node_id, list(request.subject_uses)
        uses = await asyncio.to_thread(batches.parse_uses, encoded)
        fits = await self._hub.db.write(
            lambda write: batches.add(write, node_id, request.receipt_id, request.first_index, encoded, uses)
        )
        if not fits:
            raise HubError(
                "SIGNATURE_INVALID",
                "the subjects do not have the root that the receipt commits to; send them all again",
            )
        return node_pb2.SubmitBatchSubjectsReply()

    async def SubmitDeletion(
        self, request: node_pb2.SubmitDeletionRequest, context: Context
    ) -> node_pb2.SubmitDeletionReply:
        """Take a deletion attestation."""
        hub, who = self._hub, caller()
        document = SignedDocument.decode(request.attestation)
        index = await hub.db.write(lambda write: service.attest_deletion(hub, write, who, document))
        return node_pb2.SubmitDeletionReply(log_index=index)

    def _identity_key(self, node_id: str) -> PublicKey:
        node = self._hub.directory.current.node(node_id)
        if node is None:
            raise HubError("UNAUTHENTICATED")
        return node.identity_key


class UseCalls:
    """An enterprise's calls about uses of its data. A base of the whole Subjects servicer."""

    def __init__(self, hub: Hub) -> None:
        """Serve enterprises of this hub."""
        self._hub = hub

    async def ListUses(self, request: public_pb2.ListUsesRequest, context: Context) -> public_pb2.ListUsesReply:
        """A page of recorded uses with proofs."""
        hub = self._hub
        uscc = await authenticate(hub, request.access_request, "list-uses")
        page = await hub.db.read(lambda read: service.uses_of(hub, read, uscc, request.after_index, request.limit))
        return public_pb2.ListUsesReply(
            checkpoint=page.checkpoint,
            uses=[
                public_pb2.ProvenUse(
                    log_index=use.log_index,
                    signed_receipt=use.signed_receipt,
                    path=use.path,
                    subject_use=use.subject_use,
                    subject_index=use.subject_index,
                    subject_path=use.subject_path,
                    twin_present=use.twin_present,
                )
                for use in page.uses
            ],
            more=page.more,
            nodes=page.nodes,
        )

    async def GetUsageConsistency(
        self, request: public_pb2.ConsistencyRequest, context: Context
    ) -> public_pb2.ConsistencyReply:
        """The path between two heads of the usage log; hashes only, so anybody may ask."""
        path = await self._hub.db.read(
            lambda read: logs.consistency_proof(read, logs.USAGE, request.old_size, request.new_size)
        )
        return public_pb2.ConsistencyReply(path=path)
