"""A real hub on loopback ports, with real TLS and certificates, and what nodes and enterprises do to it over the wire."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import msgspec
from grpc import aio
from xinqiao.v1 import admin_pb2_grpc, errors_pb2, node_pb2, node_pb2_grpc, public_pb2, public_pb2_grpc

from consent.decision import ItemUse
from consent.directory import (
    MEMBER_ADMITTED_TYPE,
    NODE_ENROLLED_TYPE,
    NODE_REVOKED_TYPE,
    OPERATOR_KEY_TYPE,
    SUBJECT_KEY_TYPE,
    MemberAdmitted,
    NodeEnrolled,
    NodeRevoked,
    OperatorKey,
    SubjectKey,
)
from consent.documents import (
    CONSENT_REVOCATION_TYPE,
    CONSENT_TYPE,
    ConsentDocument,
    ConsentRevocation,
    ExchangeMode,
    ItemMode,
    Purpose,
    encode,
)
from consent.usage import ACCESS_TYPE, EXCHANGE_REQUEST_TYPE, AccessRequest, ExchangeRequest
from hub import server
from hub.keys import HubKeys
from hub.logs import service as logs
from hub.members import service as members
from hub.products import service as products
from hub.settings import Settings
from tests.hub.signed import (  # noqa: F401 (the tests take them from here)
    BANK,
    BANK_NODE,
    DAY_MS,
    ITEM,
    NOTICE,
    OPERATOR,
    OTHER_USCC,
    PRODUCT,
    PROVIDER,
    PROVIDER_NODE,
    USCC,
    consent,
    consent_request,
    fresh_id,
    now_ms,
    product,
)
from trust.certificates import make_csr
from trust.checkpoint import cosign
from trust.document import SignedDocument, sign_document
from trust.sm2 import PrivateKey
from trust.suite import sm3


def code_of(error: grpc.RpcError) -> str:
    """The hub's own code, from the trailing metadata."""
    for key, value in error.trailing_metadata() or ():  # type: ignore[attr-defined]
        if key == "xinqiao-error-bin":
            return errors_pb2.ErrorCode.Name(errors_pb2.ErrorDetail.FromString(value).code)
    return f"(no detail: {error})"


def reason_of(error: grpc.RpcError) -> str:
    for key, value in error.trailing_metadata() or ():  # type: ignore[attr-defined]
        if key == "xinqiao-error-bin":
            return errors_pb2.ErrorDetail.FromString(value).reason
    return ""


class refused_with:
    """Expect a call to fail with this code of the hub."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.error: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        assert isinstance(error, grpc.RpcError), f"expected {self.code}, got {error!r}"
        assert code_of(error) == self.code, f"expected {self.code}, got {code_of(error)}: {error}"
        self.error = error
        return True


@dataclass(kw_only=True)
class Node:
    """A node as the hub sees one."""

    node_id: str
    member_id: str
    key: PrivateKey
    channel: aio.Channel
    events: list[node_pb2.Event] = field(default_factory=list)
    ended: grpc.RpcError | None = None
    _task: asyncio.Task[None] | None = None
    _call: Any = None

    def __post_init__(self) -> None:
        self.control = node_pb2_grpc.ControlStub(self.channel)
        self.logs = node_pb2_grpc.LogsStub(self.channel)
        self.products = node_pb2_grpc.ProductsStub(self.channel)
        self.models = node_pb2_grpc.ModelsStub(self.channel)
        self.consents = node_pb2_grpc.ConsentsStub(self.channel)
        self.exchanges = node_pb2_grpc.ExchangesStub(self.channel)
        self.relay = node_pb2_grpc.RelayStub(self.channel)
        self.usage = node_pb2_grpc.UsageStub(self.channel)

    async def connect(self, *, cosigns: bool = True, **request: Any) -> None:
        """Subscribe and follow the stream in the background until disconnected."""
        request.setdefault("time_ms", now_ms())
        self._call = self.control.Subscribe(node_pb2.SubscribeRequest(**request))
        self.ended = None
        welcomed = asyncio.Event()
        self._task = asyncio.create_task(self._follow(self._call, cosigns, welcomed))
        waiting = asyncio.ensure_future(welcomed.wait())
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED, timeout=5)
        waiting.cancel()
        if self.ended is not None and not welcomed.is_set():
            raise self.ended

    async def _follow(self, call: Any, cosigns: bool, welcomed: asyncio.Event) -> None:
        try:
            async for event in call:
                self.events.append(event)
                welcomed.set()
                if cosigns and event.WhichOneof("event") == "checkpoint":
                    await self.cosign(event.checkpoint)
        except grpc.RpcError as error:
            self.ended = error
        except asyncio.CancelledError:
            pass

    async def cosign(self, checkpoint: bytes) -> None:
        document = cosign(SignedDocument.decode(checkpoint), self.key)
        await self.control.Cosign(node_pb2.CosignRequest(checkpoint=document.encode()))

    async def disconnect(self) -> None:
        if self._task is not None and self._call is not None:
            self._call.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = self._call = None

    def of(self, kind: str) -> list[Any]:
        """The events of a kind, in order."""
        return [getattr(event, kind) for event in self.events if event.WhichOneof("event") == kind]

    def leaves(self, origin: str) -> list[bytes]:
        return [leaf for part in self.of("entries") if part.origin == origin for leaf in part.leaves]

    def exchange_request(self, **changes: Any) -> SignedDocument:
        request = ExchangeRequest(
            exchange_id=fresh_id(),
            mode=ExchangeMode.QUERY,
            requester=self.member_id,
            requester_node=self.node_id,
            provider=PROVIDER,
            product_id=PRODUCT,
            items=(ItemUse(item_id=ITEM, mode=ItemMode.Q),),
            purpose=Purpose.PRE_LOAN,
            reason="loan application",
            user="clerk",
            time_ms=now_ms(),
            expires_ms=now_ms() + DAY_MS,
        )
        payload = encode(msgspec.structs.replace(request, **changes))
        return sign_document(EXCHANGE_REQUEST_TYPE, payload, self.key)

    async def open_exchange(self, **changes: Any) -> node_pb2.OpenExchangeReply:
        document = self.exchange_request(**changes)
        return await self.exchanges.OpenExchange(node_pb2.OpenExchangeRequest(request=document.encode()))

    def attach(self, ticket: bytes) -> Any:
        return self.relay.Attach(metadata=(("xinqiao-ticket-bin", ticket),))


@dataclass(kw_only=True)
class LiveHub:
    """A running hub with two members, their nodes, two enterprises and a product."""

    running: server.RunningHub
    operator: PrivateKey
    public: aio.Channel
    nodes: dict[str, Node] = field(default_factory=dict)
    subject_keys: dict[str, PrivateKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.subjects = public_pb2_grpc.SubjectsStub(self.public)
        self.hub = self.running.hub

    @property
    def provider(self) -> Node:
        return self.nodes[PROVIDER_NODE]

    @property
    def bank(self) -> Node:
        return self.nodes[BANK_NODE]

    async def admit(self, member_id: str, kind: str) -> None:
        entry = MemberAdmitted(
            member_id=member_id,
            name=member_id,
            kind=kind,
            time_ms=now_ms(),
            operator=OPERATOR,  # type: ignore[arg-type]
        )
        document = sign_document(MEMBER_ADMITTED_TYPE, encode(entry), self.operator)
        await self.hub.db.write(lambda write: members.admit(self.hub, write, document))

    async def enrol(self, node_id: str, member_id: str) -> Node:
        """Invite, then enrol over the wire, then open a mutually authenticated channel."""
        token = await self.hub.db.write(lambda write: members.invite(self.hub, write, member_id, node_id))
        key = PrivateKey.generate()
        tls_key, csr = make_csr(node_id)
        statement = NodeEnrolled(
            node_id=node_id, member_id=member_id, identity_key=key.public.encode(), time_ms=now_ms()
        )
        request = public_pb2.EnrolRequest(
            token_secret=token.secret,
            csr_pem=csr,
            node_enrolled=sign_document(NODE_ENROLLED_TYPE, encode(statement), key).encode(),
            time_ms=now_ms(),
        )
        reply = await public_pb2_grpc.EnrolmentStub(self.public).Enrol(request)
        credentials = grpc.ssl_channel_credentials(reply.hub.authority_pem, tls_key, reply.certificate_pem)
        options = (("grpc.max_receive_message_length", 5 << 20), ("grpc.max_send_message_length", 8 << 20))
        channel = aio.secure_channel(reply.hub.node_address, credentials, options)
        node = self.nodes[node_id] = Node(node_id=node_id, member_id=member_id, key=key, channel=channel)
        return node

    async def approve_subject(self, uscc: str) -> None:
        key = self.subject_keys[uscc] = PrivateKey.generate()
        entry = SubjectKey(
            uscc=uscc,
            ent_name="测试企业",
            public_key=key.public.encode(),
            version=1,
            time_ms=now_ms(),
            operator=OPERATOR,
        )
        document = sign_document(SUBJECT_KEY_TYPE, encode(entry), self.operator)
        await self.hub.db.write(lambda write: self.hub.directory.append(write, document))

    async def publish(self, product_id: str = PRODUCT, *modes: ItemMode) -> None:
        """Publish over the wire and approve."""
        document = product(self.provider, product_id=product_id, modes=modes or (ItemMode.Q, ItemMode.R))
        await self.provider.products.PublishProduct(node_pb2.ProductDocument(document=document.encode()))
        await self.hub.db.write(lambda write: products.review(self.hub, write, product_id, approve=True))

    async def revoke_node(self, node_id: str) -> None:
        entry = NodeRevoked(node_id=node_id, reason="lost", time_ms=now_ms(), operator=OPERATOR)
        document = sign_document(NODE_REVOKED_TYPE, encode(entry), self.operator)
        await self.hub.db.write(lambda write: members.revoke(self.hub, write, document))

    def access(self, uscc: str, action: str) -> bytes:
        request = AccessRequest(
            uscc=uscc, action=action, body_sm3=sm3(b"").hex(), time_ms=now_ms(), nonce=uuid.uuid4().hex
        )
        return sign_document(ACCESS_TYPE, encode(request), self.subject_keys[uscc]).encode()

    async def submit(self, document: SignedDocument, wait_ms: int = 0) -> public_pb2.SubmitConsentEntryReply:
        request = public_pb2.SubmitConsentEntryRequest(document=document.encode(), wait_ms=wait_ms)
        return await self.subjects.SubmitConsentEntry(request)

    async def give_consent(self, **changes: Any) -> ConsentDocument:
        document = consent(**changes)
        await self.submit(self.sign_consent(document))
        return document

    def sign_consent(self, document: ConsentDocument) -> SignedDocument:
        return sign_document(CONSENT_TYPE, encode(document), self.subject_keys[document.subject.uscc])

    def sign_revocation(self, document: ConsentDocument, **changes: Any) -> SignedDocument:
        uscc = document.subject.uscc
        entry = ConsentRevocation(
            record_id=document.record_id, provider=document.recipients.data_source, uscc=uscc, time_ms=now_ms()
        )
        payload = encode(msgspec.structs.replace(entry, **changes))
        return sign_document(CONSENT_REVOCATION_TYPE, payload, self.subject_keys[uscc])


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Wait until something has happened; fail the test if it does not."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running_hub(home: Path, keys: HubKeys, url: str = "", **changes: Any) -> AsyncIterator[LiveHub]:
    """Start a hub with its members, nodes, enterprises and product; stop it in the end."""
    settings = Settings(
        home=home,
        database_url=url,
        public_address="127.0.0.1:0",
        node_address="127.0.0.1:0",
        **{"checkpoint_interval_s": 0.5, **changes},
    )
    running = await server.start(settings, keys)
    operator = PrivateKey.generate()
    hub = running.hub
    entry = OperatorKey(operator=OPERATOR, public_key=operator.public.encode(), time_ms=now_ms())
    document = sign_document(OPERATOR_KEY_TYPE, encode(entry), keys.log_key)
    await hub.db.write(lambda write: logs.create(write, logs.USAGE))
    await hub.db.write(lambda write: hub.directory.append(write, document))
    credentials = grpc.ssl_channel_credentials(keys.authority_cert)
    live = LiveHub(
        running=running, operator=operator, public=aio.secure_channel(hub.settings.public_address, credentials)
    )
    try:
        await live.admit(PROVIDER, "government")
        await live.admit(BANK, "bank")
        await live.enrol(PROVIDER_NODE, PROVIDER)
        await live.enrol(BANK_NODE, BANK)
        await live.approve_subject(USCC)
        await live.approve_subject(OTHER_USCC)
        await live.publish()
        yield live
    finally:
        for node in live.nodes.values():
            await node.disconnect()
            await node.channel.close()
        await live.public.close()
        await running.stop(grace_s=0.2)


def admin_stub(live: LiveHub) -> tuple[Any, aio.Channel]:
    channel = aio.insecure_channel(f"unix:{live.hub.settings.socket}")
    return admin_pb2_grpc.AdminStub(channel), channel
