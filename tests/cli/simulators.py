"""A hub and an agent behind real sockets: the real services, signatures and proofs, over a state that a test bends."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from xinqiao.v1 import (
    errors_pb2,
    public_pb2,
    public_pb2_grpc,
)

from consent.directory import (
    Directory,
    OperatorKey,
    SubjectKey,
)
from consent.documents import (
    CONSENT_REVOCATION_TYPE,
    CONSENT_TYPE,
    parse_consent,
    parse_refusal,
    parse_revocation,
)
from consent.registration import parse_registration
from consent.usage import ACCESS_TYPE, parse_access_request
from nodes.credentials import HubFacts
from tests.consent.builders import BANK, PROVIDER, admitted, enrolled, key, public, signed
from trust.certificates import create_authority, issue_server
from trust.checkpoint import Checkpoint, cosign, make_checkpoint
from trust.document import SignedDocument, countersign, verify_document
from trust.merkle import consistency_path, inclusion_path, leaf_hash, root_of
from trust.sm2 import PublicKey

PROVIDER_NODE: Final = "taxoffice-1"
BANK_NODE: Final = "firstbank-1"
CONSENT_LOG: Final = f"consent/{PROVIDER}"


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def utc_now_ms() -> int:
    return int(utc_now().timestamp() * 1000)


class Refusal(Exception):
    """What a simulator raises to end a call with this error detail."""

    def __init__(self, code: str, message: str = "as the test wants it", reason: str = "") -> None:
        self.detail = errors_pb2.ErrorDetail(
            code=errors_pb2.ErrorCode.Value(code), message=message, reason=reason, incident="i-1"
        )


def refusing(method: Callable[[Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Make a servicer's method from one that may raise Refusal."""

    def call(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        wanted = self.refuse.get(method.__name__)
        try:
            if wanted is not None:
                raise wanted
            return method(self, request)
        except Refusal as refusal:
            metadata = (("xinqiao-error-bin", refusal.detail.SerializeToString()),)
            context.set_trailing_metadata(metadata)
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, refusal.detail.message)

    return call


@dataclass
class HubSimulator:
    """The state behind both hub services."""

    facts: HubFacts | None = None
    logs: dict[str, list[bytes]] = field(default_factory=lambda: {"directory": [], "usage": [], CONSENT_LOG: []})
    directory: Directory = field(default_factory=Directory)
    registrations: dict[str, SignedDocument] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    requests: list[SignedDocument] = field(default_factory=list)
    consent_states: dict[int, str] = field(default_factory=dict)
    uses: list[public_pb2.ProvenUse] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    witness: str = ""
    connected: bool = True

    def enter(self, document: SignedDocument) -> int:
        """Append to the directory by its own rules."""
        entry = countersign(document, key("hub"))
        index = self.directory.size
        self.directory.apply(index, entry, key("hub").public)
        self.logs["directory"].append(entry.encode())
        return index

    def populate(self) -> None:
        """An operator, a provider and a bank with a node each."""
        self.enter(
            signed(
                "operator-key", OperatorKey(operator="op", public_key=public("operator"), time_ms=1), "hub", hub=None
            )
        )
        for member, kind in ((PROVIDER, "government"), (BANK, "bank")):
            self.enter(signed("member-admitted", admitted(member, kind), "operator", hub=None))
        for node, member in ((PROVIDER_NODE, PROVIDER), (BANK_NODE, BANK)):
            self.enter(signed("node-enrolled", enrolled(node, member), node, hub=None))

    def checkpoint(self, origin: str, cosigner: str = "") -> SignedDocument:
        """Sign the head of a log."""
        hashes = [leaf_hash(leaf) for leaf in self.logs[origin]]
        head = Checkpoint(origin=origin, size=len(hashes), root=root_of(hashes), time_ms=utc_now_ms())
        document = make_checkpoint(head, key("hub"))
        return cosign(document, key(cosigner)) if cosigner else document

    def path(self, origin: str, index: int) -> tuple[bytes, ...]:
        """Prove an entry under the newest head."""
        return inclusion_path([leaf_hash(leaf) for leaf in self.logs[origin]], index)

    def authenticate(self, encoded: bytes, action: str) -> str:
        """Accept an access request once."""
        document = SignedDocument.decode(encoded)
        asked = parse_access_request(document.payload)
        own = self.directory.subject_key(asked.uscc)
        if own is None:
            raise Refusal("SUBJECT_UNKNOWN")
        verify_document(document, ACCESS_TYPE, own)
        if asked.action != action or asked.nonce in self.nonces:
            raise Refusal("REPLAYED")
        self.nonces.add(asked.nonce)
        return asked.uscc


@dataclass
class SubjectsSimulator(public_pb2_grpc.SubjectsServicer):
    """The Subjects service. `bend` changes a reply before it is sent."""

    hub: HubSimulator
    refuse: dict[str, Refusal] = field(default_factory=dict)
    bend: dict[str, Callable[[Any], Any]] = field(default_factory=dict)

    def _bent(self, name: str, reply: Any) -> Any:
        return self.bend.get(name, lambda same: same)(reply)

    @refusing
    def Register(self, request: public_pb2.RegisterRequest) -> public_pb2.RegisterReply:
        document = SignedDocument.decode(request.registration)
        entry = parse_registration(document.payload)
        verify_document(document, document.payload_type, PublicKey.decode(entry.public_key))
        self.hub.registrations[entry.uscc] = document
        self.hub.states[entry.uscc] = "pending"
        return self._registered(entry.uscc)

    @refusing
    def GetRegistration(self, request: public_pb2.GetRegistrationRequest) -> public_pb2.RegisterReply:
        if request.uscc not in self.hub.states:
            raise Refusal("NOT_FOUND")
        return self._registered(request.uscc)

    def _registered(self, uscc: str) -> public_pb2.RegisterReply:
        entry = parse_registration(self.hub.registrations[uscc].payload)
        return public_pb2.RegisterReply(
            state=self.hub.states[uscc],
            reason="name differs" if self.hub.states[uscc] == "rejected" else "",
            key_id=PublicKey.decode(entry.public_key).key_id,
        )

    @refusing
    def ListConsentRequests(self, request: public_pb2.SubjectCall) -> public_pb2.ListConsentRequestsReply:
        self.hub.authenticate(request.access_request, "list-consent-requests")
        return public_pb2.ListConsentRequestsReply(requests=[each.encode() for each in self.hub.requests])

    @refusing
    def ListConsents(self, request: public_pb2.SubjectCall) -> public_pb2.ListConsentsReply:
        self.hub.authenticate(request.access_request, "list-consents")
        items = [
            public_pb2.ConsentItem(document=self.hub.logs[CONSENT_LOG][index], state=state, log_index=index)
            for index, state in self.hub.consent_states.items()
        ]
        return self._bent("ListConsents", public_pb2.ListConsentsReply(consents=items))

    @refusing
    def SubmitConsentEntry(self, request: public_pb2.SubmitConsentEntryRequest) -> public_pb2.SubmitConsentEntryReply:
        document = SignedDocument.decode(request.document)
        log = self.hub.logs[CONSENT_LOG]
        index = len(log)
        uscc = self._subject_of(document, index)
        own = self.hub.directory.subject_key(uscc)
        if own is None:
            raise Refusal("SUBJECT_UNKNOWN")
        verify_document(document, document.payload_type, own)
        log.append(countersign(document, key("hub")).encode())
        reply = public_pb2.SubmitConsentEntryReply(
            log_index=index,
            checkpoint=self.hub.checkpoint(CONSENT_LOG).encode(),
            path=self.hub.path(CONSENT_LOG, index),
            entry=log[index],
        )
        if request.wait_ms and self.hub.connected:
            seen = self.hub.checkpoint(CONSENT_LOG, PROVIDER_NODE).encode()
            reply.acknowledgements.add(node_id=PROVIDER_NODE, after_ms=12, checkpoint=seen)
            reply.nodes.extend(self.hub.logs["directory"][3:5])
        return self._bent("SubmitConsentEntry", reply)

    def _subject_of(self, document: SignedDocument, index: int) -> str:
        if document.payload_type == CONSENT_TYPE:
            self.hub.consent_states[index] = "active"
            return parse_consent(document.payload).subject.uscc
        if document.payload_type == CONSENT_REVOCATION_TYPE:
            return parse_revocation(document.payload).uscc
        return parse_refusal(document.payload).uscc

    @refusing
    def ListUses(self, request: public_pb2.ListUsesRequest) -> public_pb2.ListUsesReply:
        self.hub.authenticate(request.access_request, "list-uses")
        after = request.after_index or -1
        rest = [use for use in self.hub.uses if use.log_index > after]
        page = rest[: request.limit]
        for use in page:
            del use.path[:]
            use.path.extend(self.hub.path("usage", use.log_index))
        reply = public_pb2.ListUsesReply(
            checkpoint=self.hub.checkpoint("usage", self.hub.witness).encode(),
            uses=page,
            more=len(rest) > len(page),
            nodes=self.hub.logs["directory"][3:5],
        )
        return self._bent("ListUses", reply)

    @refusing
    def GetUsageConsistency(self, request: public_pb2.ConsistencyRequest) -> public_pb2.ConsistencyReply:
        hashes = [leaf_hash(leaf) for leaf in self.hub.logs["usage"]]
        return public_pb2.ConsistencyReply(path=consistency_path(hashes, request.old_size, request.new_size))


@contextmanager
def serving(
    add: Callable[[grpc.Server], None], address: str, credentials: grpc.ServerCredentials | None = None
) -> Iterator[int]:
    """Run a server; yields its port."""
    server = grpc.server(futures.ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
    add(server)
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


@contextmanager
def serving_subjects(hub: HubSimulator) -> Iterator[SubjectsSimulator]:
    """Run the Subjects service over TLS; fills in the hub's facts."""
    simulator = SubjectsSimulator(hub)
    authority_key, authority = create_authority("test authority", utc_now)
    pair = issue_server(authority_key, authority, ["127.0.0.1"], utc_now(), datetime.timedelta(days=1))
    credentials = grpc.ssl_server_credentials([pair])

    def add(server: grpc.Server) -> None:
        public_pb2_grpc.add_SubjectsServicer_to_server(simulator, server)

    with serving(add, "127.0.0.1:0", credentials) as port:
        hub.facts = HubFacts(
            public_address=f"127.0.0.1:{port}",
            node_address="127.0.0.1:1",
            authority_pem=authority,
            hub_key=key("hub").public,
        )
        yield simulator


def add_subject(hub: HubSimulator, uscc: str, name: str, own: PublicKey) -> None:
    """Enter an enterprise's key as an operator would."""
    entry = SubjectKey(
        uscc=uscc, ent_name=name, public_key=own.encode(), version=1, time_ms=utc_now_ms() - 1000, operator="op"
    )
    hub.enter(signed("subject-key", entry, "operator", hub=None))
