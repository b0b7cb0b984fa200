"""Operators over the operator's socket: what the hub lets in, what it refuses, and how each refusal is told."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from grpc import aio
from xinqiao.v1 import admin_pb2, admin_pb2_grpc, errors_pb2

from consent.directory import (
    MEMBER_ADMITTED_TYPE,
    OPERATOR_KEY_TYPE,
    OPERATOR_REVOKED_TYPE,
    MemberAdmitted,
    OperatorKey,
    OperatorRevoked,
)
from consent.documents import encode
from tests.hub.admin.test_admin import NoBackoffice, admin
from tests.hub.world import OPERATOR, World
from trust.document import sign_document
from trust.sm2 import PrivateKey


def added(world: World, name: str, key: PrivateKey, by_key: PrivateKey, **changes: object) -> bytes:
    given = {"operator": name, "public_key": key.public.encode(), "time_ms": world.clock(), "signer": OPERATOR}
    return sign_document(OPERATOR_KEY_TYPE, encode(OperatorKey(**(given | changes))), by_key).encode()  # type: ignore[arg-type]


def revoked(world: World, name: str, key: PrivateKey, signer: PrivateKey, by: str = OPERATOR) -> bytes:
    entry = OperatorRevoked(operator=name, key_id=key.public.key_id, reason="stolen", time_ms=world.clock(), signer=by)
    return sign_document(OPERATOR_REVOKED_TYPE, encode(entry), signer).encode()


def admission(world: World, operator: str, signer: PrivateKey) -> bytes:
    entry = MemberAdmitted(member_id="bank-a", name="Bank", kind="bank", time_ms=world.clock(), operator=operator)
    return sign_document(MEMBER_ADMITTED_TYPE, encode(entry), signer).encode()


def document(encoded: bytes) -> admin_pb2.DirectoryDocument:
    return admin_pb2.DirectoryDocument(document=encoded)


async def refused(call: aio.UnaryUnaryCall[admin_pb2.DirectoryDocument, admin_pb2.DirectoryReply]) -> tuple[str, str]:
    """The code and the sentence of a call that must fail."""
    with pytest.raises(aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is not grpc.StatusCode.INTERNAL
    detail = errors_pb2.ErrorDetail.FromString(dict(caught.value.trailing_metadata())["xinqiao-error-bin"])
    return errors_pb2.ErrorCode.Name(detail.code), detail.message


async def test_an_operator_lets_another_in_who_then_acts_and_both_are_listed(
    sqlite_world: World, tmp_path: Path
) -> None:
    world, bob = sqlite_world, PrivateKey.generate()
    async with admin(world, tmp_path) as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        reply = await stub.AddOperator(document(added(world, "bob", bob, world.operator)))
        assert reply.directory_index == 1
        await stub.AdmitMember(document(admission(world, "bob", bob)))
        listed = await stub.ListOperators(admin_pb2.ListOperatorsRequest())
    assert [(each.operator, each.key_id, each.state, each.signer) for each in listed.operators] == [
        (OPERATOR, world.operator.public.key_id, "standing", ""),
        ("bob", bob.public.key_id, "standing", OPERATOR),
    ]


async def test_the_hubs_own_key_lets_nobody_in(sqlite_world: World, tmp_path: Path) -> None:
    world, thief, hub_key = sqlite_world, PrivateKey.generate(), sqlite_world.hub.keys.log_key
    async with admin(world, tmp_path) as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        alone = await refused(stub.AddOperator(document(added(world, "eve", thief, hub_key, signer=None))))
        assert alone[0] == "WRONG_STATE"
        assert "signed by an operator that stands" in alone[1]
        borrowed = await refused(stub.AddOperator(document(added(world, "eve", thief, hub_key))))
        assert borrowed[0] == "SIGNATURE_INVALID"
        own = await refused(stub.AddOperator(document(added(world, "eve", thief, thief, signer="eve"))))
        assert own[0] == "WRONG_STATE"
        ended = await refused(stub.Revoke(document(revoked(world, OPERATOR, world.operator, hub_key))))
        assert ended[0] in {"SIGNATURE_INVALID", "WRONG_STATE"}
    assert [each.name for each in world.hub.directory.current.operators_ever()] == [OPERATOR]


@pytest.mark.parametrize("off_s", [-61, 61])
async def test_an_entry_that_was_kept_for_later_is_refused(sqlite_world: World, tmp_path: Path, off_s: int) -> None:
    world = sqlite_world
    entry = added(world, "bob", PrivateKey.generate(), world.operator, time_ms=world.clock() + off_s * 1000)
    async with admin(world, tmp_path) as channel:
        assert (await refused(admin_pb2_grpc.AdminStub(channel).AddOperator(document(entry))))[0] == "CLOCK_SKEW"


async def test_a_revoked_operator_is_refused_from_then_on_and_what_it_signed_stays(
    sqlite_world: World, tmp_path: Path
) -> None:
    world, bob, backoffice = sqlite_world, PrivateKey.generate(), NoBackoffice()
    review = admin_pb2.ReviewProductRequest(product_id="tax", approve=True, operator="bob")
    async with admin(world, tmp_path, backoffice) as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        await stub.AddOperator(document(added(world, "bob", bob, world.operator)))
        await stub.AdmitMember(document(admission(world, "bob", bob)))
        await stub.ReviewProduct(review)
        await stub.Revoke(document(revoked(world, "bob", bob, world.operator)))
        assert (await refused(stub.AddOperator(document(added(world, "eve", bob, bob, signer="bob")))))[
            0
        ] == "WRONG_STATE"
        assert (await refused(stub.Revoke(document(revoked(world, OPERATOR, world.operator, bob, "bob")))))[
            0
        ] == "WRONG_STATE"
        assert (await refused(stub.Revoke(document(revoked(world, "bob", bob, world.operator)))))[0] == "NOT_FOUND"
        assert (await refused(stub.ReviewProduct(review)))[0] == "PERMISSION_DENIED"
        listed = await stub.ListOperators(admin_pb2.ListOperatorsRequest())
    assert [(each.state, each.ended_by) for each in listed.operators] == [("standing", ""), ("ended", OPERATOR)]
    assert world.hub.directory.current.member("bank-a") is not None
    assert len(backoffice.reviews) == 1


async def test_the_last_operator_stays(sqlite_world: World, tmp_path: Path) -> None:
    world = sqlite_world
    async with admin(world, tmp_path) as channel:
        stub = admin_pb2_grpc.AdminStub(channel)
        code, sentence = await refused(stub.Revoke(document(revoked(world, OPERATOR, world.operator, world.operator))))
    assert code == "WRONG_STATE"
    assert "add another" in sentence


async def test_a_document_of_another_type_lets_nobody_in(sqlite_world: World, tmp_path: Path) -> None:
    world = sqlite_world
    async with admin(world, tmp_path) as channel:
        entry = admission(world, OPERATOR, world.operator)
        assert (await refused(admin_pb2_grpc.AdminStub(channel).AddOperator(document(entry))))[0] == "INVALID_ARGUMENT"
