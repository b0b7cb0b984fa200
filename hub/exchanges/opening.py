"""Opening an exchange: everything that makes it hopeless is told at once.

Checks, in this order; the first that fails is the answer and nothing changes:
1. The request is the calling node's own: its member, its node, its signature (PERMISSION_DENIED, SIGNATURE_INVALID).
2. Its time is now (CLOCK_SKEW) and its end is ahead (INVALID_ARGUMENT).
3. The product is published, by that provider, with these items, modes and fields (PRODUCT_UNAVAILABLE). A comparison of sets shows
   nothing of an item: it names its items in mode X, without fields.
4. The same request again gets the same exchange; another under its identifier is refused (ALREADY_EXISTS).
5. There is some consent in force that names this requester for this provider, unless every item is public, or sets are compared on
   another legal basis (USE_REFUSED with NO_CONSENT). It is a hint only: the provider's node decides every use.
6. A node of the provider is connected (PEER_OFFLINE).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from consent.decision import REASONS, Reason
from consent.directory import Directory
from consent.documents import ItemMode
from consent.usage import EXCHANGE_REQUEST_TYPE, ExchangeRequest, parse_exchange_request
from hub.auth import Caller
from hub.consents.lists import any_in_force
from hub.errors import HubError
from hub.exchanges import changes
from hub.exchanges.states import State
from hub.exchanges.tables import exchanges
from hub.exchanges.tickets import make_ticket
from hub.members.service import check_clock
from hub.products.offers import require_offer
from hub.state import Hub
from trust.document import SignedDocument, verify_document


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An exchange and its ticket (encoded)."""

    exchange_id: str
    ticket: bytes


def verify_request(hub: Hub, who: Caller, document: SignedDocument) -> ExchangeRequest:
    """Checks 1 to 3 (on the event loop; no database). Raises HubError, SignatureInvalid, DocumentMalformed."""
    if document.payload_type != EXCHANGE_REQUEST_TYPE:
        raise HubError("INVALID_ARGUMENT", f"a document of type {document.payload_type} opens no exchange")
    request = parse_exchange_request(document.payload)
    if (request.requester, request.requester_node) != (who.member_id, who.node_id):
        raise HubError("PERMISSION_DENIED", "the request is in another node's name; sign it as the node that calls")
    directory = hub.directory.current
    node = directory.node(who.node_id)
    if node is None:
        raise HubError("UNAUTHENTICATED")
    verify_document(document, EXCHANGE_REQUEST_TYPE, node.identity_key)
    check_clock(hub, request.time_ms, "the exchange request")
    if request.expires_ms <= hub.clock():
        raise HubError("INVALID_ARGUMENT", "the exchange would have ended already; correct expires_ms")
    if request.provider == request.requester:
        raise HubError("INVALID_ARGUMENT", "requester and provider are one member; an exchange needs two")
    require_offer(
        directory,
        request.provider,
        request.product_id,
        request.items,
        compares_sets=request.mode.compares_sets,
    )
    return request


def open_exchange(
    hub: Hub,
    connection: Connection,
    request: ExchangeRequest,
    document: SignedDocument,
    is_connected: Callable[[str], bool],
) -> Opened:
    """Checks 4 to 6 on a verified request, then open it. Only inside `Database.write`. Raises HubError."""
    encoded = document.encode()
    known = connection.execute(select(exchanges).where(exchanges.c.exchange_id == request.exchange_id)).first()
    if known is not None:
        if (
            known.requester_node != request.requester_node
            or SignedDocument.decode(known.request).payload != document.payload
        ):
            raise HubError("ALREADY_EXISTS", "there is an exchange of this identifier; choose a fresh one")
        return Opened(exchange_id=known.exchange_id, ticket=bytes(known.ticket))
    _check_consent(connection, request, hub.clock())
    provider_node = _choose_node(hub.directory.in_write(connection), request, is_connected)
    now_ms = hub.clock()
    ticket = make_ticket(
        request,
        document.payload,
        provider_node=provider_node,
        relay_address=hub.settings.node_address,
        now_ms=now_ms,
        key=hub.keys.log_key,
    ).encode()
    row = {
        "exchange_id": request.exchange_id,
        "change": changes.next_number(connection),
        "state": State.OPENED,
        "reason": "",
        "requester": request.requester,
        "requester_node": request.requester_node,
        "provider": request.provider,
        "provider_node": provider_node,
        "product_id": request.product_id,
        "mode": request.mode,
        "request": encoded,
        "ticket": ticket,
        "relay_address": hub.settings.node_address,
        "done": 0,
        "total": 0,
        "unit": "",
        "opened_ms": now_ms,
        "active_ms": now_ms,
        "expires_ms": request.expires_ms,
        "ended_ms": 0,
    }
    connection.execute(insert(exchanges), row)
    changes.announce(connection, request.exchange_id, request.requester_node, provider_node)
    return Opened(exchange_id=request.exchange_id, ticket=ticket)


def _check_consent(connection: Connection, request: ExchangeRequest, now_ms: int) -> None:
    if request.mode.compares_sets or all(use.mode is ItemMode.P for use in request.items):
        return
    if not any_in_force(connection, request.provider, request.requester, now_ms):
        raise HubError("USE_REFUSED", REASONS[Reason.NO_CONSENT], reason=Reason.NO_CONSENT)


def _choose_node(directory: Directory, request: ExchangeRequest, is_connected: Callable[[str], bool]) -> str:
    ids = sorted(node.node_id for node in directory.nodes_of(request.provider))
    if request.provider_node:
        if request.provider_node not in ids:
            raise HubError("NOT_FOUND", f"{request.provider} has no active node {request.provider_node}; name another")
        ids = [request.provider_node]
    chosen = next(filter(is_connected, ids), None)
    if chosen is None:
        raise HubError("PEER_OFFLINE", retry_after_ms=2000)
    return chosen
