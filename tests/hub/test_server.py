from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import shutil
import signal
import stat
import tempfile
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from xinqiao.v1 import admin_pb2, node_pb2, node_pb2_grpc, public_pb2, public_pb2_grpc

from hub import json_logs, server
from hub.errors import HubError
from hub.jobs import repeat
from hub.keys import HubKeys, create_keys
from hub.members.setup import init_hub
from hub.settings import Settings
from tests.hub.live import BANK, LiveHub, Node, admin_stub, refused_with, running_hub, until
from trust.certificates import create_authority, issue, make_csr
from trust.document import SignedDocument


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="xqhub"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def test_the_operators_socket_is_the_accounts_own_and_answers(sqlite_live: LiveHub) -> None:
    mode = stat.S_IMODE(sqlite_live.hub.settings.socket.stat().st_mode)
    assert mode == 0o600
    stub, channel = admin_stub(sqlite_live)
    await sqlite_live.bank.connect()
    status = await stub.GetStatus(admin_pb2.GetStatusRequest())
    assert (status.members, status.nodes, list(status.connected_nodes)) == (2, 2, ["firstbank-1"])
    await channel.close()


async def test_without_a_certificate_the_node_port_is_closed(sqlite_live: LiveHub) -> None:
    credentials = grpc.ssl_channel_credentials(sqlite_live.hub.keys.authority_cert)
    async with aio.secure_channel(sqlite_live.hub.settings.node_address, credentials) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            await node_pb2_grpc.ControlStub(channel).Ping(node_pb2.PingRequest())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE  # type: ignore[attr-defined]


async def test_a_certificate_of_another_authority_is_not_let_in(sqlite_live: LiveHub) -> None:
    now = datetime.now(UTC)
    key, authority = create_authority("another", lambda: now)
    tls_key, csr = make_csr("firstbank-1")
    certificate = issue(key, authority, csr, member_id=BANK, node_id="firstbank-1", now=now)
    credentials = grpc.ssl_channel_credentials(sqlite_live.hub.keys.authority_cert, tls_key, certificate)
    async with aio.secure_channel(sqlite_live.hub.settings.node_address, credentials) as channel:
        with pytest.raises(grpc.RpcError):
            await node_pb2_grpc.ControlStub(channel).Ping(node_pb2.PingRequest())


async def test_a_certificate_that_was_never_issued_is_refused_though_the_authority_signed_it(
    sqlite_live: LiveHub,
) -> None:
    keys = sqlite_live.hub.keys
    tls_key, csr = make_csr("firstbank-1")
    certificate = issue(
        keys.authority_key, keys.authority_cert, csr, member_id=BANK, node_id="firstbank-1", now=datetime.now(UTC)
    )
    credentials = grpc.ssl_channel_credentials(keys.authority_cert, tls_key, certificate)
    async with (
        aio.secure_channel(sqlite_live.hub.settings.node_address, credentials) as channel,
        refused_with("UNAUTHENTICATED"),
    ):
        await node_pb2_grpc.ControlStub(channel).Ping(node_pb2.PingRequest())


async def test_health_is_answered_on_the_public_port(sqlite_live: LiveHub) -> None:
    reply = await health_pb2_grpc.HealthStub(sqlite_live.public).Check(health_pb2.HealthCheckRequest())
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_the_hub_tells_the_ports_that_it_really_took(sqlite_live: LiveHub) -> None:
    info = await public_pb2_grpc.EnrolmentStub(sqlite_live.public).GetHubInfo(public_pb2.GetHubInfoRequest())
    assert info.node_address == sqlite_live.hub.settings.node_address
    assert not info.node_address.endswith(":0")


async def test_a_taken_port_is_named_and_nothing_stays_open(
    home: Path, hub_keys: HubKeys, sqlite_live: LiveHub
) -> None:
    taken = sqlite_live.hub.settings.node_address
    with pytest.raises(HubError, match=taken):
        await server.start(Settings(home=home, public_address="127.0.0.1:0", node_address=taken), hub_keys)


async def test_metrics_count_calls_and_show_the_state_without_names(home: Path, hub_keys: HubKeys) -> None:
    port = server._free_port("127.0.0.1")
    async with running_hub(home, hub_keys, metrics_address=f"127.0.0.1:{port}") as live:
        await live.bank.connect()
        await live.bank.control.Ping(node_pb2.PingRequest())
        async with refused_with("NOT_FOUND"):
            await live.bank.exchanges.GetExchange(node_pb2.GetExchangeRequest(exchange_id="x"))
        read = lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()  # noqa: E731
        text = await asyncio.to_thread(read)
    assert 'xinqiao_hub_calls_total{code="OK",method="/xinqiao.v1.Control/Ping"} 1.0' in text
    assert 'xinqiao_hub_calls_total{code="NOT_FOUND",method="/xinqiao.v1.Exchanges/GetExchange"} 1.0' in text
    assert "xinqiao_hub_connected_nodes 1.0" in text
    assert "firstbank" not in text


async def test_a_restarted_hub_knows_everything_and_its_nodes_come_back(home: Path, hub_keys: HubKeys) -> None:
    async with running_hub(home, hub_keys) as live:
        given = await live.give_consent()
        nodes = await live.hub.db.read(lambda read: live.hub.directory.current.size)
        await live.provider.connect()
        stopping = asyncio.create_task(live.running.stop(grace_s=0.2))
        await until(lambda: live.provider.ended is not None)
        await stopping
        again = await server.start(live.hub.settings, hub_keys)
        try:
            assert again.hub.directory.current.size == nodes
            await connect_again(live.provider)
            await until(lambda: live.provider.leaves("consent/taxoffice"))
            assert given.record_id.encode() in _payload(live.provider.leaves("consent/taxoffice")[0])
        finally:
            await live.provider.disconnect()
            await again.stop(grace_s=0.2)


async def connect_again(node: Node) -> None:
    """A channel remembers for a moment that nobody listened."""
    async with asyncio.timeout(5):
        while True:
            try:
                return await node.connect()
            except grpc.RpcError:
                await asyncio.sleep(0.05)


def _payload(leaf: bytes) -> bytes:
    return SignedDocument.decode(leaf).payload


async def test_serve_runs_until_sigterm(home: Path) -> None:
    settings = Settings(home=home, public_address="127.0.0.1:0", node_address="127.0.0.1:0")
    init_hub(settings, b"secret")
    serving = asyncio.create_task(server.serve(settings, b"secret"))
    await until(lambda: settings.socket.exists() or serving.done())
    await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, 30)
    assert not settings.socket.exists()


def logged(*, level: int = logging.INFO, error: BaseException | None = None, **extra: object) -> dict[str, object]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(json_logs.JsonFormatter())
    record = logging.getLogger("hub.test").makeRecord(
        "hub.test",
        level,
        __file__,
        1,
        "said",
        (),
        (type(error), error, error.__traceback__) if error else None,
        extra=extra,
    )
    handler.handle(record)
    return dict(json.loads(stream.getvalue()))


def test_a_log_line_carries_the_known_fields_and_no_others() -> None:
    line = logged(event="exchange_opened", exchange="e-1", ms=3, uscc="91110000Y00000016N", payload=b"secret")
    assert (line["event"], line["exchange"], line["ms"], line["message"]) == ("exchange_opened", "e-1", 3, "said")
    assert "91110000Y00000016N" not in json.dumps(line)
    assert "secret" not in json.dumps(line)


def test_of_an_exception_the_kind_and_the_places_are_logged_but_not_its_text() -> None:
    try:
        raise ValueError("91110000Y00000016N")
    except ValueError as problem:
        line = logged(error=problem)
    assert line["failure"] == ["builtins.ValueError"]
    assert "test_of_an_exception" in str(line["places"])
    assert "91110000Y00000016N" not in json.dumps(line)


async def test_a_job_goes_on_after_failures_of_any_kind(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[int] = []

    async def once() -> bool:
        turns.append(len(turns))
        if len(turns) == 1:
            raise HubError("DISK_FULL")
        if len(turns) == 2:
            raise RuntimeError("unforeseen")
        return len(turns) < 5

    task = asyncio.create_task(repeat("test", 0.001, once))
    await until(lambda: len(turns) >= 6)
    task.cancel()
    assert [record.levelname for record in caplog.records if "job" in record.message] == ["WARNING", "ERROR"]


def test_keys_are_made_once(home: Path) -> None:
    create_keys(home / "keys", b"s", now=datetime.now(UTC))
    with pytest.raises(Exception, match=r"log\.pem"):
        create_keys(home / "keys", b"s", now=datetime.now(UTC))
