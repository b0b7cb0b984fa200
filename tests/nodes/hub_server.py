"""The simulated hub behind real sockets: mutual TLS, the push stream, the logs, receipts and enrolment."""

from __future__ import annotations

import asyncio
import base64
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from xinqiao.v1 import errors_pb2, node_pb2, node_pb2_grpc, public_pb2, public_pb2_grpc

from nodes.credentials import HubFacts, TlsPair
from tests.nodes.hub_simulator import CONSENTS, DIRECTORY, PROVIDER, HubSimulator
from trust.certificates import create_authority, issue, issue_server, make_csr
from trust.merkle import leaf_hash

NODE: Final = "taxoffice-1"
USAGE: Final = "usage"
OPTIONS: Final = (("grpc.so_reuseport", 0),)


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


@dataclass
class ServedHub:
    """What the servicers share, and what a test turns and reads."""

    hub: HubSimulator
    authority_key: bytes = b""
    authority_pem: bytes = b""
    node_address: str = ""
    public_address: str = ""
    welcome_ms: int | None = None
    honest_stream: bool = True
    silent: bool = False
    refuse: errors_pb2.ErrorDetail | None = None
    subscriptions: list[node_pb2.SubscribeRequest] = field(default_factory=list)
    cosigned: list[bytes] = field(default_factory=list)
    receipts: list[bytes] = field(default_factory=list)
    subjects: list[node_pb2.SubmitBatchSubjectsRequest] = field(default_factory=list)
    deletions: list[bytes] = field(default_factory=list)
    enrolments: list[public_pb2.EnrolRequest] = field(default_factory=list)
    streams: list[asyncio.Queue[node_pb2.Event | None]] = field(default_factory=list)
    forge_enrolment: Callable[[ServedHub, public_pb2.EnrolReply], None] | None = None
    certificate_life: datetime.timedelta = datetime.timedelta(days=30)

    def push(self, *events: node_pb2.Event) -> None:
        """Send events on every open stream."""
        for queue in self.streams:
            for event in events:
                queue.put_nowait(event)

    def drop_streams(self) -> None:
        """End every open stream, as a hub does that stops."""
        for queue in self.streams:
            queue.put_nowait(None)

    def push_growth(self, origin: str, first_index: int) -> None:
        """Send what a log has grown by since, and the checkpoint over it."""
        self.push(entries_event(self.hub, origin, first_index), checkpoint_event(self.hub, origin))

    def pair(self, node_id: str = NODE, member_id: str = PROVIDER, **arguments: Any) -> TlsPair:
        """Return a node's TLS key and certificate."""
        key_pem, csr_pem = make_csr(node_id)
        return TlsPair(key_pem=key_pem, certificate_pem=self.certify(csr_pem, node_id, member_id, **arguments))

    def certify(self, csr_pem: bytes, node_id: str = NODE, member_id: str = PROVIDER, **arguments: Any) -> bytes:
        """Issue a certificate for a request."""
        arguments.setdefault("lifetime", self.certificate_life)
        return issue(
            self.authority_key,
            self.authority_pem,
            csr_pem,
            member_id=member_id,
            node_id=node_id,
            now=arguments.pop("now", utc_now()),
            **arguments,
        )

    def facts(self) -> HubFacts:
        """Return what a node pins of this hub."""
        return HubFacts(
            public_address=self.public_address,
            node_address=self.node_address,
            authority_pem=self.authority_pem,
            hub_key=self.hub.key.public,
        )

    def info(self) -> public_pb2.HubInfo:
        """Return the same on the wire."""
        return public_pb2.HubInfo(
            public_address=self.public_address,
            node_address=self.node_address,
            authority_pem=self.authority_pem,
            hub_key=self.hub.key.public.encode(),
            time_ms=self.hub.time_ms,
            version="0",
        )

    def token(self, **changes: Any) -> str:
        """Return an invitation."""
        der = x509.load_pem_x509_certificate(self.authority_pem).public_bytes(Encoding.DER)
        fields = {
            "v": 1,
            "public_address": self.public_address,
            "node_address": self.node_address,
            "authority": base64.b64encode(der).decode(),
            "hub_key": self.hub.key.public.encode(),
            "secret": "s3cret",
            "member_id": PROVIDER,
            "node_id": NODE,
            "expires_ms": self.hub.time_ms + 3_600_000,
        } | changes
        return base64.urlsafe_b64encode(msgspec.json.encode(fields)).decode().rstrip("=")


def entries_event(
    hub: HubSimulator, origin: str, first_index: int, leaves: list[bytes] | None = None
) -> node_pb2.Event:
    """Return the leaves of a log from an index, or other leaves in their name."""
    sent = hub.logs[origin][first_index:] if leaves is None else leaves
    return node_pb2.Event(entries=node_pb2.LogEntries(origin=origin, first_index=first_index, leaves=sent))


def checkpoint_event(hub: HubSimulator, origin: str, **lies: Any) -> node_pb2.Event:
    """Return a checkpoint of a log."""
    return node_pb2.Event(checkpoint=hub.checkpoint(origin, **lies))


class _Control(node_pb2_grpc.ControlServicer):
    def __init__(self, served: ServedHub) -> None:
        self._served = served

    async def Subscribe(self, request: Any, context: Any) -> AsyncIterator[node_pb2.Event]:
        served = self._served
        served.subscriptions.append(request)
        await _maybe_refuse(served, context)
        queue: asyncio.Queue[node_pb2.Event | None] = asyncio.Queue()
        served.streams.append(queue)
        try:
            if served.silent:
                await asyncio.sleep(60)
            now_ms = served.hub.time_ms if served.welcome_ms is None else served.welcome_ms
            yield node_pb2.Event(welcome_ms=now_ms)
            if served.honest_stream:
                for position in request.positions:
                    if position.size < len(served.hub.logs[position.origin]):
                        yield entries_event(served.hub, position.origin, position.size)
                    yield checkpoint_event(served.hub, position.origin)
            while (event := await queue.get()) is not None:
                yield event
        finally:
            served.streams.remove(queue)

    async def Cosign(self, request: Any, context: Any) -> node_pb2.CosignReply:
        self._served.cosigned.append(request.checkpoint)
        return node_pb2.CosignReply()

    async def RenewCertificate(self, request: Any, context: Any) -> node_pb2.RenewCertificateReply:
        await _maybe_refuse(self._served, context)
        return node_pb2.RenewCertificateReply(certificate_pem=self._served.certify(request.csr_pem))

    async def Ping(self, request: Any, context: Any) -> node_pb2.PingReply:
        return node_pb2.PingReply(payload=request.payload, time_ms=self._served.hub.time_ms)


class _Logs(node_pb2_grpc.LogsServicer):
    def __init__(self, served: ServedHub) -> None:
        self._served = served

    async def GetCheckpoint(self, request: Any, context: Any) -> node_pb2.GetCheckpointReply:
        return node_pb2.GetCheckpointReply(checkpoint=self._served.hub.checkpoint(request.origin))

    async def GetConsistencyProof(self, request: Any, context: Any) -> node_pb2.LogConsistencyReply:
        path = self._served.hub.consistency(request.origin, request.old_size, request.new_size)
        return node_pb2.LogConsistencyReply(path=path)

    async def GetInclusionProofs(self, request: Any, context: Any) -> node_pb2.LogInclusionReply:
        hub, origin = self._served.hub, request.origin
        return node_pb2.LogInclusionReply(
            proofs=[
                node_pb2.LogInclusion(
                    leaf_hash=leaf_hash(hub.logs[origin][index]), path=hub.inclusion(origin, index, request.size)
                )
                for index in request.indexes
            ]
        )


class _Usage(node_pb2_grpc.UsageServicer):
    def __init__(self, served: ServedHub) -> None:
        self._served = served

    async def SubmitReceipts(self, request: Any, context: Any) -> node_pb2.SubmitReceiptsReply:
        await _maybe_refuse(self._served, context)
        indexes = []
        for leaf in request.signed_receipts:
            if leaf not in self._served.receipts:
                self._served.receipts.append(leaf)
                self._served.hub.append(USAGE, leaf)
            indexes.append(self._served.receipts.index(leaf))
        return node_pb2.SubmitReceiptsReply(indexes=indexes)

    async def SubmitBatchSubjects(self, request: Any, context: Any) -> node_pb2.SubmitBatchSubjectsReply:
        self._served.subjects.append(request)
        return node_pb2.SubmitBatchSubjectsReply()

    async def SubmitDeletion(self, request: Any, context: Any) -> node_pb2.SubmitDeletionReply:
        self._served.deletions.append(request.attestation)
        return node_pb2.SubmitDeletionReply(log_index=len(self._served.deletions) - 1)


class _Enrolment(public_pb2_grpc.EnrolmentServicer):
    def __init__(self, served: ServedHub) -> None:
        self._served = served

    async def GetHubInfo(self, request: Any, context: Any) -> public_pb2.HubInfo:
        return self._served.info()

    async def Enrol(self, request: Any, context: Any) -> public_pb2.EnrolReply:
        served = self._served
        await _maybe_refuse(served, context)
        served.enrolments.append(request)
        reply = public_pb2.EnrolReply(
            certificate_pem=served.certify(request.csr_pem), hub=served.info(), member_id=PROVIDER, directory_index=7
        )
        if served.forge_enrolment is not None:
            served.forge_enrolment(served, reply)
        return reply


async def _maybe_refuse(served: ServedHub, context: Any) -> None:
    if served.refuse is not None:
        metadata = (("xinqiao-error-bin", served.refuse.SerializeToString()),)
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "refused", trailing_metadata=metadata)


class Site:
    """Starts and stops the servers of one hub, always on the same ports, so that a test can restart it."""

    def __init__(self, served: ServedHub) -> None:
        self.served = served
        self._server_key, self._server_pem = issue_server(
            served.authority_key, served.authority_pem, ["127.0.0.1", "localhost"], utc_now()
        )
        self._servers: list[grpc.aio.Server] = []
        self._ports = [0, 0]

    async def start(self) -> None:
        """Listen."""
        served, pair = self.served, [(self._server_key, self._server_pem)]
        mutual = grpc.ssl_server_credentials(pair, served.authority_pem, require_client_auth=True)
        nodes, public = grpc.aio.server(options=OPTIONS), grpc.aio.server(options=OPTIONS)
        node_pb2_grpc.add_ControlServicer_to_server(_Control(served), nodes)
        node_pb2_grpc.add_LogsServicer_to_server(_Logs(served), nodes)
        node_pb2_grpc.add_UsageServicer_to_server(_Usage(served), nodes)
        public_pb2_grpc.add_EnrolmentServicer_to_server(_Enrolment(served), public)
        self._ports = [
            nodes.add_secure_port(f"127.0.0.1:{self._ports[0]}", mutual),
            public.add_secure_port(f"127.0.0.1:{self._ports[1]}", grpc.ssl_server_credentials(pair)),
        ]
        served.node_address, served.public_address = (f"127.0.0.1:{port}" for port in self._ports)
        self._servers = [nodes, public]
        for server in self._servers:
            await server.start()

    async def stop(self) -> None:
        """Stop at once, as if killed."""
        for server in self._servers:
            await server.stop(None)


@asynccontextmanager
async def serve(hub: HubSimulator) -> AsyncIterator[tuple[ServedHub, Site]]:
    """Serve a simulated hub on loopback."""
    authority_key, authority_pem = create_authority("test authority", utc_now)
    served = ServedHub(hub=hub, authority_key=authority_key, authority_pem=authority_pem)
    hub.logs.setdefault(USAGE, [])
    site = Site(served)
    try:
        await site.start()
        yield served, site
    finally:
        await site.stop()


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait until something has happened; fail the test if it does not."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)


async def until_async(condition: Callable[[], Awaitable[bool]], timeout_s: float = 10.0) -> None:
    """Like `until`, for a condition that has to be awaited."""
    async with asyncio.timeout(timeout_s):
        while not await condition():
            await asyncio.sleep(0.02)


__all__ = ["CONSENTS", "DIRECTORY", "NODE", "USAGE", "ServedHub", "Site", "serve", "until", "until_async"]
