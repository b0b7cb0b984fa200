"""The Consents service of node.proto, an enterprise's consent calls of public.proto, and the job that notes expiries."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from xinqiao.v1 import node_pb2, node_pb2_grpc, public_pb2

from consent.documents import (
    CONSENT_REFUSAL_TYPE,
    CONSENT_REVOCATION_TYPE,
    CONSENT_TYPE,
    parse_consent,
    parse_refusal,
    parse_request,
    parse_revocation,
)
from hub.auth import caller
from hub.consents import lists, record, service
from hub.consents.acknowledgements import wait_for
from hub.errors import HubError
from hub.interceptors import Context
from hub.logs import checkpoints
from hub.logs import service as logs
from hub.members.entries import node_entries
from hub.push.wakeups import Wakeups
from hub.state import Hub
from hub.subjects.service import authenticate
from trust.document import SignedDocument

log = logging.getLogger(__name__)


class ConsentsServicer(node_pb2_grpc.ConsentsServicer):
    """Decode, call, encode."""

    def __init__(self, hub: Hub) -> None:
        """Serve requesters of this hub."""
        self._hub = hub
        self._prove = partial(record.proven, hub)

    async def RequestConsent(
        self, request: node_pb2.RequestConsentRequest, context: Context
    ) -> node_pb2.RequestConsentReply:
        """Record a request for consent."""
        hub, who = self._hub, caller()
        document = SignedDocument.decode(request.document)
        recorded = await hub.db.write(lambda write: service.request(hub, write, who, document), self._prove)
        request_id = parse_request(document.payload).request_id
        return node_pb2.RequestConsentReply(request_id=request_id, log_index=recorded.log_index)

    async def ListRequested(
        self, request: node_pb2.ListRequestedRequest, context: Context
    ) -> node_pb2.ListRequestedReply:
        """What became of the caller's requests."""
        member_id = caller().member_id
        found = await self._hub.db.read(lambda read: lists.of_requester(read, member_id))
        return node_pb2.ListRequestedReply(
            requests=[
                node_pb2.RequestedItem(
                    request_id=one.request_id,
                    uscc=one.uscc,
                    provider=one.provider,
                    state=one.state,
                    time_ms=one.time_ms,
                )
                for one in found
            ]
        )


class ConsentCalls:
    """An enterprise's calls about consents. A base of the whole Subjects servicer."""

    def __init__(self, hub: Hub, wakeups: Wakeups) -> None:
        """Serve enterprises of this hub."""
        self._hub = hub
        self._wakeups = wakeups
        self._prove = partial(record.proven, hub)

    async def ListConsentRequests(
        self, request: public_pb2.SubjectCall, context: Context
    ) -> public_pb2.ListConsentRequestsReply:
        """Requests that wait for the enterprise."""
        uscc = await authenticate(self._hub, request.access_request, "list-consent-requests")
        found = await self._hub.db.read(lambda read: lists.open_requests(read, uscc))
        return public_pb2.ListConsentRequestsReply(requests=found)

    async def ListConsents(self, request: public_pb2.SubjectCall, context: Context) -> public_pb2.ListConsentsReply:
        """The enterprise's consents."""
        uscc = await authenticate(self._hub, request.access_request, "list-consents")
        found = await self._hub.db.read(lambda read: lists.of_subject(read, uscc))
        return public_pb2.ListConsentsReply(
            consents=[
                public_pb2.ConsentItem(
                    document=one.document, state=one.state, log_index=one.log_index, ended_ms=one.ended_ms
                )
                for one in found
            ]
        )

    async def SubmitConsentEntry(
        self, request: public_pb2.SubmitConsentEntryRequest, context: Context
    ) -> public_pb2.SubmitConsentEntryReply:
        """Record what the enterprise signed, and wait for the provider's nodes if asked to."""
        hub = self._hub
        document = SignedDocument.decode(request.document)
        origin = logs.consent_origin(_provider_of(document))
        with self._wakeups.watch([checkpoints.cosigned_topic(origin)]) as watch:
            recorded = await hub.db.write(lambda write: service.submit(hub, write, document), self._prove)
            log.info("consent entry", extra={"event": "consent_entry", "origin": origin, "index": recorded.log_index})
            acknowledged = await wait_for(hub, recorded, watch, request.wait_ms)
        names = [one.node_id for one in acknowledged.seen]
        nodes = await hub.db.read(lambda read: node_entries(hub, read, names)) if names else ()
        return public_pb2.SubmitConsentEntryReply(
            log_index=recorded.log_index,
            checkpoint=recorded.checkpoint,
            path=recorded.path,
            acknowledgements=[
                public_pb2.Acknowledgement(node_id=one.node_id, after_ms=one.after_ms, checkpoint=one.checkpoint)
                for one in acknowledged.seen
            ],
            pending_nodes=acknowledged.pending,
            entry=recorded.entry,
            nodes=nodes,
        )


async def expire_due(hub: Hub) -> bool:
    """Note the end of consents whose time is over; True if there may be more. Each on its own: none can hold up the rest."""
    now_ms = hub.clock()
    due = await hub.db.read(lambda read: service.due(read, now_ms))
    outcomes = await asyncio.gather(
        *(
            hub.db.write(lambda write, row=row: service.expire(hub, write, row.record_id, row.version))  # type: ignore[misc]
            for row in due
        ),
        return_exceptions=True,
    )
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for problem in failed:
        log.error("a consent's end could not be noted", exc_info=problem, extra={"event": "expire_consent"})
    return len(due) == service.EXPIRED_AT_ONCE and not failed


def _provider_of(document: SignedDocument) -> str:
    """The provider that a document names, to know which log to watch; nothing is believed yet."""
    if document.payload_type == CONSENT_TYPE:
        return parse_consent(document.payload).recipients.data_source
    if document.payload_type == CONSENT_REFUSAL_TYPE:
        return parse_refusal(document.payload).provider
    if document.payload_type == CONSENT_REVOCATION_TYPE:
        return parse_revocation(document.payload).provider
    raise HubError(
        "INVALID_ARGUMENT",
        f"a document of type {document.payload_type} does not belong here; send a consent, refusal or revocation",
    )
