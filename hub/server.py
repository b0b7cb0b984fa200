"""The composition of a hub process: what listens where, behind which interceptors, and which jobs run beside it.

| address            | who                  | transport                             | services                        |
|--------------------|----------------------|---------------------------------------|---------------------------------|
| public             | enterprises, new     | TLS, the server's certificate         | Enrolment, Subjects             |
|                    | nodes                |                                       |                                 |
| node               | enrolled nodes       | TLS, certificates of both             | Control, Logs, Products,        |
|                    |                      |                                       | Consents, Exchanges, Relay,     |
|                    |                      |                                       | Usage                           |
| admin socket, 0600 | the hub's account    | Unix socket                           | Admin                           |
| metrics            | Prometheus           | HTTP, where the settings ask for it   |                                 |

Every port answers gRPC health checks; none offers reflection. Interceptors, from the outermost: metrics, errors, identity (node
port), rate limit, deadline.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import grpc
import msgspec
from grpc import aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from xinqiao.v1 import admin_pb2_grpc, node_pb2_grpc, public_pb2_grpc

from hub.admin.rpc import AdminServicer
from hub.auth import node_identity
from hub.backoffice import HubBackoffice
from hub.consents.rpc import ConsentCalls, ConsentsServicer, expire_due
from hub.errors import HubError
from hub.exchanges.rpc import ExchangesServicer, expire_abandoned
from hub.interceptors import Around, Surround, deadline, errors
from hub.jobs import repeat
from hub.keys import HubKeys, load_keys, make_server_certificate, utc
from hub.limits import RateLimit, by_address, by_member
from hub.logs.clock import CheckpointClock
from hub.logs.rpc import LogsServicer
from hub.members.rpc import EnrolmentServicer
from hub.members.service import cut_off
from hub.members.setup import open_parts, system_clock
from hub.metrics import Metrics
from hub.models.rpc import ModelsServicer
from hub.products.rpc import ProductCalls, ProductsServicer
from hub.push import rpc as push_rpc
from hub.push.sessions import PushSessions
from hub.push.wakeups import Wakeups
from hub.relay import rpc as relay_rpc
from hub.relay.follow import RelayFollower
from hub.relay.switch import Switch
from hub.settings import Settings
from hub.state import Hub
from hub.subjects.rpc import RegistrationCalls
from hub.usage.rpc import UsageServicer, UseCalls

EXPIRE_CONSENTS_EVERY_S: Final = 15.0
EXPIRE_EXCHANGES_EVERY_S: Final = 5.0
STOP_GRACE_S: Final = 2.0
STREAMS: Final = frozenset(
    {push_rpc.METHOD, relay_rpc.METHOD, "/xinqiao.v1.Admin/ExportLog", "/grpc.health.v1.Health/Watch"}
)

log = logging.getLogger(__name__)


class SubjectsServicer(
    RegistrationCalls, ConsentCalls, UseCalls, ProductCalls, public_pb2_grpc.SubjectsServicer
):  # each base adds the calls of its own subject; all keep the hub in the same place
    """The whole Subjects service of public.proto."""

    def __init__(self, hub: Hub, wakeups: Wakeups) -> None:
        """Serve enterprises of this hub."""
        ConsentCalls.__init__(self, hub, wakeups)


@dataclass(kw_only=True)
class RunningHub:
    """A hub that listens. `settings` of `hub` name the addresses that were really taken."""

    hub: Hub
    sessions: PushSessions
    switch: Switch
    metrics: Metrics
    servers: Sequence[aio.Server]
    health: health.aio.HealthServicer
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def stop(self, grace_s: float = STOP_GRACE_S) -> None:
        """Tell the nodes, finish what is under way, close the database."""
        restarting = HubError("UNAVAILABLE", "the hub is stopping; connect again", retry_after_ms=1000)
        await self.health.enter_graceful_shutdown()
        self.sessions.end_all(restarting)
        self.switch.close(restarting)
        await asyncio.gather(*(server.stop(grace_s) for server in self.servers))
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.metrics.close()
        await asyncio.to_thread(self.hub.db.close)
        self.hub.settings.socket.unlink(missing_ok=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def serve(settings: Settings, secret: bytes, *, clock: Callable[[], int] = system_clock) -> None:
    """Run a hub until SIGTERM or SIGINT. `secret` opens its keys. Raises HubError, KeyFileError, WrongPassphrase."""
    running = await start(settings, load_keys(settings.keys, secret), clock=clock)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    try:
        await ended.wait()
    finally:
        log.info("the hub is stopping", extra={"event": "hub_stopping"})
        await running.stop()


async def start(settings: Settings, keys: HubKeys, *, clock: Callable[[], int] = system_clock) -> RunningHub:
    """Open the database and listen. A port 0 means any free one. Raises HubError UNAVAILABLE if a port is taken."""
    settings = _with_ports(settings)
    db, directory = await asyncio.to_thread(open_parts, settings, keys)
    try:
        sessions, wakeups, metrics = PushSessions(), Wakeups(), Metrics()
        hub = Hub(settings=settings, db=db, keys=keys, directory=directory, sessions=sessions, clock=clock)
        switch = Switch(
            queue_frames=settings.relay_queue_frames,
            max_frame_bytes=settings.max_message_bytes,
            idle_s=settings.exchange_idle_s,
            capture=settings.relay_capture,
        )
        follower = RelayFollower(hub, switch)
        switch.listen(follower.paired)
        directory.attach(db)
        directory.listen(lambda document: cut_off(hub, document))
        db.subscribe(wakeups.hear)
        db.subscribe(follower.hear)
        sessions.listen(follower.cut_off)
        metrics.watch(db, sessions, switch)
        checker = health.aio.HealthServicer()
        servers = _servers(hub, sessions, wakeups, switch, metrics, checker)
        running = RunningHub(
            hub=hub, sessions=sessions, switch=switch, metrics=metrics, servers=servers, health=checker
        )
        await CheckpointClock(hub).tick()
        if settings.metrics_address:
            metrics.serve(settings.metrics_address)
        for server in servers:
            await server.start()
    except BaseException:
        await asyncio.to_thread(db.close)
        raise
    await checker.set("", HealthCheckResponse.SERVING)
    running.tasks += [asyncio.create_task(job) for job in _jobs(hub, switch)]
    log.info("the hub listens", extra={"event": "hub_started", "address": settings.node_address})
    return running


def _jobs(hub: Hub, switch: Switch) -> list[Coroutine[Any, Any, None]]:
    return [
        CheckpointClock(hub).run(),
        repeat("expire_consents", EXPIRE_CONSENTS_EVERY_S, lambda: expire_due(hub)),
        repeat("expire_exchanges", EXPIRE_EXCHANGES_EVERY_S, lambda: expire_abandoned(hub, switch.exchanges())),
    ]


def _servers(
    hub: Hub,
    sessions: PushSessions,
    wakeups: Wakeups,
    switch: Switch,
    metrics: Metrics,
    checker: health.aio.HealthServicer,
) -> list[aio.Server]:
    settings = hub.settings
    outer: list[Surround] = [metrics.calls(STREAMS), errors]
    inner = deadline(settings.unary_deadline_s, unlimited=STREAMS)
    public = _server(settings, [*outer, by_address(RateLimit(settings.public_calls_per_s)), inner])
    public_pb2_grpc.add_EnrolmentServicer_to_server(EnrolmentServicer(hub), public)
    public_pb2_grpc.add_SubjectsServicer_to_server(SubjectsServicer(hub, wakeups), public)
    members = by_member(RateLimit(settings.member_calls_per_s))
    node = _server(settings, [*outer, node_identity(hub), members, inner])
    node_pb2_grpc.add_ControlServicer_to_server(push_rpc.ControlServicer(hub, sessions, wakeups), node)
    node_pb2_grpc.add_LogsServicer_to_server(LogsServicer(hub), node)
    node_pb2_grpc.add_ProductsServicer_to_server(ProductsServicer(hub), node)
    node_pb2_grpc.add_ModelsServicer_to_server(ModelsServicer(hub), node)
    node_pb2_grpc.add_ConsentsServicer_to_server(ConsentsServicer(hub), node)
    node_pb2_grpc.add_ExchangesServicer_to_server(ExchangesServicer(hub, sessions.is_connected), node)
    node_pb2_grpc.add_UsageServicer_to_server(UsageServicer(hub), node)
    relay_rpc.add_to_server(relay_rpc.RelayServicer(hub, switch), node)
    admin = _server(settings, [*outer, inner])
    admin_pb2_grpc.add_AdminServicer_to_server(AdminServicer(hub, HubBackoffice(hub)), admin)
    for server in (public, node, admin):
        health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    pair = make_server_certificate(hub.keys, [settings.public_address, settings.node_address], now=utc(hub.clock()))
    mutual = grpc.ssl_server_credentials([pair], hub.keys.authority_cert, require_client_auth=True)
    _bind(public, settings.public_listen, grpc.ssl_server_credentials([pair]))
    _bind(node, settings.node_listen, mutual)
    _bind_socket(admin, settings.socket)
    return [public, node, admin]


def _server(settings: Settings, surrounds: Sequence[Surround]) -> aio.Server:
    # The transport's own limit is a little wider than ours, so that what is too large is refused with our error.
    limit = settings.max_message_bytes + 64 * 1024
    return aio.server(
        interceptors=[Around(one) for one in surrounds],
        options=(
            ("grpc.max_receive_message_length", limit),
            ("grpc.max_send_message_length", limit),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            # Nodes ping while nothing is called; that must not count as abuse.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.http2.max_ping_strikes", 0),
        ),
    )


def _bind(server: aio.Server, address: str, credentials: grpc.ServerCredentials) -> None:
    try:
        server.add_secure_port(address, credentials)
    except RuntimeError as problem:
        raise HubError(
            "UNAVAILABLE", f"{address} cannot be listened on; another program has it, or set another"
        ) from problem


def _bind_socket(server: aio.Server, path: Path) -> None:
    """The operator's socket: only this account may open it, from its first moment on."""
    with suppress(FileNotFoundError):
        path.unlink()
    before = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as problem:
        raise HubError(
            "UNAVAILABLE", f"the operator's socket {path.name} cannot be made in the hub's home"
        ) from problem
    finally:
        os.umask(before)


def _with_ports(settings: Settings) -> Settings:
    """The listen addresses, and in place of port 0 a free port, which the public names then tell too."""
    changes: dict[str, str] = {}
    for name in ("public", "node"):
        told = getattr(settings, f"{name}_address")
        listen = getattr(settings, f"{name}_listen") or told
        host, _, port = listen.rpartition(":")
        if port == "0":
            free = _free_port(host.strip("[]"))
            listen = f"{host}:{free}"
            if told.endswith(":0"):
                changes[f"{name}_address"] = f"{told.rpartition(':')[0]}:{free}"
        changes[f"{name}_listen"] = listen
    return msgspec.structs.replace(settings, **changes)


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
