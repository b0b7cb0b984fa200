"""What an enterprise asks of the hub, with every call signed by its key and every answer held against what the hub signed.

Rules:
1. TLS is to the authority that hub.json pins; checkpoints are by the log key that it pins.
2. A call is signed afresh: for one action, one body, once.
3. An answer to a consent, refusal or revocation proves that it is in that provider's log, and that each node that is said to have
   seen it has (`consent.audit_entries`). The keys of nodes that are met are remembered: a hub that later shows another is found out.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, Protocol

from xinqiao.v1 import public_pb2, public_pb2_grpc

from cli import rpc
from cli.clock import now_ms
from cli.enterprise_home import Seen
from consent.audit_entries import EntryProof, verify_acknowledgement, verify_entry
from consent.audit_uses import ListedUse, UsePage, VerifiedPage, VerifiedUse, verify_listing, verify_uses
from consent.documents import ConsentDocument, ConsentRequest, encode, parse_consent, parse_request
from consent.usage import ACCESS_TYPE, AccessRequest
from nodes.credentials import HubFacts
from trust.checkpoint import Checkpoint, open_checkpoint
from trust.document import SignedDocument, sign_document
from trust.errors import LogInconsistent
from trust.sm2 import PrivateKey, PublicKey
from trust.suite import sm3

LIST_REQUESTS: Final = "list-consent-requests"
LIST_CONSENTS: Final = "list-consents"
LIST_USES: Final = "list-uses"
PAGE: Final = 500
WAIT_MS: Final = 5000


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One consent and where it stands. `leaf`: the entry of the log as the hub sent it."""

    consent: ConsentDocument
    state: str
    log_index: int
    ended_ms: int
    leaf: bytes


@dataclass(frozen=True, kw_only=True)
class Acknowledged:
    """A node has seen an entry, by its verified cosignature, this long after the entry was durable."""

    node_id: str
    after_ms: int


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A consent, refusal or revocation is in the log."""

    log_index: int
    acknowledged: tuple[Acknowledged, ...]
    pending: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Audited:
    """All recorded uses until now, every proof verified, and what is to be remembered of them. `page`: the newest, with its proofs."""

    uses: tuple[VerifiedUse, ...]
    page: UsePage
    head: Checkpoint
    witnesses: tuple[str, ...]
    seen: Seen


class Pinning(Protocol):
    """Whoever pins a hub: its facts, and what was seen of it before."""

    @property
    def hub(self) -> HubFacts: ...  # noqa: D102 (named above)

    def seen(self) -> Seen:
        """What it saw before."""

    def remember(self, seen: Seen) -> None:
        """Keep what it saw."""


class Acting(Pinning, Protocol):
    """An enterprise that acts: its code and its key besides."""

    @property
    def uscc(self) -> str: ...  # noqa: D102 (named above)

    @property
    def key(self) -> PrivateKey: ...  # noqa: D102


def enter(
    own: Pinning,
    stub: public_pb2_grpc.SubjectsStub,
    document: SignedDocument,
    author: PublicKey,
    provider: str,
    *,
    wait_ms: int = 0,
) -> Submitted:
    """Send a signed consent, refusal or revocation, and verify what the hub says of it. Raises as EnterpriseClient."""
    request = public_pb2.SubmitConsentEntryRequest(document=document.encode(), wait_ms=wait_ms)
    reply = rpc.call(stub.SubmitConsentEntry, request, whom=f"the hub at {own.hub.public_address}")
    proof = EntryProof(
        provider=provider,
        index=reply.log_index,
        leaf=reply.entry,
        path=tuple(reply.path),
        checkpoint=SignedDocument.decode(reply.checkpoint),
    )
    hub_key, seen = own.hub.hub_key, own.seen()
    verify_entry(document, author, proof, hub_key)
    nodes = [SignedDocument.decode(encoded) for encoded in reply.nodes]
    for each in reply.acknowledgements:
        cosigned = SignedDocument.decode(each.checkpoint)
        verify_acknowledgement(each.node_id, cosigned, nodes, proof, hub_key, seen.nodes)
    if nodes:
        own.remember(seen.having_met(nodes))
    return Submitted(
        log_index=reply.log_index,
        acknowledged=tuple(
            Acknowledged(node_id=each.node_id, after_ms=each.after_ms) for each in reply.acknowledgements
        ),
        pending=tuple(reply.pending_nodes),
    )


class EnterpriseClient:
    """The Subjects service for one enterprise. Methods raise CliError, TrustError, ConsentError."""

    def __init__(self, enterprise: Acting, stub: public_pb2_grpc.SubjectsStub) -> None:
        """`stub` belongs to an open channel; see `connect`."""
        self._own = enterprise
        self._stub = stub
        self._whom = f"the hub at {enterprise.hub.public_address}"

    def register(self, registration: SignedDocument) -> public_pb2.RegisterReply:
        """Leave a registration."""
        request = public_pb2.RegisterRequest(registration=registration.encode())
        return rpc.call(self._stub.Register, request, whom=self._whom)

    def registration(self) -> public_pb2.RegisterReply:
        """Where the registration stands."""
        request = public_pb2.GetRegistrationRequest(uscc=self._own.uscc)
        return rpc.call(self._stub.GetRegistration, request, whom=self._whom)

    def requests(self) -> tuple[ConsentRequest, ...]:
        """The requests that wait for an answer."""
        reply = rpc.call(self._stub.ListConsentRequests, self._signed(LIST_REQUESTS), whom=self._whom)
        return tuple(parse_request(SignedDocument.decode(encoded).payload) for encoded in reply.requests)

    def consents(self) -> tuple[Standing, ...]:
        """The enterprise's consents, in all versions."""
        reply = rpc.call(self._stub.ListConsents, self._signed(LIST_CONSENTS), whom=self._whom)
        return tuple(
            Standing(
                consent=parse_consent(SignedDocument.decode(each.document).payload),
                state=each.state,
                log_index=each.log_index,
                ended_ms=each.ended_ms,
                leaf=each.document,
            )
            for each in reply.consents
        )

    def submit(self, payload_type: str, payload: bytes, provider: str, *, wait_ms: int = 0) -> Submitted:
        """Sign and send a consent, refusal or revocation, and verify what the hub says of it."""
        document = sign_document(payload_type, payload, self._own.key)
        return enter(self._own, self._stub, document, self._own.key.public, provider, wait_ms=wait_ms)

    def grant(self, consent: ConsentDocument, payload_type: str, *, wait_ms: int = 0) -> Submitted:
        """Give a consent, and prove that this very consent is in the provider's log."""
        payload = encode(consent)
        parse_consent(payload)  # what everybody would refuse is not sent
        return self.submit(payload_type, payload, consent.recipients.data_source, wait_ms=wait_ms)

    def audit(self, page_size: int = PAGE) -> Iterator[Audited]:
        """Verify all recorded uses, page by page; the last value is the whole."""
        before = self._own.seen()
        seen, after, uses = before, 0, list[VerifiedUse]()
        while True:
            request = public_pb2.ListUsesRequest(
                access_request=self._signed(LIST_USES).access_request, after_index=after, limit=page_size
            )
            reply = rpc.call(self._stub.ListUses, request, whom=self._whom)
            page = _page(reply)
            verified = self._verify(page, seen)
            uses.extend(verified.uses)
            seen = seen.after(verified, reply.checkpoint, page.nodes)
            if not reply.more:
                break
            if not verified.uses or verified.uses[-1].log_index <= after:
                raise LogInconsistent("the hub says that more uses follow but does not go on; ask the hub's operator")
            after = verified.uses[-1].log_index
            yield Audited(uses=tuple(uses), page=page, head=verified.head, witnesses=verified.witnesses, seen=seen)
        verify_listing(before.uses, uses, through=verified.head.size)
        yield Audited(uses=tuple(uses), page=page, head=verified.head, witnesses=verified.witnesses, seen=seen)

    def _verify(self, page: UsePage, seen: Seen) -> VerifiedPage:
        head = open_checkpoint(page.checkpoint, self._own.hub.hub_key)
        path: Sequence[bytes] = ()
        if seen.head is not None and 0 < seen.head.size < head.size:
            request = public_pb2.ConsistencyRequest(old_size=seen.head.size, new_size=head.size)
            path = rpc.call(self._stub.GetUsageConsistency, request, whom=self._whom).path
        return verify_uses(self._own.uscc, page, self._own.hub.hub_key, last_seen=seen.head, path=tuple(path))

    def _signed(self, action: str, body: bytes = b"") -> public_pb2.SubjectCall:
        request = AccessRequest(
            uscc=self._own.uscc, action=action, body_sm3=sm3(body).hex(), time_ms=now_ms(), nonce=secrets.token_hex(16)
        )
        document = sign_document(ACCESS_TYPE, encode(request), self._own.key)
        return public_pb2.SubjectCall(access_request=document.encode())


def _page(reply: public_pb2.ListUsesReply) -> UsePage:
    return UsePage(
        checkpoint=SignedDocument.decode(reply.checkpoint),
        uses=tuple(
            ListedUse(
                log_index=use.log_index,
                leaf=use.signed_receipt,
                path=tuple(use.path),
                twin_present=use.twin_present,
                subject_use=use.subject_use,
                subject_index=use.subject_index,
                subject_path=tuple(use.subject_path),
            )
            for use in reply.uses
        ),
        nodes=tuple(SignedDocument.decode(encoded) for encoded in reply.nodes),
    )


@contextmanager
def connect(enterprise: Acting) -> Iterator[EnterpriseClient]:
    """Open the channel to the hub that the enterprise pins."""
    with rpc.subjects(enterprise.hub) as stub:
        yield EnterpriseClient(enterprise, stub)
