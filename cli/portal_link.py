"""The hub for the portal: `portal.hub_link.HubLink` over the hub's public port and its operator socket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path

from xinqiao.v1 import admin_pb2, public_pb2, public_pb2_grpc

from cli import rpc
from cli.enterprise_client import EnterpriseClient, enter
from cli.enterprise_client import Standing as Found
from cli.enterprise_home import Seen, decode_seen, encode_seen
from cli.errors import CliError
from cli.operator import Operator
from cli.registration_check import offers_of, query_registration
from cli.registrations import approve_key, read_keys, read_registrations
from consent.directory import PRODUCT_PUBLISHED_TYPE, Member, ProductPublished
from consent.documents import ConsentRequest, parse
from consent.errors import ConsentError
from consent.models import parse_version
from consent.registration import parse_registration
from nodes.credentials import HubFacts
from nodes.errors import NodeError
from portal.errors import PortalError
from portal.hub_link import (
    Asker,
    Author,
    Confirmed,
    Entered,
    ExchangeStatus,
    KnownModel,
    LogHead,
    MemberStatus,
    NodeStatus,
    Operations,
    Presigned,
    Registered,
    Signer,
    Standing,
    Verified,
    hub_away,
    hub_refused,
    node_away,
    unverified,
)
from portal.text import Text
from trust.document import SignedDocument, verify_document
from trust.errors import TrustError
from trust.sm2 import PrivateKey, PublicKey

WHOM = "the hub"
LOOK_S = 5  # a page that goes on by itself asks again soon, and must not hold threads of a hub that hangs


class HubLinkByCall:
    """A running hub. `socket`: its operator socket on this machine; `node`: a node of the platform's own, or None."""

    def __init__(self, facts: HubFacts, socket: Path, node: Path | None = None) -> None:
        """Nothing is opened before a call."""
        self._facts = facts
        self._socket = socket
        self._node = node

    def alive(self) -> bool:
        """See HubLink."""
        try:
            with rpc.admin(self._socket) as stub:
                rpc.call(stub.GetStatus, admin_pb2.GetStatusRequest(), whom=WHOM, timeout_s=3)
        except CliError:
            return False
        return True

    def approve_enterprise(self, registration: SignedDocument, operator: str, key: PrivateKey) -> int:
        """See HubLink."""
        with _as_portal_errors():
            return self._approve(registration, operator, key)

    def consents(self, who: Asker) -> Sequence[Standing]:
        """See HubLink."""
        with self._client(who) as (client, _):
            # In the hub's order, which is: those that stand first, then the newest first.
            newest: dict[str, Found] = {}
            for each in client.consents():
                before = newest.setdefault(each.consent.record_id, each)
                if before.consent.record_version < each.consent.record_version:
                    newest[each.consent.record_id] = each
            return [
                Standing(
                    consent=each.consent,
                    state=each.state,
                    ended_ms=each.ended_ms,
                    log_index=each.log_index,
                    entry=each.leaf,
                )
                for each in newest.values()
            ]

    def requests(self, who: Asker) -> Sequence[ConsentRequest]:
        """See HubLink."""
        with self._client(who) as (client, _):
            return client.requests()

    def enter(self, author: Author, document: SignedDocument, provider: str, *, wait_ms: int = 0) -> Entered:
        """See HubLink."""
        acting = _Pinned(author.seen, self._facts)
        with _as_portal_errors(), rpc.subjects(self._facts) as stub:
            done = enter(acting, stub, document, author.key, provider, wait_ms=wait_ms)
        return Entered(
            log_index=done.log_index,
            confirmed=tuple(Confirmed(node_id=each.node_id, after_ms=each.after_ms) for each in done.acknowledged),
            pending=done.pending,
            seen=acting.kept,
        )

    def offers(self) -> Sequence[ProductPublished]:
        """See HubLink."""
        with _as_portal_errors(), rpc.subjects(self._facts) as stub:
            reply = rpc.call(stub.ListPublishedProducts, public_pb2.ListPublishedProductsRequest(), whom=WHOM)
            found = []
            for encoded in reply.products:
                document = SignedDocument.decode(encoded)
                verify_document(document, PRODUCT_PUBLISHED_TYPE, self._facts.hub_key)
                found.append(parse(document.payload, ProductPublished))
            return found

    def members(self) -> Sequence[Member]:
        """See HubLink."""
        with _as_portal_errors(), rpc.admin(self._socket) as stub:
            reply = rpc.call(stub.ListMembers, admin_pb2.ListMembersRequest(), whom=WHOM)
        standing = [each for each in reply.members if each.state == "admitted"]
        return sorted(
            (Member(member_id=each.member_id, name=each.name, kind=each.kind) for each in standing),
            key=lambda member: member.name,
        )

    def operations(self, member_id: str | None) -> Operations:
        """See HubLink."""
        with _as_portal_errors(), rpc.admin(self._socket) as stub:
            status = rpc.call(stub.GetStatus, admin_pb2.GetStatusRequest(), whom=WHOM, timeout_s=LOOK_S)
            members = rpc.call(stub.ListMembers, admin_pb2.ListMembersRequest(), whom=WHOM, timeout_s=LOOK_S).members
            request = admin_pb2.ListAllExchangesRequest(member_id=member_id or "")
            exchanges = rpc.call(stub.ListAllExchanges, request, whom=WHOM, timeout_s=LOOK_S).exchanges
        return Operations(
            time_ms=status.time_ms,
            version=status.version,
            logs=tuple(LogHead(origin=log.origin, size=log.size, time_ms=log.checkpoint_ms) for log in status.logs),
            members=tuple(_member(each) for each in members if member_id in {None, each.member_id}),
            exchanges=tuple(_exchange(each) for each in exchanges),
        )

    def uses(self, who: Asker) -> Verified:
        """See HubLink."""
        with self._client(who) as (client, acting):
            pages = list(client.audit())
            audited = pages[-1]
            acting.remember(audited.seen)
        return Verified(
            uses=audited.uses,
            pages=tuple(each.page for each in pages),
            hub_key=self._facts.hub_key,
            size=audited.head.size,
            time_ms=audited.head.time_ms,
            witnesses=audited.witnesses,
            seen=acting.kept,
        )

    def registered(self, uscc: str) -> Registered:
        """See HubLink. A provider that does not answer leaves the question to the next one that offers the item."""
        if self._node is None:
            raise PortalError("WRONG_STATE", Text("This portal has no node by which registrations are checked."))
        offers = offers_of(self.offers())
        if not offers:
            raise PortalError("NOT_FOUND", Text("No provider offers the registration of enterprises at present."))
        for provider, product in offers[:-1]:
            with suppress(PortalError), _as_portal_errors():
                return query_registration(self._node, provider, product, uscc)
        with _as_portal_errors():
            return query_registration(self._node, *offers[-1], uscc)

    def models(self) -> Sequence[KnownModel]:
        """See HubLink."""
        with _as_portal_errors(), rpc.admin(self._socket) as stub:
            reply = rpc.call(stub.ListAllModels, admin_pb2.ListAllModelsRequest(), whom=WHOM)
            return [
                KnownModel(version=parse_version(SignedDocument.decode(each.document).payload), state=each.state)
                for each in reply.models
            ]

    @contextmanager
    def _client(self, who: Asker) -> Iterator[tuple[EnterpriseClient, _Pinned]]:
        with _as_portal_errors(), rpc.subjects(self._facts) as stub:
            if isinstance(who, Signer):
                acting = _InPortal(who, self._facts)
                yield EnterpriseClient(acting, stub), acting
            else:
                pinned = _Pinned(who.seen, self._facts)
                yield _PresignedClient(who, pinned, stub), pinned

    def _approve(self, registration: SignedDocument, operator: str, key: PrivateKey) -> int:
        statement = parse_registration(registration.payload)
        own = PublicKey.decode(statement.public_key)
        with rpc.subjects(self._facts) as subjects, rpc.admin(self._socket) as admin:
            last = read_keys(admin).get(statement.uscc)
            if last is not None and last.key == own and not last.revoked:
                # Approved before, and this process died between the hub's answer and its own record of it.
                request = public_pb2.GetRegistrationRequest(uscc=statement.uscc)
                return rpc.call(subjects.GetRegistration, request, whom=WHOM).directory_index
            request_in = public_pb2.RegisterRequest(registration=registration.encode())
            rpc.call(subjects.Register, request_in, whom=WHOM)
            waiting = next(each for each in read_registrations(admin) if each.key_id == own.key_id)
            return approve_key(admin, Operator(name=operator, key=key), waiting)


def _member(found: admin_pb2.MemberReply) -> MemberStatus:
    nodes = tuple(
        NodeStatus(
            node_id=node.node_id,
            revoked=node.state == "revoked",
            connected=node.connected,
            version=node.version,
            certificate_ends_ms=node.certificate_expires_ms,
            acknowledged=tuple(
                LogHead(origin=head.origin, size=head.size, time_ms=head.time_ms) for head in node.acknowledged
            ),
        )
        for node in found.nodes
    )
    return MemberStatus(member_id=found.member_id, name=found.name, suspended=found.state != "admitted", nodes=nodes)


def _exchange(found: admin_pb2.ExchangeStatus) -> ExchangeStatus:
    return ExchangeStatus(**{each.name: getattr(found, each.name) for each in fields(ExchangeStatus)})


class _Pinned:
    """The hub as an enterprise pins it; what is seen is kept by the portal."""

    def __init__(self, seen: bytes, hub: HubFacts) -> None:
        self.hub, self.kept = hub, seen

    def seen(self) -> Seen:
        return decode_seen(self.kept, self.hub.hub_key) if self.kept else Seen()

    def remember(self, seen: Seen) -> None:
        self.kept = encode_seen(seen)


class _InPortal(_Pinned):
    """An enterprise as `EnterpriseClient` takes it."""

    def __init__(self, who: Signer, hub: HubFacts) -> None:
        super().__init__(who.seen, hub)
        self.uscc, self.key = who.uscc, who.key


class _PresignedClient(EnterpriseClient):
    """Makes one call by a question that was signed elsewhere."""

    def __init__(self, who: Presigned, pinned: _Pinned, stub: public_pb2_grpc.SubjectsStub) -> None:
        super().__init__(_Keyless(who, pinned), stub)
        self._question: SignedDocument | None = who.question

    def _signed(self, action: str, body: bytes = b"") -> public_pb2.SubjectCall:
        question, self._question = self._question, None
        if question is None:
            raise CliError(
                "INVALID_ARGUMENT",
                "There are more uses than one signed question lists. Use `xinqiao audit mine`, which asks for them page by page.",
            )
        return public_pb2.SubjectCall(access_request=question.encode())


class _Keyless:
    """An enterprise that acts without its key being here."""

    def __init__(self, who: Presigned, pinned: _Pinned) -> None:
        self.uscc, self.hub = who.uscc, pinned.hub
        self.seen, self.remember = pinned.seen, pinned.remember

    @property
    def key(self) -> PrivateKey:
        raise CliError("INTERNAL", "A key that is kept elsewhere was asked for.")


@contextmanager
def _as_portal_errors() -> Iterator[None]:
    try:
        yield
    except CliError as error:
        raise (hub_away() if error.code == "UNAVAILABLE" else hub_refused(error.message)) from error
    except NodeError as error:
        raise node_away(error.code) from error
    except (TrustError, ConsentError) as error:
        raise unverified(str(error)) from error
