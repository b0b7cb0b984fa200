"""The doctor names what is wrong, against real sockets and files, and does not guess at what it could not try."""

from __future__ import annotations

import asyncio
import datetime
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from cli.doctor_command import result_of
from consent.catalogue import load_catalogue
from nodes.credentials import TlsPair
from nodes.doctor import (
    Limits,
    Pong,
    check_certificate,
    check_clock,
    check_connection,
    check_name,
    check_proxy,
    check_tcp,
    check_tls,
    examine,
    split_address,
)
from nodes.doctor_local import Finding, check_disk, check_executor, check_socket_path, check_sources
from nodes.settings import agent_socket_path
from tests.nodes.hub_server import NODE, ServedHub, Site, serve, utc_now
from tests.nodes.hub_simulator import NOW_MS, PROVIDER, HubSimulator
from trust.certificates import create_authority, issue, make_csr
from trust.keyfile import write_protected

QUICK = Limits(timeout_s=5.0, idle_s=0.05)
CONNECTED = ("hub", "clock", "keepalive", "message_size")
DAY = datetime.timedelta(days=1)


@pytest_asyncio.fixture
async def site() -> AsyncIterator[Site]:
    now_ms = int(utc_now().timestamp() * 1000)
    async with serve(HubSimulator(time_ms=now_ms)) as (_, made):
        yield made


@pytest.fixture
def closed_port() -> Iterator[int]:
    # Bound and not listening: nobody else can take it while the test runs.
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def now_ms() -> int:
    return int(utc_now().timestamp() * 1000)


def make_home(folder: Path, served: ServedHub, pair: TlsPair, node_id: str = NODE) -> Path:
    (folder / "keys").mkdir(parents=True)
    (folder / "node.toml").write_text(f'node_id = "{node_id}"\nmember_id = "{PROVIDER}"\n')
    (folder / "hub.json").write_bytes(served.facts().encode())
    write_protected(folder / "keys" / "tls.key", pair.key_pem)
    write_protected(folder / "keys" / "tls.crt", pair.certificate_pem)
    return folder


async def examined(home: Path, environment: dict[str, str] | None = None) -> dict[str, Finding]:
    found = await examine(home, environment or {}, load_catalogue(), now_ms, QUICK)
    assert len({finding.check for finding in found}) == len(found)
    return {finding.check: finding for finding in found}


async def test_a_healthy_node_passes_every_check(site: Site, tmp_path: Path) -> None:
    home = make_home(tmp_path / "n", site.served, site.served.pair())
    found = await examined(home)
    network = ("files", "name", "proxy", "tcp", "tls", "certificate", *CONNECTED)
    assert tuple(found) == (*network, "disk", "socket", "sources", "probing", "executor")
    assert [finding for name, finding in found.items() if not finding.ok and name != "disk"] == []


def test_an_executor_is_given_a_piece_of_work() -> None:
    assert check_executor("").ok
    assert check_executor("processes").ok
    found = check_executor("ray://127.0.0.1:1")
    assert not found.ok
    assert "nothing answers at ray://127.0.0.1:1" in found.what
    assert "RAY_*" in found.fix


async def test_a_stopped_hub_is_found_at_tcp_and_the_rest_is_not_tried(site: Site, tmp_path: Path) -> None:
    home = make_home(tmp_path / "n", site.served, site.served.pair())
    await site.stop()
    found = await examined(home)
    assert found["name"].ok
    assert found["certificate"].ok
    assert not found["tcp"].ok
    assert "Not tried" not in found["tcp"].what
    for check in ("tls", *CONNECTED):
        assert not found[check].ok
        assert found[check].what == "Not tried, because tcp failed."
    assert result_of(tuple(found.values())).exit_code == 4


async def test_a_home_that_is_not_enrolled_is_told_first(tmp_path: Path) -> None:
    found = await examined(tmp_path)
    assert "enrol" in found["files"].what
    assert found["hub"].what == "Not tried, because files failed."
    assert found["socket"].ok
    assert result_of(tuple(found.values())).exit_code == 7


async def test_a_name_that_does_not_resolve_is_named() -> None:
    found = await check_name("nowhere.invalid")
    assert not found.ok
    assert "nowhere.invalid" in found.what
    assert (await check_name("127.0.0.1")).ok


async def test_a_closed_port_is_named(closed_port: int) -> None:
    found = await check_tcp("127.0.0.1", closed_port)
    assert not found.ok
    assert str(closed_port) in found.fix


@pytest.mark.parametrize(
    ("environment", "ok"),
    [
        ({}, True),
        ({"https_proxy": ""}, True),
        ({"https_proxy": "http://user:word@proxy:3128"}, False),
        ({"http_proxy": "http://user:word@proxy:3128"}, False),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "*"}, False),
        ({"grpc_proxy": "http://proxy:3128", "no_proxy": "other.example"}, False),
        ({"grpc_proxy": "http://proxy:3128", "NO_PROXY": "hub.example"}, False),
        ({"grpc_proxy": "http://proxy:3128", "no_proxy": "localhost, .example"}, True),
        ({"https_proxy": "http://proxy:3128", "no_proxy": "HUB.example"}, True),
        ({"https_proxy": "http://proxy:3128", "no_grpc_proxy": "other", "no_proxy": "hub.example"}, False),
    ],
)
def test_a_proxy_that_would_carry_the_connection_is_named(environment: dict[str, str], ok: bool) -> None:
    found = check_proxy("hub.example", environment)
    assert found.ok is ok
    assert "word" not in found.what + found.fix


def test_an_upper_case_variable_that_grpc_does_not_read_is_remarked() -> None:
    found = check_proxy("hub.example", {"HTTPS_PROXY": "http://user:word@proxy:3128"})
    assert found.ok
    assert "HTTPS_PROXY is set" in found.what
    assert "user:word" not in found.what


def test_a_network_in_no_proxy_exempts_an_address() -> None:
    environment = {"https_proxy": "http://proxy:3128", "no_proxy": "10.0.0.0/8"}
    assert check_proxy("10.1.2.3", environment).ok
    assert not check_proxy("11.1.2.3", environment).ok


async def test_another_authority_is_told_from_another_host_and_from_no_tls(site: Site) -> None:
    host, port = split_address(site.served.node_address)
    assert (await check_tls(host, port, site.served.authority_pem)).ok
    _, other = create_authority("other", utc_now)
    assert "not from the authority" in (await check_tls(host, port, other)).what
    # 127.1 reaches the same server by a name that its certificate lacks.
    assert "does not name 127.1" in (await check_tls("127.1", port, site.served.authority_pem)).what


async def test_a_port_that_speaks_no_tls_is_named() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    _, authority = create_authority("any", utc_now)
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        assert (await check_tcp("127.0.0.1", port)).ok
        found = await check_tls("127.0.0.1", port, authority)
    assert not found.ok
    assert "No TLS" in found.what


@pytest.mark.parametrize(
    ("after", "ok", "words"),
    [
        (1 * DAY, True, "renewal is not due"),
        (12 * DAY, True, "renewal is due"),
        (25 * DAY, False, "not renewed"),
        (31 * DAY, False, "CERTIFICATE_EXPIRED"),
        (-1 * DAY, False, "clock"),
    ],
)
def test_the_life_of_the_certificate_is_told(after: datetime.timedelta, ok: bool, words: str) -> None:
    key, authority = create_authority("authority", utc_now)
    now = utc_now()
    pem = issue(key, authority, make_csr(NODE)[1], member_id=PROVIDER, node_id=NODE, now=now)
    found = check_certificate(pem, authority, member_id=PROVIDER, node_id=NODE, now=now + after)
    assert (found.ok, words in found.what) == (ok, True)
    assert ok is (found.fix == "")


def test_a_certificate_of_another_node_or_authority_is_named() -> None:
    key, authority = create_authority("authority", utc_now)
    pem = issue(key, authority, make_csr("other-1")[1], member_id=PROVIDER, node_id="other-1", now=utc_now())
    assert "other-1" in check_certificate(pem, authority, member_id=PROVIDER, node_id=NODE, now=utc_now()).what
    _, stranger = create_authority("stranger", utc_now)
    found = check_certificate(pem, stranger, member_id=PROVIDER, node_id="other-1", now=utc_now())
    assert not found.ok
    assert "authority" in found.what


async def test_the_hub_refuses_a_certificate_of_another_authority(site: Site) -> None:
    key, authority = create_authority("stranger", utc_now)
    key_pem, csr = make_csr(NODE)
    pem = issue(key, authority, csr, member_id=PROVIDER, node_id=NODE, now=utc_now())
    stranger = TlsPair(key_pem=key_pem, certificate_pem=pem)
    found = await check_connection(site.served.facts(), stranger, now_ms, QUICK)
    assert [finding.check for finding in found] == list(CONNECTED)
    assert "UNAVAILABLE" in found[0].what
    assert [finding.what for finding in found[1:]] == ["Not tried, because hub failed."] * 3


@pytest.mark.parametrize(("ahead_ms", "ok"), [(0, True), (60_000, True), (60_001, False), (-60_001, False)])
def test_more_than_a_minute_is_a_skewed_clock(ahead_ms: int, ok: bool) -> None:
    ours = NOW_MS + ahead_ms
    found = check_clock(Pong(hub_ms=NOW_MS, sent_ms=ours - 40, received_ms=ours + 40))
    assert found.ok is ok
    assert ("CLOCK_SKEW" in found.what) is not ok


async def test_a_skewed_clock_is_found_over_the_wire(site: Site) -> None:
    hub_ms = site.served.hub.time_ms
    found = await check_connection(site.served.facts(), site.served.pair(), lambda: hub_ms + 90_000, QUICK)
    assert [(finding.check, finding.ok) for finding in found] == [
        ("hub", True),
        ("clock", False),
        ("keepalive", True),
        ("message_size", True),
    ]
    assert "90.0 s ahead" in found[1].what


async def test_a_message_above_the_hubs_limit_is_told_as_such(site: Site) -> None:
    # The simulated hub keeps gRPC's own limit of 4 MiB; the node may send 64 KiB more.
    limits = Limits(timeout_s=5.0, idle_s=0.0, ping_bytes=(4 << 20) + 1024)
    found = await check_connection(site.served.facts(), site.served.pair(), now_ms, limits)
    assert not found[3].ok
    assert "more than the hub takes" in found[3].what
    assert "max_frame_bytes" in found[3].fix


def test_little_space_a_slow_disk_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    assert check_disk(tmp_path, least_free_bytes=0, slowest_fsync_s=60).ok
    assert "Less than" in check_disk(tmp_path, least_free_bytes=1 << 60).what
    ticks = iter(range(0, 100))
    slow = check_disk(tmp_path, least_free_bytes=0, timer=lambda: float(next(ticks)))
    assert not slow.ok
    assert "1000.0 ms" in slow.what
    assert not check_disk(tmp_path / "none", least_free_bytes=0).ok
    assert list(tmp_path.iterdir()) == []


def test_the_length_of_the_sockets_path_is_told(tmp_path: Path) -> None:
    long = tmp_path / ("d" * 120)
    assert check_socket_path(tmp_path, tmp_path / "agent.sock").ok
    assert "too long" in check_socket_path(long, agent_socket_path(long)).what
    assert not check_socket_path(long, long / "agent.sock").ok


def test_sources_that_cannot_be_used_or_have_no_file_are_named(tmp_path: Path) -> None:
    catalogue, file = load_catalogue(), tmp_path / "sources.toml"
    assert check_sources(file, catalogue).ok
    file.write_text("[[source]\n")
    assert not check_sources(file, catalogue).ok
    item = next(item for item in catalogue.items.values() if item.provided)
    for path, name in (("data.csv", "data.csv"), ("parts/*.csv", "parts/a.csv")):
        file.write_text(f'[[source]]\nname = "one"\ntype = "csv"\nitem_id = "{item.id}"\npath = "{path}"\n')
        missing = check_sources(file, catalogue)
        assert not missing.ok
        assert path in missing.what
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("uscc\n")
        assert check_sources(file, catalogue).ok
