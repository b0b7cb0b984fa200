"""The node's connection to its hub: the push stream, the acknowledgements, and staying connected.

The rules of this module:
1. What the hub sends goes to the replica first, which decides whether to believe it; then it is stored;
   only then is a checkpoint cosigned. A witness that forgot a head in a crash could be made to sign two
   histories.
2. After a disconnection of any kind the node subscribes again from the positions that it holds, after a
   wait that doubles from 0.2 s to 30 s with jitter. A stream that is silent for longer than several
   checkpoints counts as dead.
3. After an alarm the node does not subscribe again until an operator has cleared it.
4. A hub whose clock differs from ours by more than a minute is not listened to: the freshness of a
   checkpoint could not be judged. The failure is named CLOCK_SKEW; consented uses are refused for staleness
   meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final, Protocol

import grpc
from xinqiao.v1 import node_pb2

from nodes.backoff import LONGEST_S, Backoff
from nodes.credentials import HubFacts, TlsPair
from nodes.errors import Alarm, ClockSkew, HubUnavailable, NodeError, from_rpc
from nodes.hub_channel import HubStubs, open_channel, rpc, stubs_of
from nodes.replica import MAX_CLOCK_SKEW_MS
from nodes.replica_store import ReplicaKeeper
from trust.checkpoint import cosign
from trust.document import SignedDocument
from trust.sm2 import PrivateKey

SILENCE_S: Final = 30.0
"""How long the stream may be silent; a healthy hub sends a checkpoint every few seconds."""

CALL_TIMEOUT_S: Final = 20.0
_VERIFY_AT_ONCE: Final = 8
"""Entries verified before others get a turn: about 10 ms of signatures."""
_RETRY_COSIGN_S: Final = 0.5

_log = logging.getLogger(__name__)


class ExchangeHandler(Protocol):
    """Who is told about exchanges and models. Must return quickly (start a task) and must not raise."""

    def invited(self, request: bytes, ticket: bytes) -> None:
        """A requester asks this node to join: both signed documents as they travelled, not verified yet."""
        ...

    def exchange_updated(self, exchange_id: str, state: str, reason: str) -> None:
        """An exchange of this node changed its state at the hub."""
        ...

    def models_changed(self, newest: int) -> None:
        """The hub has documents of the registry about models of this member, up to this number."""
        ...


@dataclass(frozen=True, kw_only=True)
class ConnectionStatus:
    """Whether the push stream is alive, and the last failure as `CODE: sentence` (empty when all is well)."""

    connected: bool
    last_error: str


class HubConnection:
    """Everything between one node and its hub. `run` until cancelled; `stubs` for calls at any time."""

    def __init__(
        self,
        *,
        hub: HubFacts,
        tls: TlsPair,
        key: PrivateKey,
        keeper: ReplicaKeeper,
        handler: ExchangeHandler,
        clock: Callable[[], int],
        backoff: Backoff,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._hub = hub
        self._key = key
        self._keeper = keeper
        self._handler = handler
        self._clock = clock
        self._backoff = backoff
        self._silence_s = silence_s
        self._stubs = stubs_of(open_channel(hub, tls))
        self._retired: list[grpc.aio.Channel] = []
        self._to_cosign: dict[str, bytes] = {}
        self._cosign_due = asyncio.Event()
        self._alarm_cleared = asyncio.Event()
        self._connected = asyncio.Event()
        self._last_error = ""

    # -- what others ask -----------------------------------------------------------------------------------

    @property
    def stubs(self) -> HubStubs:
        """The hub's services over the present channel; ask again for each call, renewal replaces the channel."""
        return self._stubs

    def status(self) -> ConnectionStatus:
        """Say how the connection is."""
        return ConnectionStatus(connected=self._connected.is_set(), last_error=self._last_error)

    async def wait_connected(self) -> None:
        """Return once the hub has greeted this node on the push stream."""
        await self._connected.wait()

    def use_certificate(self, tls: TlsPair) -> None:
        """Use a renewed certificate from the next call on; calls under way finish on the old channel."""
        self._retired.append(self._stubs.channel)
        self._stubs = stubs_of(open_channel(self._hub, tls))

    async def clear_alarm(self, reason: str) -> None:
        """Record that an operator has looked, and subscribe again."""
        await self._keeper.clear_alarm(reason)
        self._alarm_cleared.set()

    async def close(self) -> None:
        """Close the channels; calls under way are cancelled."""
        for channel in (*self._retired, self._stubs.channel):
            await channel.close()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stay_subscribed())
            group.create_task(self._cosign_forever())

    # -- the push stream -----------------------------------------------------------------------------------

    async def _stay_subscribed(self) -> None:
        while True:
            try:
                if self._keeper.replica.alarm is not None:
                    raise self._keeper.replica.alarm
                await self._subscribe()
            except Alarm as alarm:
                self._failed(alarm)
                await self._wait_for_operator()
                continue
            except NodeError as error:
                self._failed(error)
                wait_s = self._backoff.next_s() if error.retryable else LONGEST_S
                await asyncio.sleep(max(wait_s, error.retry_after_ms / 1000))

    async def _wait_for_operator(self) -> None:
        self._alarm_cleared.clear()
        while self._keeper.replica.alarm is not None:
            await self._alarm_cleared.wait()
            self._alarm_cleared.clear()
        self._backoff.reset()

    def _failed(self, error: NodeError) -> None:
        self._connected.clear()
        self._last_error = f"{error.code}: {error.message}"
        _log.warning("hub_disconnected", extra={"code": error.code, "detail": error.message})

    async def _subscribe(self) -> None:
        """Follow one stream to its end, which is always an error. Raises NodeError."""
        replica = self._keeper.replica
        request = node_pb2.SubscribeRequest(
            positions=[node_pb2.LogPosition(origin=origin, size=size) for origin, size in replica.positions()],
            grantee_seq=replica.grantee_seq,
            time_ms=self._clock(),
            version=version("xinqiao"),
        )
        stream = self._stubs.control.Subscribe(request)
        try:
            while True:
                async with asyncio.timeout(self._silence_s):  # wait_for of Python 3.11 may swallow a cancellation
                    event = await stream.read()
                if not isinstance(event, node_pb2.Event):
                    raise HubUnavailable("the hub ended the push stream; the node subscribes again")
                await self._take(event)
        except TimeoutError as error:
            raise HubUnavailable(
                f"the hub was silent for {self._silence_s:.0f} s; the node subscribes again"
            ) from error
        except grpc.RpcError as error:
            raise from_rpc(error) from error
        finally:
            stream.cancel()

    async def _take(self, event: node_pb2.Event) -> None:
        kind = event.WhichOneof("event")
        if kind == "welcome_ms":
            self._greeted(event.welcome_ms)
        elif kind == "invitation":
            self._handler.invited(event.invitation.request, event.invitation.ticket)
        elif kind == "exchange":
            update = event.exchange
            self._handler.exchange_updated(update.exchange_id, update.state, update.reason)
        elif kind == "models":
            self._handler.models_changed(event.models)
        elif kind is None:
            _log.info("event_unknown")  # of a newer hub
        else:
            await self._believe(event, kind)

    def _greeted(self, hub_ms: int) -> None:
        skew_ms = self._clock() - hub_ms
        if abs(skew_ms) > MAX_CLOCK_SKEW_MS:
            direction = "ahead of" if skew_ms > 0 else "behind"
            raise ClockSkew(
                f"this machine's clock is {abs(skew_ms) // 1000} s {direction} the hub's; "
                "synchronise it (chrony or ntpd), consented uses are refused until then"
            )
        self._connected.set()
        self._last_error = ""
        self._backoff.reset()
        _log.info("hub_connected", extra={"skew_ms": skew_ms})

    async def _believe(self, event: node_pb2.Event, kind: str) -> None:
        """Give an event of the logs to the replica, store what it verified, then acknowledge."""
        keeper, replica = self._keeper, self._keeper.replica
        try:
            if kind == "entries":
                await self._apply_entries(event.entries)
            elif kind == "grantee_entry":
                entry = event.grantee_entry
                replica.apply_grantee_entry(
                    seq=entry.seq,
                    origin=entry.origin,
                    index=entry.index,
                    leaf=entry.leaf,
                    checkpoint=entry.checkpoint,
                    path=tuple(entry.path),
                    now_ms=self._clock(),
                )
            else:
                checkpoint = replica.apply_checkpoint(event.checkpoint, self._clock())
                await keeper.persist()
                self._to_cosign[checkpoint.origin] = event.checkpoint
                self._cosign_due.set()
        except Alarm as alarm:
            await keeper.persist()
            await keeper.record_alarm(alarm)
            raise
        await keeper.persist()

    async def _apply_entries(self, entries: node_pb2.LogEntries) -> None:
        leaves = entries.leaves
        for start in range(0, len(leaves), _VERIFY_AT_ONCE):
            chunk = leaves[start : start + _VERIFY_AT_ONCE]
            self._keeper.replica.apply_entries(entries.origin, entries.first_index + start, chunk)
            await asyncio.sleep(0)

    # -- acknowledgements ----------------------------------------------------------------------------------

    async def _cosign_forever(self) -> None:
        """Cosign the newest accepted checkpoint of each log; an older one that waits is superseded."""
        while True:
            await self._cosign_due.wait()
            self._cosign_due.clear()
            while self._to_cosign:
                origin = next(iter(self._to_cosign))
                document = self._to_cosign.pop(origin)
                try:
                    await self.cosign(document)
                except NodeError as error:
                    _log.warning("cosign_failed", extra={"origin": origin, "code": error.code})
                    if error.retryable:
                        self._to_cosign.setdefault(origin, document)
                        await asyncio.sleep(_RETRY_COSIGN_S)

    async def cosign(self, document: bytes) -> None:
        """Send this node's cosignature on a checkpoint that was accepted and stored. Raises NodeError."""
        cosigned = cosign(SignedDocument.decode(document), self._key)
        request = node_pb2.CosignRequest(checkpoint=cosigned.encode())
        await rpc(self._stubs.control.Cosign(request, timeout=CALL_TIMEOUT_S))
