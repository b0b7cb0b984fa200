"""Tickets: the hub's signed pass for two nodes to meet on one relay.

A ticket binds exchange, both nodes, mode and the digest of the signed request, so that a node recognises what it was invited
to. It says nothing of authority to use data: the provider's node decides that.
"""

from __future__ import annotations

import hmac
from typing import Final

from consent.documents import encode
from consent.errors import ConsentError
from consent.usage import TICKET_TYPE, ExchangeRequest, Ticket, parse_ticket, policy_digest
from hub.errors import HubError
from trust.document import SignedDocument, sign_document, verify_document
from trust.errors import TrustError
from trust.sm2 import PrivateKey, PublicKey

LIFETIME_MS: Final = 3_600_000


def make_ticket(
    request: ExchangeRequest, payload: bytes, *, provider_node: str, relay_address: str, now_ms: int, key: PrivateKey
) -> SignedDocument:
    """Sign a ticket for a request (`payload`: its very bytes); it lasts an hour, and no longer than the exchange."""
    ticket = Ticket(
        exchange_id=request.exchange_id,
        requester_node=request.requester_node,
        provider_node=provider_node,
        mode=request.mode,
        policy_digest=policy_digest(payload).hex(),
        relay_address=relay_address,
        expires_ms=min(now_ms + LIFETIME_MS, request.expires_ms),
    )
    return sign_document(TICKET_TYPE, encode(ticket), key)


def open_ticket(encoded: bytes, hub_key: PublicKey, *, relay_address: str, now_ms: int) -> Ticket:
    """Verify a ticket that a node presents. Raises HubError TICKET_INVALID."""
    try:
        document = SignedDocument.decode(encoded)
        verify_document(document, TICKET_TYPE, hub_key)
        ticket = parse_ticket(document.payload)
    except (TrustError, ConsentError) as problem:
        raise HubError("TICKET_INVALID", "this is no ticket of this hub; open a new exchange") from problem
    if ticket.expires_ms <= now_ms:
        raise HubError("TICKET_INVALID", "the ticket has expired; ask for a fresh one with ResumeExchange")
    if not hmac.compare_digest(ticket.relay_address, relay_address):
        raise HubError("TICKET_INVALID", f"the ticket is for the relay at {ticket.relay_address}; attach there")
    return ticket
