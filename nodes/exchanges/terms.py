"""What an exchange was opened for, and what both nodes check before they take part.

A provider's node takes part only if, in this order:
1. the ticket is signed by the pinned hub key, is not past its time, and names this node as the provider's;
2. the request is signed by the identity key that the directory holds for the requester's node, which is not revoked, and which
   belongs to the member that the request names;
3. the ticket was made for exactly this request (policy digest), these two nodes and this mode;
4. the request is for this member, and its product and items are among those that this node offers.
A requester's node checks 1 and 3 for itself and takes the provider's identity key from the directory, so that the hub can pair it
with nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from consent.directory import Directory
from consent.errors import ConsentError
from consent.usage import (
    EXCHANGE_REQUEST_TYPE,
    TICKET_TYPE,
    ExchangeRequest,
    Ticket,
    parse_exchange_request,
    parse_ticket,
    policy_digest,
)
from nodes.errors import NodeError
from trust.document import SignedDocument, verify_document
from trust.errors import TrustError
from trust.sm2 import PublicKey

MAX_FUTURE_MS: Final = 60_000


class InvitationRefused(NodeError):
    """The node does not take part; the message says which check failed."""

    code = "TICKET_INVALID"


@dataclass(frozen=True, kw_only=True)
class ExchangeTerms:
    """A request that was checked, with the two nodes and the key of the other one."""

    request: ExchangeRequest
    provider_node: str
    policy_digest: bytes
    peer_identity: PublicKey
    request_document: bytes
    ticket_document: bytes

    @property
    def exchange_id(self) -> str:
        """Identifier of the exchange, a UUID."""
        return self.request.exchange_id


def open_ticket(
    ticket: bytes, request: bytes, hub_key: PublicKey, now_ms: int
) -> tuple[Ticket, ExchangeRequest, SignedDocument]:
    """Checks 1 (signature and time) and 3. Raises InvitationRefused."""
    try:
        signed_ticket = SignedDocument.decode(ticket)
        verify_document(signed_ticket, TICKET_TYPE, hub_key)
        parsed = parse_ticket(signed_ticket.payload)
        signed_request = SignedDocument.decode(request)
        wanted = parse_exchange_request(signed_request.payload)
    except (TrustError, ConsentError) as error:
        raise InvitationRefused(f"The ticket or the request of the exchange is not valid: {error}") from error
    if parsed.expires_ms <= now_ms:
        raise InvitationRefused(f"The ticket of exchange {parsed.exchange_id} is past its time; open a new exchange.")
    if (
        parsed.exchange_id != wanted.exchange_id
        or parsed.policy_digest != policy_digest(signed_request.payload).hex()
        or parsed.requester_node != wanted.requester_node
        or parsed.mode != wanted.mode
    ):
        raise InvitationRefused(
            f"The ticket of exchange {parsed.exchange_id} was made for another request; do not trust this hub."
        )
    return parsed, wanted, signed_request


def terms_for_requester(
    ticket: bytes, request: bytes, *, node_id: str, directory: Directory, hub_key: PublicKey, now_ms: int
) -> ExchangeTerms:
    """The requester's checks. Raises InvitationRefused."""
    parsed, wanted, signed = open_ticket(ticket, request, hub_key, now_ms)
    peer = directory.node(parsed.provider_node)
    if parsed.requester_node != node_id:
        raise InvitationRefused(f"The ticket of exchange {parsed.exchange_id} is for another node than {node_id}.")
    if peer is None or peer.revoked or peer.member_id != wanted.provider:
        raise InvitationRefused(
            f"Node {parsed.provider_node} is not an active node of {wanted.provider} in the directory; do not trust this ticket."
        )
    return _terms(parsed, wanted, signed, peer.identity_key, request, ticket)


def terms_for_provider(
    ticket: bytes,
    request: bytes,
    *,
    node_id: str,
    member_id: str,
    directory: Directory,
    hub_key: PublicKey,
    now_ms: int,
) -> ExchangeTerms:
    """The provider's checks 1 to 4, without the products. Raises InvitationRefused."""
    parsed, wanted, signed = open_ticket(ticket, request, hub_key, now_ms)
    if parsed.provider_node != node_id or wanted.provider != member_id:
        raise InvitationRefused(f"Exchange {parsed.exchange_id} is for node {parsed.provider_node}, not for {node_id}.")
    peer = directory.node(wanted.requester_node)
    if peer is None or peer.revoked or peer.member_id != wanted.requester:
        raise InvitationRefused(
            f"Node {wanted.requester_node} is not an active node of {wanted.requester} in the directory; the exchange was declined."
        )
    try:
        verify_document(signed, EXCHANGE_REQUEST_TYPE, peer.identity_key)
    except TrustError as error:
        raise InvitationRefused(
            f"The request of exchange {parsed.exchange_id} is not signed by {wanted.requester_node}."
        ) from error
    if wanted.expires_ms <= now_ms or wanted.time_ms > now_ms + MAX_FUTURE_MS:
        raise InvitationRefused(
            f"The request of exchange {parsed.exchange_id} is past its time or dated in the future; check the clocks."
        )
    return _terms(parsed, wanted, signed, peer.identity_key, request, ticket)


def _terms(
    ticket: Ticket, wanted: ExchangeRequest, signed: SignedDocument, peer: PublicKey, request: bytes, document: bytes
) -> ExchangeTerms:
    return ExchangeTerms(
        request=wanted,
        provider_node=ticket.provider_node,
        policy_digest=policy_digest(signed.payload),
        peer_identity=peer,
        request_document=request,
        ticket_document=document,
    )
