"""The Logs service of node.proto: heads and proofs for nodes.

A node sees the directory, its own member's consent log, and heads and proofs (hashes only) of the usage log.
"""

from __future__ import annotations

from typing import Final

from xinqiao.v1 import node_pb2, node_pb2_grpc

from hub.auth import caller
from hub.errors import HubError
from hub.interceptors import Context
from hub.logs import checkpoints, service
from hub.state import Hub

MAX_PROOFS: Final = 1000


class LogsServicer(node_pb2_grpc.LogsServicer):
    """Decode, call, encode."""

    def __init__(self, hub: Hub) -> None:
        """Serve this hub's logs."""
        self._hub = hub

    async def GetCheckpoint(
        self, request: node_pb2.GetCheckpointRequest, context: Context
    ) -> node_pb2.GetCheckpointReply:
        """The newest checkpoint, with the cosignatures gathered so far."""
        origin = visible(request.origin)
        document = await self._hub.db.read(lambda connection: checkpoints.newest(connection, origin))
        return node_pb2.GetCheckpointReply(checkpoint=document.encode())

    async def GetConsistencyProof(
        self, request: node_pb2.LogConsistencyRequest, context: Context
    ) -> node_pb2.LogConsistencyReply:
        """The path between two sizes."""
        origin = visible(request.origin)
        path = await self._hub.db.read(
            lambda connection: service.consistency_proof(connection, origin, request.old_size, request.new_size)
        )
        return node_pb2.LogConsistencyReply(path=path)

    async def GetInclusionProofs(
        self, request: node_pb2.LogInclusionRequest, context: Context
    ) -> node_pb2.LogInclusionReply:
        """The paths of entries; of the entries themselves their hashes only."""
        origin = visible(request.origin)
        if len(request.indexes) > MAX_PROOFS:
            raise HubError("TOO_LARGE", f"{len(request.indexes)} proofs in one call; ask for at most {MAX_PROOFS}")
        proofs = await self._hub.db.read(
            lambda connection: service.inclusion_proofs(connection, origin, request.indexes, request.size)
        )
        return node_pb2.LogInclusionReply(
            proofs=[node_pb2.LogInclusion(leaf_hash=hashed, path=path) for hashed, path in proofs]
        )


def visible(origin: str) -> str:
    """The origin, if the calling node may see that log. Raises HubError PERMISSION_DENIED."""
    if origin not in {service.DIRECTORY, service.USAGE, service.consent_origin(caller().member_id)}:
        raise HubError("PERMISSION_DENIED", f"log {origin[:100]!r} is not yours to see; ask for your own member's")
    return origin
