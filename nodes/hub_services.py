"""Thin adapters between the hub's services on the wire and what the outbox and the monitor ask for."""

from __future__ import annotations

from collections.abc import Sequence

from xinqiao.v1 import node_pb2

from nodes.connection import CALL_TIMEOUT_S, HubConnection
from nodes.hub_channel import rpc
from nodes.replica import USAGE_ORIGIN


class HubUsage:
    """`nodes.outbox.UsageSink` over the connection."""

    def __init__(self, connection: HubConnection) -> None:
        self._connection = connection

    async def submit_receipts(self, signed: Sequence[bytes]) -> Sequence[int]:
        """Send signed receipts; returns their indexes in the usage log. Raises NodeError."""
        request = node_pb2.SubmitReceiptsRequest(signed_receipts=signed)
        reply = await rpc(self._connection.stubs.usage.SubmitReceipts(request, timeout=CALL_TIMEOUT_S))
        return list(reply.indexes)

    async def submit_batch_subjects(self, receipt_id: str, first_index: int, uses: Sequence[bytes]) -> None:
        """Send subject uses of a batch receipt. Raises NodeError."""
        request = node_pb2.SubmitBatchSubjectsRequest(receipt_id=receipt_id, first_index=first_index, subject_uses=uses)
        await rpc(self._connection.stubs.usage.SubmitBatchSubjects(request, timeout=CALL_TIMEOUT_S))

    async def submit_deletion(self, attestation: bytes) -> int:
        """Send a deletion attestation; returns its index in the usage log. Raises NodeError."""
        request = node_pb2.SubmitDeletionRequest(attestation=attestation)
        reply = await rpc(self._connection.stubs.usage.SubmitDeletion(request, timeout=CALL_TIMEOUT_S))
        return reply.log_index


class HubUsageLog:
    """`nodes.monitor.UsageLog` over the connection."""

    def __init__(self, connection: HubConnection) -> None:
        self._connection = connection

    async def checkpoint(self) -> bytes:
        """Return the newest signed checkpoint of the usage log. Raises NodeError."""
        request = node_pb2.GetCheckpointRequest(origin=USAGE_ORIGIN)
        reply = await rpc(self._connection.stubs.logs.GetCheckpoint(request, timeout=CALL_TIMEOUT_S))
        return reply.checkpoint

    async def consistency(self, old_size: int, new_size: int) -> Sequence[bytes]:
        """Return the consistency path between two sizes. Raises NodeError."""
        request = node_pb2.LogConsistencyRequest(origin=USAGE_ORIGIN, old_size=old_size, new_size=new_size)
        reply = await rpc(self._connection.stubs.logs.GetConsistencyProof(request, timeout=CALL_TIMEOUT_S))
        return list(reply.path)

    async def inclusion(self, indexes: Sequence[int], size: int) -> Sequence[tuple[bytes, Sequence[bytes]]]:
        """Return the leaf hash at each index and its inclusion path. Raises NodeError."""
        request = node_pb2.LogInclusionRequest(origin=USAGE_ORIGIN, indexes=indexes, size=size)
        reply = await rpc(self._connection.stubs.logs.GetInclusionProofs(request, timeout=CALL_TIMEOUT_S))
        return [(proof.leaf_hash, list(proof.path)) for proof in reply.proofs]
