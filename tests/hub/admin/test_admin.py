from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpc import aio
from xinqiao.v1 import admin_pb2, admin_pb2_grpc

from consent.directory import MEMBER_ADMITTED_TYPE, MemberAdmitted
from consent.documents import encode
from hub.admin.rpc import AdminServicer
from hub.interceptors import Around, errors
from hub.logs import checkpoints, service
from hub.members.tokens import Token
from tests.hub.world import OPERATOR, World
from trust.checkpoint import cosign, open_checkpoint, verify_witness
from trust.document import SignedDocument, sign_document
from trust.merkle import leaf_hash, root_of


class NoBackoffice:
    """Products, receipts and exchanges that only remember what was asked."""

    def __init__(self) -> None:
        self.reviews: list[tuple[str, bool, str, str]] = []

    async def review_product(self, product_id: str, *, approve: bool, reason: str, operator: str) -> int:
        self.reviews.append((product_id, approve, reason, operator))
        return 7

    async def pending_products(self) -> list[bytes]:
        return [b"product"]

    async def unmatched_receipts(self, older_than_ms: int) -> list[bytes]:
        return [b"%d" % older_than_ms]

    async def open_exchanges(self) -> int:
        return 3


@asynccontextmanager
async def admin(world: World, tmp_path: Path, backoffice: NoBackoffice | None = None) -> AsyncIterator[aio.Channel]:
    server = aio.server(interceptors=[Around(errors)])
    servicer = AdminServicer(world.hub, backoffice or NoBackoffice())
    admin_pb2_grpc.add_AdminServicer_to_server(servicer, server)
    address = f"unix:{tmp_path / 'a.sock'}"
    server.add_insecure_port(address)
    await server.start()
    try:
        async with aio.insecure_channel(address) as channel:
            yield channel
    finally:
        await server.stop(0)


def admission(world: World, member_id: str) -> bytes:
    entry = MemberAdmitted(member_id=member_id, name="Bank", kind="bank", time_ms=world.clock(), operator=OPERATOR)
    return sign_document(MEMBER_ADMITTED_TYPE, encode(entry), world.operator).encode()


async def test_an_operator_admits_a_member_invites_its_node_and_sees_both(sqlite_world: World, tmp_path: Path) -> None:
    async with admin(sqlite_world, tmp_path) as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        admitted = await stub.AdmitMember(admin_pb2.DirectoryDocument(document=admission(sqlite_world, "bank-a")))
        assert admitted.directory_index == 1
        invited = await stub.Invite(admin_pb2.InviteRequest(member_id="bank-a", node_id="bank-a-1"))
        assert Token.decode(invited.token).node_id == "bank-a-1"
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.AdmitMember(admin_pb2.DirectoryDocument(document=admission(sqlite_world, "bank-a")))
        assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS
        listed = await stub.ListMembers(admin_pb2.ListMembersRequest())
        status = await stub.GetStatus(admin_pb2.GetStatusRequest())
    assert [(member.member_id, member.state) for member in listed.members] == [("bank-a", "admitted")]
    assert (status.members, status.nodes, status.open_exchanges, status.database) == (1, 0, 3, "sqlite")
    assert [(log.origin, log.size) for log in status.logs] == [("consent/bank-a", 0), ("directory", 2), ("usage", 0)]


async def test_what_is_no_document_is_refused(sqlite_world: World, tmp_path: Path) -> None:
    async with admin(sqlite_world, tmp_path) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await admin_pb2_grpc.AdminStub(channel).AdmitMember(admin_pb2.DirectoryDocument(document=b"{}"))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_export_holds_every_entry_and_the_cosignatures_where_they_cover_as_much(
    sqlite_world: World, tmp_path: Path
) -> None:
    world = sqlite_world
    world.admit("bank-a")
    world.enrol("bank-a-1", "bank-a")
    key, node = world.hub.keys.log_key, world.node_keys["bank-a-1"]

    async def exported() -> tuple[SignedDocument, list[bytes]]:
        async with admin(world, tmp_path) as channel:
            stub = admin_pb2_grpc.AdminStub(channel)
            chunks = [chunk async for chunk in stub.ExportLog(admin_pb2.ExportLogRequest(origin="directory"))]
        return SignedDocument.decode(chunks[-1].checkpoint), [chunk.leaf for chunk in chunks[:-1]]

    document = world.hub.db.write_now(lambda c: checkpoints.refresh(c, "directory", key, now_ms=world.clock()))
    verified = checkpoints.verify_cosignature(cosign(document, node), key.public, node.public)
    world.hub.db.write_now(lambda c: checkpoints.store_cosignature(c, "bank-a-1", verified))
    world.hub.db.write_now(lambda c: checkpoints.refresh(c, "directory", key, now_ms=world.clock() + 60_000))
    last, leaves = await exported()
    verify_witness(last, node.public)  # a newer checkpoint of the same size has no witness yet
    head = open_checkpoint(last, key.public)
    assert (head.size, head.root) == (3, root_of([leaf_hash(leaf) for leaf in leaves]))

    world.admit("bank-b")
    world.hub.db.write_now(lambda c: checkpoints.refresh(c, "directory", key, now_ms=world.clock() + 120_000))
    last, leaves = await exported()
    head = open_checkpoint(last, key.public)
    assert (head.size, head.root) == (4, root_of([leaf_hash(leaf) for leaf in leaves]))


async def test_an_export_longer_than_a_page_is_whole(
    sqlite_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = sqlite_world
    monkeypatch.setattr("hub.admin.rpc.EXPORT_PAGE", 10)
    leaves = [b"%d" % number for number in range(25)]

    def fill(connection: object) -> None:
        service.append(connection, "usage", leaves)  # type: ignore[arg-type]
        checkpoints.refresh(connection, "usage", world.hub.keys.log_key, now_ms=world.clock())  # type: ignore[arg-type]

    world.hub.db.write_now(fill)
    async with admin(world, tmp_path) as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        chunks = [chunk async for chunk in stub.ExportLog(admin_pb2.ExportLogRequest(origin="usage"))]
    assert [chunk.leaf for chunk in chunks[:-1]] == leaves
    assert chunks[-1].WhichOneof("part") == "checkpoint"


async def test_products_are_reviewed_in_the_name_of_a_known_operator_only(sqlite_world: World, tmp_path: Path) -> None:
    backoffice = NoBackoffice()
    async with admin(sqlite_world, tmp_path, backoffice) as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        request = admin_pb2.ReviewProductRequest(product_id="p", approve=True, reason="fine", operator="mallory")
        with pytest.raises(aio.AioRpcError) as caught:
            await stub.ReviewProduct(request)
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        request.operator = OPERATOR
        assert (await stub.ReviewProduct(request)).directory_index == 7
        pending = await stub.ListPendingProducts(admin_pb2.ListPendingProductsRequest())
        missing = await stub.ListUnmatchedReceipts(admin_pb2.ListUnmatchedReceiptsRequest(older_than_s=2))
    assert backoffice.reviews == [("p", True, "fine", OPERATOR)]
    assert (list(pending.products), list(missing.signed_receipts)) == ([b"product"], [b"2000"])
