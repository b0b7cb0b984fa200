from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc
import pytest
from grpc import aio
from xinqiao.v1 import errors_pb2, node_pb2, node_pb2_grpc, public_pb2, public_pb2_grpc

from consent.directory import NODE_REVOKED_TYPE, NodeRevoked
from consent.documents import encode
from hub.auth import node_identity
from hub.interceptors import DETAIL_KEY, Around, errors
from hub.keys import make_server_certificate, utc
from hub.limits import RateLimit, by_member
from hub.logs import checkpoints
from hub.logs.rpc import LogsServicer
from hub.members import certificates, service
from hub.members.rpc import EnrolmentServicer
from tests.hub.world import OPERATOR, World
from trust.certificates import create_authority, issue, make_csr, parse_identity
from trust.checkpoint import open_checkpoint
from trust.document import SignedDocument, sign_document
from trust.sm2 import PrivateKey, PublicKey


@pytest.fixture
def live_world(sqlite_world: World) -> World:
    """A hub whose clock is the machine's: TLS itself checks certificates against that."""
    import time

    sqlite_world.clock.now_ms = time.time_ns() // 1_000_000
    return sqlite_world


@asynccontextmanager
async def node_port(world: World, *more: Around) -> AsyncIterator[int]:
    """The node port as the server composes it, with the Logs service behind it."""
    world.hub.directory.attach(world.hub.db)
    key, certificate = make_server_certificate(world.hub.keys, ["localhost:1"], now=utc(world.clock()))
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], world.hub.keys.authority_cert, require_client_auth=True
    )
    server = aio.server(interceptors=[Around(errors), Around(node_identity(world.hub)), *more])
    node_pb2_grpc.add_LogsServicer_to_server(LogsServicer(world.hub), server)
    port = server.add_secure_port("localhost:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


def connect(world: World, port: int, key: bytes | None, certificate: bytes | None) -> aio.Channel:
    credentials = grpc.ssl_channel_credentials(world.hub.keys.authority_cert, key, certificate)
    return aio.secure_channel(f"localhost:{port}", credentials)


async def ask(channel: aio.Channel, origin: str = "directory") -> node_pb2.GetCheckpointReply:
    stub = node_pb2_grpc.LogsStub(channel)
    return await stub.GetCheckpoint(node_pb2.GetCheckpointRequest(origin=origin), timeout=5)


async def refusal(world: World, port: int, key: bytes, certificate: bytes, origin: str = "directory") -> str:
    async with connect(world, port, key, certificate) as channel:
        with pytest.raises(aio.AioRpcError) as caught:
            await ask(channel, origin)
    detail = dict(caught.value.trailing_metadata() or ()).get(DETAIL_KEY)
    if not isinstance(detail, bytes):
        return caught.value.code().name
    return errors_pb2.ErrorCode.Name(errors_pb2.ErrorDetail.FromString(detail).code)


async def enrolled(world: World, node_id: str = "bank-a-1", member_id: str = "bank-a") -> tuple[bytes, bytes]:
    """Enrol a node over the wire's own objects; its TLS key and certificate."""
    if world.hub.directory.current.member(member_id) is None:
        world.admit(member_id)
    key, csr = make_csr(node_id)
    token = await world.hub.db.write(lambda c: service.invite(world.hub, c, member_id, node_id))
    statement = world.statement(node_id, member_id, world.node_keys.setdefault(node_id, PrivateKey.generate()))
    request = public_pb2.EnrolRequest(
        token_secret=token.secret, csr_pem=csr, node_enrolled=statement.encode(), time_ms=world.clock()
    )
    server = aio.server(interceptors=[Around(errors)])
    public_pb2_grpc.add_EnrolmentServicer_to_server(EnrolmentServicer(world.hub), server)
    port = server.add_insecure_port("localhost:0")
    await server.start()
    async with aio.insecure_channel(f"localhost:{port}") as channel:
        reply = await public_pb2_grpc.EnrolmentStub(channel).Enrol(request)
        assert PublicKey.decode(reply.hub.hub_key) == world.hub.keys.public
    await server.stop(0)
    return key, reply.certificate_pem


async def refresh(world: World) -> None:
    def sign(connection: object) -> None:
        for origin in ("directory", "consent/bank-a", "usage"):
            checkpoints.refresh(connection, origin, world.hub.keys.log_key, now_ms=world.clock())  # type: ignore[arg-type]

    await world.hub.db.write(sign)


async def test_an_enrolled_node_is_served_and_sees_its_own_logs_only(live_world: World) -> None:
    key, certificate = await enrolled(live_world)
    await refresh(live_world)
    async with node_port(live_world) as port:
        async with connect(live_world, port, key, certificate) as channel:
            for origin in ("directory", "consent/bank-a", "usage"):
                document = SignedDocument.decode((await ask(channel, origin)).checkpoint)
                assert open_checkpoint(document, live_world.hub.keys.public).origin == origin
            stub = node_pb2_grpc.LogsStub(channel)
            inclusion = await stub.GetInclusionProofs(
                node_pb2.LogInclusionRequest(origin="directory", indexes=[1], size=2)
            )
            assert [len(proof.path) for proof in inclusion.proofs] == [1]
            with pytest.raises(aio.AioRpcError) as caught:
                await stub.GetInclusionProofs(
                    node_pb2.LogInclusionRequest(origin="directory", indexes=[1] * 1001, size=2)
                )
            assert "1001 proofs" in str(caught.value.details())
        assert await refusal(live_world, port, key, certificate, "consent/bank-b") == "PERMISSION_DENIED"


async def test_a_connection_without_a_certificate_is_not_served(live_world: World) -> None:
    await enrolled(live_world)
    async with node_port(live_world) as port:
        async with connect(live_world, port, None, None) as channel:
            with pytest.raises(aio.AioRpcError) as caught:
                await ask(channel)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_authority_is_not_served(live_world: World) -> None:
    await enrolled(live_world)
    now = utc(live_world.clock())
    authority = create_authority("another", lambda: now)
    key, csr = make_csr("bank-a-1")
    foreign = issue(*authority, csr, member_id="bank-a", node_id="bank-a-1", now=now)
    async with node_port(live_world) as port:
        assert await refusal(live_world, port, key, foreign) == "UNAVAILABLE"


@pytest.mark.parametrize(
    ("member_id", "node_id"), [("bank-a", "bank-a-9"), ("bank-b", "bank-a-1"), ("bank-a", "bank-a-1")]
)
async def test_a_certificate_of_our_authority_that_was_not_given_to_this_node_is_refused(
    live_world: World, member_id: str, node_id: str
) -> None:
    await enrolled(live_world)
    keys, now = live_world.hub.keys, utc(live_world.clock())
    key, csr = make_csr(node_id)
    forged = issue(keys.authority_key, keys.authority_cert, csr, member_id=member_id, node_id=node_id, now=now)
    async with node_port(live_world) as port:
        assert await refusal(live_world, port, key, forged) == "UNAUTHENTICATED"


async def test_a_node_cannot_use_anothers_certificate_without_its_key(live_world: World) -> None:
    _, certificate = await enrolled(live_world)
    other_key, _ = make_csr("bank-a-1")
    async with node_port(live_world) as port:
        assert await refusal(live_world, port, other_key, certificate) == "UNAVAILABLE"


async def test_a_certificate_that_has_expired_by_the_hubs_clock_is_named_as_such(live_world: World) -> None:
    key, certificate = await enrolled(live_world)
    async with node_port(live_world) as port:
        live_world.clock.advance(timedelta(days=31).total_seconds())
        assert await refusal(live_world, port, key, certificate) == "CERTIFICATE_EXPIRED"


async def test_a_revoked_node_is_refused_at_its_next_call_on_the_same_connection(live_world: World) -> None:
    key, certificate = await enrolled(live_world)
    await refresh(live_world)
    entry = NodeRevoked(node_id="bank-a-1", reason="lost", time_ms=live_world.clock(), operator=OPERATOR)
    document = sign_document(NODE_REVOKED_TYPE, encode(entry), live_world.operator)
    async with node_port(live_world) as port, connect(live_world, port, key, certificate) as channel:
        await ask(channel)
        await live_world.hub.db.write(lambda c: service.revoke(live_world.hub, c, document))
        assert live_world.sessions.ended == [("bank-a-1", "NODE_REVOKED")]
        with pytest.raises(aio.AioRpcError) as caught:
            await ask(channel)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_a_certificate_that_was_forgotten_is_refused(live_world: World) -> None:
    key, certificate = await enrolled(live_world)
    await live_world.hub.db.write(lambda c: certificates.forget(c, parse_identity(certificate).node_id))
    async with node_port(live_world) as port:
        assert await refusal(live_world, port, key, certificate) == "UNAUTHENTICATED"


async def test_a_member_that_calls_too_often_is_told_how_long_to_wait(live_world: World) -> None:
    key, certificate = await enrolled(live_world)
    await refresh(live_world)
    limit = RateLimit(1.0, clock=lambda: 0.0)
    async with node_port(live_world, Around(by_member(limit))) as port:
        async with connect(live_world, port, key, certificate) as channel:
            await ask(channel)
            await ask(channel)
        assert await refusal(live_world, port, key, certificate) == "RATE_LIMITED"
