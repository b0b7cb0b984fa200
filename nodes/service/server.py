"""The service's process: both doors beside the agent, until it is told to stop.

An API key is a password: without TLS the service listens on this machine only (behind a reverse proxy of this machine, that is).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Self

import grpc
import uvicorn
from xinqiao.v1 import score_pb2_grpc

from nodes.errors import SettingsInvalid
from nodes.service.agent import Agent, AgentLink
from nodes.service.answers import Answers
from nodes.service.gate import App, Gate
from nodes.service.health import Health
from nodes.service.http import application
from nodes.service.keys import KeyStore, RateLimit
from nodes.service.ledger import Ledger
from nodes.service.prometheus import ServiceMetrics
from nodes.service.records import Records
from nodes.service.roles import Roles
from nodes.service.rpc import OPTIONS, ScoringRpc
from nodes.service.schema import open_store
from nodes.service.scoring import ScoringService
from nodes.service.watch import Watch
from nodes.store import Store

log = logging.getLogger(__name__)

GRACE_S: Final = 5
_BACKLOG: Final = 256
_MOST_CALLS: Final = 256
"""At once, at each door: with bodies of 1 MiB what they hold in memory has a bound."""


@dataclass(frozen=True)
class Address:
    """Where a door is. Port 0: any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read host:port, an IPv6 address in brackets. Raises SettingsInvalid."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise SettingsInvalid(f"{text!r} is no address; write host:port, as 127.0.0.1:8090.")
        return cls(host.strip("[]"), int(port))

    @property
    def only_here(self) -> bool:
        """Whether only programs of this machine reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """`http`, `grpc`: where the doors are, None for no such door. `certificate`, `private_key`: PEM files, both or none."""

    home: Path
    http: Address
    grpc: Address | None
    certificate: Path | None = None
    private_key: Path | None = None

    def __post_init__(self) -> None:
        """Raises SettingsInvalid for half of a TLS identity, and for a door that others reach without TLS."""
        if (self.certificate is None) != (self.private_key is None):
            raise SettingsInvalid("TLS needs both --tls-cert and --tls-key.")
        for file in (self.certificate, self.private_key):
            if file is not None and not file.is_file():
                raise SettingsInvalid(f"{file} is not there; name the PEM file of the certificate and of its key.")
        open_doors = [str(each) for each in (self.http, self.grpc) if each is not None and not each.only_here]
        if open_doors and self.certificate is None:
            raise SettingsInvalid(
                f"API keys would travel in the clear at {', '.join(open_doors)}. Listen on 127.0.0.1 behind a reverse proxy with TLS, "
                "or give --tls-cert and --tls-key."
            )


@dataclass(frozen=True)
class Bound:
    """Where the doors are indeed."""

    http: Address
    grpc: Address | None


@dataclass(frozen=True)
class Assembly:
    """The service, put together: both doors and what stands behind them."""

    gate: Gate
    rpc: ScoringRpc
    service: ScoringService
    keys: KeyStore
    records: Records
    roles: Roles


def assemble(store: Store, agent: Agent, clock: Callable[[], int]) -> Assembly:
    """Put the service together. `clock`: milliseconds since the epoch."""
    metrics, health = ServiceMetrics(), Health(agent)
    keys, limit = KeyStore(store, clock), RateLimit()
    records, roles = Records(store, clock), Roles(store, clock)
    answers = Answers(store, clock)
    service = ScoringService(agent, roles, answers, Ledger(store, answers, records, clock), metrics)
    watch = Watch(records, roles, agent, clock)
    app = application(service, records, watch, metrics, health, version("xinqiao"))
    return Assembly(
        gate=Gate(app, keys, limit, metrics),
        rpc=ScoringRpc(service, records, keys, limit, health, metrics),
        service=service,
        keys=keys,
        records=records,
        roles=roles,
    )


class _Server(uvicorn.Server):
    """Signals are ours: both doors stop together."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    settings: ServiceSettings, *, clock: Callable[[], int], ready: Callable[[Bound], None] = lambda _: None
) -> None:
    """Serve until SIGTERM or SIGINT; what was begun is finished. Raises SettingsInvalid, StoreFailed.

    `ready` is told where the doors are once both answer. `clock`: milliseconds since the epoch.
    """
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(listen(settings.http))
        store = open_store(settings.home)
        stack.push_async_callback(store.close)
        agent = await stack.enter_async_context(AgentLink(settings.home))
        made = assemble(store, agent, clock)
        stack.push_async_callback(made.service.close)
        bound_grpc = await _open_grpc(settings, made.rpc, stack)
        server = _Server(_config(settings, made.gate))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: setattr(server, "should_exit", True))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started and not serving.done():  # uvicorn has nothing to wait for
            await asyncio.sleep(0.01)
        if server.started:
            host, port = listening.getsockname()[:2]
            ready(Bound(Address(host, port), bound_grpc))
            log.info("score_serving", extra={"http": f"{host}:{port}", "grpc": str(bound_grpc)})
        await serving


def _config(settings: ServiceSettings, app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CALLS,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.private_key,
    )


def listen(address: Address) -> socket.socket:
    """A socket that listens there. Raises SettingsInvalid if it cannot be had."""
    try:
        family, kind, _, _, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        # asyncio sends small answers at once only where the socket itself says that it is TCP; else each waits 40 ms for an ACK
        listening = socket.socket(family, kind, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(where)
            listening.listen(_BACKLOG)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise SettingsInvalid(f"{address} cannot be listened on ({error.strerror}); choose a free port.") from error
    return listening


async def _open_grpc(settings: ServiceSettings, rpc: ScoringRpc, stack: AsyncExitStack) -> Address | None:
    """The second door, if there is one. Raises SettingsInvalid."""
    if settings.grpc is None:
        return None
    server = grpc.aio.server(options=(*OPTIONS, ("grpc.so_reuseport", 0)), maximum_concurrent_rpcs=_MOST_CALLS)
    score_pb2_grpc.add_ScoringServicer_to_server(rpc, server)
    try:
        if settings.certificate is None or settings.private_key is None:
            port = server.add_insecure_port(str(settings.grpc))
        else:
            pair = (settings.private_key.read_bytes(), settings.certificate.read_bytes())
            port = server.add_secure_port(str(settings.grpc), grpc.ssl_server_credentials([pair]))
    except RuntimeError as error:
        raise SettingsInvalid(f"{settings.grpc} cannot be listened on; choose a free port.") from error
    await server.start()
    stack.push_async_callback(server.stop, GRACE_S)
    return Address(settings.grpc.host, port)
