"""The hub's Models service as the registry asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from xinqiao.v1 import node_pb2

from consent.models import MODEL_ACT_TYPE, MODEL_APPROVAL_TYPE, MODEL_VERSION_TYPE
from nodes.connection import CALL_TIMEOUT_S, HubConnection
from nodes.hub_channel import rpc
from trust.document import SignedDocument

_METHODS: Final = {
    MODEL_VERSION_TYPE: "RegisterModel",
    MODEL_APPROVAL_TYPE: "AnswerModel",
    MODEL_ACT_TYPE: "ActOnModel",
}


class HubModels:
    """`nodes.models.node.ModelsService` over the connection."""

    def __init__(self, connection: HubConnection) -> None:
        self._connection = connection

    async def send(self, document: SignedDocument) -> None:
        """Give the hub a document; one that it has already changes nothing. Raises NodeError."""
        method = getattr(self._connection.stubs.models, _METHODS[document.payload_type])
        await rpc(method(node_pb2.ModelDocument(document=document.encode()), timeout=CALL_TIMEOUT_S))

    async def documents(self, after: int) -> AsyncIterator[tuple[int, bytes]]:
        """Documents about models of this member after a number, each with its own, as the hub says. Raises NodeError."""
        while True:
            request = node_pb2.ListModelsRequest(after=after)
            reply = await rpc(self._connection.stubs.models.ListModels(request, timeout=CALL_TIMEOUT_S))
            for item in reply.documents:
                yield item.seq, item.document
            last = max((item.seq for item in reply.documents), default=after)
            if not reply.more or last <= after:
                return
            after = last
