"""The service on real sockets: what it does not read, TLS, ports, and that it finishes what it began."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from xinqiao.v1 import score_pb2, score_pb2_grpc

from nodes.errors import SettingsInvalid
from nodes.service.keys import KeyStore
from nodes.service.roles import Roles
from nodes.service.schema import open_store
from nodes.service.server import Address, Bound, ServiceSettings, listen, serve
from tests.nodes.service.agent import SimulatedAgent, serving
from tests.nodes.service.conftest import NOW_MS, question

ANY = Address("127.0.0.1", 0)


def clock() -> int:
    return NOW_MS


@asynccontextmanager
async def running(home: Path, **options: Any) -> AsyncIterator[Bound]:
    """The service in this process, ended as an operator ends it."""
    ready: asyncio.Future[Bound] = asyncio.get_running_loop().create_future()
    settings = ServiceSettings(**({"home": home, "http": ANY, "grpc": None} | options))
    task = asyncio.create_task(serve(settings, clock=clock, ready=ready.set_result))
    await asyncio.wait([ready, task], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield ready.result()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        await task


async def made_key(home: Path) -> str:
    store = open_store(home)
    try:
        await Roles(store, clock).appoint("champion", "m-1", user="li", reason="x")
        return (await KeyStore(store, clock).create("portal", rights=("score",), user="li")).text
    finally:
        await store.close()


async def exchange(
    address: Address, sent: bytes, tls: ssl.SSLContext | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, and read one answer: its status, its headers and its body, up to where the other side closes."""
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls)
    try:
        writer.write(sent)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers["content-length"]))
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
    return int(head[0].split()[1]), headers, body


def post(key: str, body: bytes = b"", **headers: object) -> bytes:
    told = {"Host": "x", "Authorization": f"Bearer {key}", "Content-Type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = ["POST /v1/score HTTP/1.1", *(f"{name}: {value}" for name, value in told.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def test_a_body_of_100_megabytes_is_refused_before_any_of_it_is_read(tmp_path: Path) -> None:
    key = await made_key(tmp_path)
    async with running(tmp_path) as bound:
        for presented in (key, "nonsense"):  # nothing of the body was sent: the answer waits for none of it
            status, headers, body = await exchange(bound.http, post(presented, Content_Length=100 << 20))
            assert (status, json.loads(body)["code"]) == (413, "TOO_LARGE")
            assert headers["connection"] == "close"


async def test_a_body_that_does_not_tell_its_length_is_cut_off_at_the_limit(tmp_path: Path) -> None:
    key = await made_key(tmp_path)
    async with running(tmp_path) as bound:
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        status, headers, body = await exchange(bound.http, post(key, chunk * 17, Transfer_Encoding="chunked"))
        assert (status, json.loads(body)["code"]) == (413, "TOO_LARGE")
        assert headers["connection"] == "close"


async def test_without_a_key_no_body_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path) as bound:
        status, headers, _ = await exchange(bound.http, post("nonsense", Content_Length=1000))
        assert (status, headers["connection"]) == (401, "close")


async def test_with_a_certificate_both_doors_speak_tls_and_nothing_else(tmp_path: Path) -> None:
    certificate, private_key = self_signed(tmp_path)
    key, agent = await made_key(tmp_path), SimulatedAgent()
    trusted = ssl.create_default_context(cafile=str(certificate))
    options = {"certificate": certificate, "private_key": private_key, "grpc": ANY}
    async with serving(tmp_path, agent), running(tmp_path, **options) as bound:
        body = json.dumps(question()).encode()
        status, _, answer = await exchange(bound.http, post(key, body, Content_Length=len(body)), trusted)
        assert (status, len(json.loads(answer)["results"])) == (200, 1)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await exchange(bound.http, post(key, body, Content_Length=len(body)))
        assert bound.grpc is not None
        credentials = grpc.ssl_channel_credentials(certificate.read_bytes())
        async with grpc.aio.secure_channel(str(bound.grpc), credentials) as channel:
            reply = await score_pb2_grpc.ScoringStub(channel).GetHealth(score_pb2.ScoringHealthRequest())
            assert reply.agent


async def test_who_is_being_answered_when_it_is_told_to_stop_gets_the_answer(tmp_path: Path) -> None:
    key, agent = await made_key(tmp_path), SimulatedAgent(wait=asyncio.Event())
    body = json.dumps(question()).encode()
    async with serving(tmp_path, agent):
        async with running(tmp_path) as bound:
            asking = asyncio.create_task(exchange(bound.http, post(key, body, Content_Length=len(body))))
            while not agent.asked:
                await asyncio.sleep(0.005)
            assert agent.wait is not None
            asyncio.get_running_loop().call_later(0.1, agent.wait.set)
        assert (await asking)[0] == 200


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    async with running(tmp_path, grpc=ANY) as bound:
        for options in ({"http": bound.http}, {"grpc": bound.grpc}):
            with pytest.raises(SettingsInvalid, match="choose a free port"):
                async with running(tmp_path, **options):
                    pass


def test_answers_are_sent_at_once() -> None:
    with contextlib.closing(listen(ANY)) as listening:
        assert listening.proto == socket.IPPROTO_TCP  # by which asyncio knows that it may turn Nagle's delay off


@pytest.mark.parametrize(
    ("text", "only_here"),
    [("127.0.0.1:1", True), ("localhost:1", True), ("[::1]:1", True), ("0.0.0.0:1", False), ("bank.example:1", False)],
)
def test_which_addresses_only_this_machine_reaches(text: str, only_here: bool) -> None:
    address = Address.parse(text)
    assert (address.only_here, str(address)) == (only_here, text)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate, private_key = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private_key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private_key
