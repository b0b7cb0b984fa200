"""The Models service of node.proto."""

from __future__ import annotations

from typing import Final

from xinqiao.v1 import node_pb2, node_pb2_grpc

from hub.auth import caller
from hub.interceptors import Context
from hub.models import service
from hub.state import Hub
from trust.document import SignedDocument

MOST_SEQ: Final = (1 << 63) - 1
"""What the database can count to."""


class ModelsServicer(node_pb2_grpc.ModelsServicer):
    """Decode, call, encode."""

    def __init__(self, hub: Hub) -> None:
        """Serve this hub's registry."""
        self._hub = hub

    async def RegisterModel(self, request: node_pb2.ModelDocument, context: Context) -> node_pb2.ModelStateReply:
        """Keep a version."""
        hub, who, document = self._hub, caller(), SignedDocument.decode(request.document)
        return _reply(await hub.db.write(lambda write: service.register(hub, write, who, document)))

    async def AnswerModel(self, request: node_pb2.ModelDocument, context: Context) -> node_pb2.ModelStateReply:
        """Keep a provider's word."""
        hub, who, document = self._hub, caller(), SignedDocument.decode(request.document)
        return _reply(await hub.db.write(lambda write: service.answer(hub, write, who, document)))

    async def ActOnModel(self, request: node_pb2.ModelDocument, context: Context) -> node_pb2.ModelStateReply:
        """Keep an owner's act."""
        hub, who, document = self._hub, caller(), SignedDocument.decode(request.document)
        return _reply(await hub.db.write(lambda write: service.act(hub, write, who, document)))

    async def ListModels(self, request: node_pb2.ListModelsRequest, context: Context) -> node_pb2.ListModelsReply:
        """Documents about the caller's models."""
        member_id, after = caller().member_id, min(request.after, MOST_SEQ)
        found, more = await self._hub.db.read(lambda read: service.listed(read, member_id, after))
        return node_pb2.ListModelsReply(
            documents=[
                node_pb2.ModelDocumentItem(seq=one.seq, model_id=one.model_id, document=one.document) for one in found
            ],
            more=more,
        )


def _reply(kept: service.Kept) -> node_pb2.ModelStateReply:
    return node_pb2.ModelStateReply(model_id=kept.model_id, state=kept.state, seq=kept.seq)
