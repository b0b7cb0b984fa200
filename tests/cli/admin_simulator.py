"""The hub's Admin service on a Unix socket, as far as the command asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from xinqiao.v1 import admin_pb2, admin_pb2_grpc

from consent.directory import MEMBER_ADMITTED_TYPE, SubjectKey
from consent.documents import parse
from tests.cli.simulators import PROVIDER_NODE, HubSimulator, Refusal, refusing, serving
from trust.document import SignedDocument


@dataclass
class AdminSimulator(admin_pb2_grpc.AdminServicer):
    """The Admin service."""

    hub: HubSimulator
    refuse: dict[str, Refusal] = field(default_factory=dict)
    products: list[bytes] = field(default_factory=list)
    unmatched: list[bytes] = field(default_factory=list)
    models: list[admin_pb2.RegisteredModel] = field(default_factory=list)
    reviewed: list[admin_pb2.ReviewProductRequest] = field(default_factory=list)
    cut_export: bool = False

    @refusing
    def GetStatus(self, request: admin_pb2.GetStatusRequest) -> admin_pb2.StatusReply:
        logs = [
            admin_pb2.LogStatus(origin=origin, size=len(leaves), root="ab" * 32, witnesses=[PROVIDER_NODE])
            for origin, leaves in self.hub.logs.items()
        ]
        return admin_pb2.StatusReply(
            version="1", database="sqlite", time_ms=1, members=2, nodes=2, connected_nodes=[PROVIDER_NODE], logs=logs
        )

    def _enter(self, encoded: bytes) -> admin_pb2.DirectoryReply:
        return admin_pb2.DirectoryReply(directory_index=self.hub.enter(SignedDocument.decode(encoded)))

    @refusing
    def ListAllModels(self, request: admin_pb2.ListAllModelsRequest) -> admin_pb2.ListAllModelsReply:
        return admin_pb2.ListAllModelsReply(models=self.models)

    @refusing
    def AddOperator(self, request: admin_pb2.DirectoryDocument) -> admin_pb2.DirectoryReply:
        return self._enter(request.document)

    @refusing
    def ListOperators(self, request: admin_pb2.ListOperatorsRequest) -> admin_pb2.ListOperatorsReply:
        return admin_pb2.ListOperatorsReply(
            operators=[
                admin_pb2.OperatorReply(
                    operator=each.name,
                    key_id=each.key.key_id,
                    state="standing" if each.stands else "ended",
                    from_ms=each.from_ms,
                    signer=each.signer or "",
                    ended_ms=each.ended_ms or 0,
                    ended_by=each.ended_by or "",
                )
                for each in self.hub.directory.operators_ever()
            ]
        )

    @refusing
    def AdmitMember(self, request: admin_pb2.DirectoryDocument) -> admin_pb2.DirectoryReply:
        if SignedDocument.decode(request.document).payload_type != MEMBER_ADMITTED_TYPE:
            raise Refusal("INVALID_ARGUMENT")
        return self._enter(request.document)

    @refusing
    def Invite(self, request: admin_pb2.InviteRequest) -> admin_pb2.InviteReply:
        if self.hub.directory.member(request.member_id) is None:
            raise Refusal("NOT_FOUND")
        return admin_pb2.InviteReply(token="dG9rZW4", expires_ms=5)

    @refusing
    def Revoke(self, request: admin_pb2.DirectoryDocument) -> admin_pb2.DirectoryReply:
        return self._enter(request.document)

    @refusing
    def ListMembers(self, request: admin_pb2.ListMembersRequest) -> admin_pb2.ListMembersReply:
        return admin_pb2.ListMembersReply(
            members=[
                admin_pb2.MemberReply(
                    member_id=member.member_id,
                    name=member.name,
                    kind=member.kind,
                    state="admitted",
                    nodes=[
                        admin_pb2.NodeReply(node_id=node.node_id, state="enrolled", connected=True)
                        for node in self.hub.directory.nodes_of(member.member_id)
                    ],
                )
                for member in self.hub.directory.members()
            ]
        )

    @refusing
    def ListRegistrations(self, request: admin_pb2.ListRegistrationsRequest) -> admin_pb2.ListRegistrationsReply:
        waiting = [d.encode() for code, d in self.hub.registrations.items() if self.hub.states[code] == "pending"]
        return admin_pb2.ListRegistrationsReply(registrations=waiting)

    @refusing
    def ApproveSubject(self, request: admin_pb2.DirectoryDocument) -> admin_pb2.DirectoryReply:
        entry = parse(SignedDocument.decode(request.document).payload, SubjectKey)
        reply = self._enter(request.document)
        self.hub.states[entry.uscc] = "approved"
        return reply

    @refusing
    def RejectSubject(self, request: admin_pb2.RejectSubjectRequest) -> admin_pb2.DirectoryReply:
        if self.hub.states.get(request.uscc) != "pending":
            raise Refusal("NOT_FOUND")
        self.hub.states[request.uscc] = "rejected"
        return admin_pb2.DirectoryReply()

    @refusing
    def ReviewProduct(self, request: admin_pb2.ReviewProductRequest) -> admin_pb2.DirectoryReply:
        self.reviewed.append(request)
        return admin_pb2.DirectoryReply(directory_index=9)

    @refusing
    def ListPendingProducts(self, request: admin_pb2.ListPendingProductsRequest) -> admin_pb2.ListPendingProductsReply:
        return admin_pb2.ListPendingProductsReply(products=self.products)

    def ExportLog(
        self, request: admin_pb2.ExportLogRequest, context: grpc.ServicerContext
    ) -> Iterator[admin_pb2.ExportChunk]:
        for leaf in self.hub.logs[request.origin]:
            yield admin_pb2.ExportChunk(leaf=leaf)
        if not self.cut_export:
            yield admin_pb2.ExportChunk(checkpoint=self.hub.checkpoint(request.origin, self.hub.witness).encode())

    @refusing
    def ListUnmatchedReceipts(
        self, request: admin_pb2.ListUnmatchedReceiptsRequest
    ) -> admin_pb2.ListUnmatchedReceiptsReply:
        return admin_pb2.ListUnmatchedReceiptsReply(signed_receipts=self.unmatched)


@contextmanager
def serving_admin(hub: HubSimulator, socket: Path) -> Iterator[AdminSimulator]:
    """Run the Admin service on a socket."""
    simulator = AdminSimulator(hub)

    def add(server: grpc.Server) -> None:
        admin_pb2_grpc.add_AdminServicer_to_server(simulator, server)

    with serving(add, f"unix:{socket}"):
        yield simulator
