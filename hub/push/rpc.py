"""The Control service of node.proto: the push stream, cosignatures, certificate renewal, ping."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

from xinqiao.v1 import node_pb2, node_pb2_grpc

from hub.auth import caller, check_active
from hub.errors import HubError
from hub.exchanges.changes import Invited, Updated
from hub.interceptors import Context
from hub.logs import checkpoints
from hub.logs.rpc import visible
from hub.members.rpc import renew_certificate
from hub.members.service import check_clock
from hub.push import feed
from hub.push.sessions import PushSessions
from hub.push.wakeups import Wakeups
from hub.state import Hub
from trust.checkpoint import Checkpoint
from trust.document import SignedDocument

METHOD: Final = "/xinqiao.v1.Control/Subscribe"
# Leaves are a few kilobytes; an event stays well below the limit of a message, and one over it travels alone.
EVENT_BYTES: Final = 1 << 20

log = logging.getLogger(__name__)


class ControlServicer(node_pb2_grpc.ControlServicer):
    """Decode, call, encode; and the loop of the push stream."""

    def __init__(self, hub: Hub, sessions: PushSessions, wakeups: Wakeups) -> None:
        """Serve this hub's nodes."""
        self._hub = hub
        self._sessions = sessions
        self._wakeups = wakeups

    # A coroutine that writes, not a generator: it can then be ended while it waits.
    async def Subscribe(  # type: ignore[override]
        self, request: node_pb2.SubscribeRequest, context: Context
    ) -> None:
        """Push until the node leaves or is cut off."""
        # The node may have been cut off since the interceptor looked: from here to the session nothing waits.
        who = check_active(self._hub, caller())
        check_clock(self._hub, request.time_ms, "this node")
        positions = [(position.origin, position.size) for position in request.positions]
        cursor = feed.start(who, positions, request.grantee_seq)
        log.info("node connected", extra={"event": "node_connected", "version": request.version[:40]})
        try:
            with self._sessions.open(who.node_id, request.version[:40]) as session:
                await session.run(self._push(cursor, context))
        finally:
            log.info("node disconnected", extra={"event": "node_disconnected"})

    async def _push(self, cursor: feed.Cursor, context: Context) -> None:
        hub = self._hub
        await context.write(node_pb2.Event(welcome_ms=hub.clock()))
        with self._wakeups.watch(feed.topics(cursor.who)) as watch:
            while True:
                standing = cursor
                due = await hub.db.read(lambda read, standing=standing: feed.due(read, standing, hub.clock()))  # type: ignore[misc]
                for item in due.items:
                    for event in encode(item):
                        await context.write(event)
                cursor = due.cursor
                if not due.more:
                    await watch.wait()

    async def Cosign(self, request: node_pb2.CosignRequest, context: Context) -> node_pb2.CosignReply:
        """Keep a cosignature of the calling node on a checkpoint that it may see."""
        hub, node_id = self._hub, caller().node_id
        node = hub.directory.current.node(node_id)
        if node is None:
            raise HubError("UNAUTHENTICATED")
        document = SignedDocument.decode(request.checkpoint)
        visible(Checkpoint.decode(document.payload).origin)
        cosignature = checkpoints.verify_cosignature(document, hub.keys.public, node.identity_key)
        await hub.db.write(lambda write: checkpoints.store_cosignature(write, node_id, cosignature))
        return node_pb2.CosignReply()

    async def RenewCertificate(
        self, request: node_pb2.RenewCertificateRequest, context: Context
    ) -> node_pb2.RenewCertificateReply:
        """A new certificate."""
        return await renew_certificate(self._hub, request)

    async def Ping(self, request: node_pb2.PingRequest, context: Context) -> node_pb2.PingReply:
        """The hub's clock, and the payload back."""
        if len(request.payload) > self._hub.settings.max_frame_bytes:
            raise HubError("TOO_LARGE")
        return node_pb2.PingReply(payload=request.payload, time_ms=self._hub.clock())


def encode(item: feed.Item) -> Iterator[node_pb2.Event]:
    """The events of an item; entries go in parts of bounded size."""
    match item:
        case feed.Entries():
            yield from _entries(item)
        case feed.Checkpoint():
            yield node_pb2.Event(checkpoint=item.document)
        case feed.Received():
            entry = node_pb2.GranteeEntry(
                seq=item.seq,
                origin=item.origin,
                index=item.index,
                leaf=item.leaf,
                checkpoint=item.checkpoint,
                path=item.path,
            )
            yield node_pb2.Event(grantee_entry=entry)
        case Invited():
            yield node_pb2.Event(invitation=node_pb2.Invitation(request=item.request, ticket=item.ticket))
        case Updated():
            update = node_pb2.ExchangeUpdate(exchange_id=item.exchange_id, state=item.state, reason=item.reason)
            yield node_pb2.Event(exchange=update)
        case feed.ModelsChanged():
            yield node_pb2.Event(models=item.seq)


def _entries(item: feed.Entries) -> Iterator[node_pb2.Event]:
    part: list[bytes] = []
    first, size = item.first_index, 0
    for leaf in item.leaves:
        if part and size + len(leaf) > EVENT_BYTES:
            yield _part(item.origin, first, part)
            first, part, size = first + len(part), [], 0
        part.append(leaf)
        size += len(leaf)
    yield _part(item.origin, first, part)


def _part(origin: str, first_index: int, leaves: list[bytes]) -> node_pb2.Event:
    return node_pb2.Event(entries=node_pb2.LogEntries(origin=origin, first_index=first_index, leaves=leaves))
