"""What is wrong between a node and its hub, or on the node's own machine; works with or without a running agent.

The rules of this module:
1. Every check is one function of its inputs that returns one `Finding`; clock, environment and limits are parameters.
2. A check that needs an earlier one that failed is not tried, and says so: only the first cause is worth mending.
3. Nothing is changed on the node, save that a renewal which was interrupted is completed (`nodes.credentials`). The checks
   of the machine itself are in `nodes.doctor_local`; that of requesters who may be probing is in `nodes.scoring.flagged`.
4. The transport's own words may be quoted here, and only here: whoever asks the doctor looks for them.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import grpc
from xinqiao.v1 import node_pb2

from consent.catalogue import Catalogue
from nodes.credentials import HubFacts, TlsPair, load_hub, load_tls
from nodes.doctor_local import Finding, check_disk, check_executor, check_socket_path, check_sources
from nodes.errors import NodeError
from nodes.hub_channel import HubStubs, open_channel, rpc, stubs_of
from nodes.scoring.flagged import check_probing
from nodes.settings import Settings, agent_socket_path, load_settings
from trust.certificates import parse_identity, renewal_due, verify_current, verify_issued_by
from trust.errors import CertificateRejected

TIMEOUT_S: Final = 10.0
IDLE_S: Final = 2.0
MAX_SKEW_MS: Final = 60_000
PING_BYTES: Final = (4 << 20) - (64 << 10)
"""A frame of 4 MiB less what its envelope takes."""

NETWORK_CHECKS: Final = frozenset({"name", "tcp", "hub", "keepalive"})
"""Checks whose failure means that the hub is not reachable; the failure of any other is one of configuration."""

# What gRPC reads, in its order: lower case only, and networks but no "*" among the exemptions (seen with grpcio 1.85.1).
_PROXY_VARIABLES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
_UNREAD: Final = ("HTTPS_PROXY", "HTTP_PROXY")
_EXEMPTIONS: Final = ("no_grpc_proxy", "no_proxy")
_WRONG_HOST: Final = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_WRONG_TIME: Final = frozenset({9, 10})  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED


@dataclass(frozen=True, kw_only=True)
class Pong:
    """What the hub's answer to the first Ping told: its clock, and ours before and after (all in ms since the epoch)."""

    hub_ms: int
    sent_ms: int
    received_ms: int


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long the doctor waits and how much it sends. Seconds and bytes."""

    timeout_s: float = TIMEOUT_S
    idle_s: float = IDLE_S
    ping_bytes: int = PING_BYTES


def split_address(address: str) -> tuple[str, int]:
    """Split host:port ([host]:port for IPv6). Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError(f"{address!r} is not host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


def not_tried(check: str, because: str) -> Finding:
    """The finding of a check that waits for another one (rule 2)."""
    return Finding(check, False, f"Not tried, because {because} failed.", f"Mend {because} first.")


async def check_name(host: str, timeout_s: float = TIMEOUT_S) -> Finding:
    """Whether the hub's host has an address."""
    try:
        async with asyncio.timeout(timeout_s):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        why = str(error) or f"no answer in {timeout_s:g} s"
        fix = "Ask whoever runs your name service for an entry, or put the hub into the hosts file."
        return Finding("name", False, f"The name {host} does not resolve: {why}.", fix)
    addresses = ", ".join(sorted({str(entry[4][0]) for entry in found}))
    return Finding("name", True, f"{host} is {addresses}.")


def check_proxy(host: str, environment: Mapping[str, str]) -> Finding:
    """Whether gRPC would send the connection through a proxy. The proxy's address is not told: it may hold a password."""
    chosen = next((name for name in _PROXY_VARIABLES if environment.get(name)), None)
    if chosen is None:
        unread = next((name for name in _UNREAD if environment.get(name)), None)
        remark = f" {unread} is set, but gRPC reads lower case only and dials the hub directly." if unread else ""
        return Finding("proxy", True, f"No proxy variable is set that gRPC reads.{remark}")
    source = next((name for name in _EXEMPTIONS if environment.get(name)), None)
    if source is not None and any(_exempts(entry.strip(), host) for entry in environment[source].split(",")):
        return Finding("proxy", True, f"{chosen} is set, and {source} exempts {host}.")
    return Finding(
        "proxy",
        False,
        f"{chosen} is set and no_proxy does not name {host}: the connection to the hub goes through that proxy, which most "
        "often ends long streams or replaces certificates.",
        f"Add {host} to no_proxy (lower case) in the environment of the agent, or unset {chosen} there.",
    )


def _exempts(entry: str, host: str) -> bool:
    if not entry:
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return host.lower().endswith(entry.lower())


async def check_tcp(host: str, port: int, timeout_s: float = TIMEOUT_S) -> Finding:
    """Whether something accepts connections at the hub's node port."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        why = str(error) or f"no answer in {timeout_s:g} s, as when a firewall drops packets"
        fix = f"Check that the hub runs, and have outbound TCP to {host} port {port} allowed."
        return Finding("tcp", False, f"{host} port {port} does not accept a connection: {why}.", fix)
    await _close(writer)
    return Finding("tcp", True, f"{host} port {port} accepts connections.")


async def check_tls(host: str, port: int, authority_pem: bytes, timeout_s: float = TIMEOUT_S) -> Finding:
    """Whether the hub's certificate chains to the pinned authority and names the host that is dialled."""
    try:
        # Only the pinned authority is trusted, not those of the system.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authority_pem.decode("ascii"))
        context.set_alpn_protocols(["h2"])
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        return _untrusted(host, error)
    except (ssl.SSLError, OSError, UnicodeError, TimeoutError) as error:
        what = f"No TLS with {host} port {port}: {error or 'no answer'}."
        fix = "Check that this is the hub's node port and that nothing between inspects TLS; the node needs TLS end to end."
        return Finding("tls", False, what, fix)
    version = writer.get_extra_info("ssl_object").version()
    await _close(writer)
    return Finding("tls", True, f"{version}; the certificate is from the pinned authority and names {host}.")


def _untrusted(host: str, error: ssl.SSLCertVerificationError) -> Finding:
    if error.verify_code in _WRONG_HOST:
        what = f"The hub's certificate does not name {host}."
        fix = "Have the hub's operator issue its certificate for this name, or enrol with a name that it has."
    elif error.verify_code in _WRONG_TIME:
        what = f"The hub's certificate is out of its time by this machine's clock: {error.verify_message}."
        fix = (
            "Compare the clock with a time server; if it is right, the hub's operator must renew the hub's certificate."
        )
    else:
        what = (
            f"The certificate that {host} shows is not from the authority pinned at enrolment: {error.verify_message}."
        )
        fix = (
            "If something inspects TLS, exempt the hub; if the hub was set up anew, enrol again. Else ask its operator."
        )
    return Finding("tls", False, what, fix)


def check_certificate(
    certificate_pem: bytes, authority_pem: bytes, *, member_id: str, node_id: str, now: datetime
) -> Finding:
    """Whether the node's own certificate is this node's, from the pinned authority, in time, and renewed as it should be."""
    again = "Enrol the node again with a new invitation."
    try:
        identity = parse_identity(certificate_pem)
        verify_issued_by(certificate_pem, authority_pem)
    except CertificateRejected as error:
        return Finding("certificate", False, f"The node's certificate cannot serve: {error}.", again)
    if (identity.member_id, identity.node_id) != (member_id, node_id):
        named = f"{identity.member_id}/{identity.node_id}"
        what = f"The certificate is for node {named}, and node.toml says {member_id}/{node_id}."
        return Finding("certificate", False, what, "Put the keys and node.toml of one node together, from its backup.")
    try:
        verify_current(identity, now)
    except CertificateRejected as error:
        code = "CERTIFICATE_EXPIRED: " if now > identity.not_after else ""
        return Finding("certificate", False, f"{code}{error}.", f"If the clock is right: {again[0].lower()}{again[1:]}")
    left = (identity.not_after - now).days
    if now >= identity.not_before + (identity.not_after - identity.not_before) * 2 / 3:
        what = f"{left} days left and not renewed, though that was due after a third of its life."
        return Finding("certificate", False, what, "Run the agent, it renews by itself; if it runs, look into its log.")
    state = "renewal is due, the running agent does it" if renewal_due(identity, now) else "renewal is not due yet"
    return Finding("certificate", True, f"{identity.node_id}, {left} days left; {state}.")


async def check_hub(stubs: HubStubs, now_ms: Callable[[], int], timeout_s: float) -> tuple[Finding, Pong | None]:
    """Whether the hub answers this node over mutual TLS, and what its clock says."""
    sent_ms = now_ms()
    try:
        reply = await _ping(stubs, b"", sent_ms, timeout_s)
    except NodeError as error:
        fix = (
            "The hub refuses this node: ask its operator about the node and its member."
            if error.code not in {"UNAVAILABLE", "INTERNAL"}
            else "If name, tcp and tls are well, the hub refuses the certificate, or a proxy is between; see proxy."
        )
        return Finding("hub", False, f"The hub does not answer this node: {_words(error)}.", fix), None
    received_ms = now_ms()
    pong = Pong(hub_ms=reply.time_ms, sent_ms=sent_ms, received_ms=received_ms)
    return Finding("hub", True, f"The hub answered over mutual TLS in {received_ms - sent_ms} ms."), pong


def check_clock(pong: Pong) -> Finding:
    """Whether this machine's clock and the hub's agree to a minute (protocols: CLOCK_SKEW), half the way there allowed for."""
    skew_ms = (pong.sent_ms + pong.received_ms) // 2 - pong.hub_ms
    told = f"{abs(skew_ms) / 1000:.1f} s {'ahead of' if skew_ms > 0 else 'behind'} the hub's"
    if abs(skew_ms) <= MAX_SKEW_MS:
        return Finding("clock", True, f"The clock is {told}.")
    fix = "Let both machines follow a time server (NTP); then restart the agent."
    return Finding("clock", False, f"CLOCK_SKEW: the clock is {told}; 60 s are tolerated.", fix)


async def check_keepalive(stubs: HubStubs, now_ms: Callable[[], int], limits: Limits) -> Finding:
    """Whether the same channel still works after it has been idle."""
    await asyncio.sleep(limits.idle_s)
    try:
        await _ping(stubs, b"", now_ms(), limits.timeout_s)
    except NodeError as error:
        fix = "Something between forgets idle connections within seconds: have its idle time raised above a minute."
        return Finding("keepalive", False, f"After {limits.idle_s:g} s idle the channel failed: {_words(error)}.", fix)
    return Finding("keepalive", True, f"The channel works after {limits.idle_s:g} s idle.")


async def check_message_size(stubs: HubStubs, now_ms: Callable[[], int], limits: Limits) -> Finding:
    """Whether a frame of full size goes to the hub and back whole."""
    size, fix = (
        limits.ping_bytes,
        "Have the hub's operator raise max_frame_bytes, and exempt the hub from TLS inspection.",
    )
    payload = bytes(size)
    try:
        reply = await _ping(stubs, payload, now_ms(), limits.timeout_s)
    except NodeError as error:
        limited = error.code == "TOO_LARGE" or _status(error) is grpc.StatusCode.RESOURCE_EXHAUSTED
        why = "it is more than the hub takes in one message" if limited else _words(error)
        return Finding("message_size", False, f"A message of {size:,} bytes did not come back: {why}.", fix)
    if reply.payload != payload:
        return Finding("message_size", False, f"A message of {size:,} bytes came back changed.", fix)
    return Finding("message_size", True, f"A message of {size:,} bytes came back whole.")


async def check_connection(
    hub: HubFacts, pair: TlsPair, now_ms: Callable[[], int], limits: Limits
) -> tuple[Finding, ...]:
    """The checks that need the hub's answer: hub, clock, keepalive, message_size."""
    async with open_channel(hub, pair) as channel:
        stubs = stubs_of(channel)
        reached, pong = await check_hub(stubs, now_ms, limits.timeout_s)
        if pong is None:
            return (reached, *(not_tried(check, "hub") for check in ("clock", "keepalive", "message_size")))
        alive = await check_keepalive(stubs, now_ms, limits)
        size = await check_message_size(stubs, now_ms, limits) if alive.ok else not_tried("message_size", "keepalive")
        return reached, check_clock(pong), alive, size


async def check_network(
    hub: HubFacts, environment: Mapping[str, str], timeout_s: float = TIMEOUT_S
) -> tuple[Finding, ...]:
    """The way to the hub: name, proxy, tcp, tls."""
    try:
        host, port = split_address(hub.node_address)
    except ValueError as error:
        fix = "Restore hub.json from the node's backup, or enrol again."
        broken = Finding("name", False, f"The hub's address cannot be used: {error}.", fix)
        return (broken, *(not_tried(check, "name") for check in ("proxy", "tcp", "tls")))
    name, proxy = await check_name(host, timeout_s), check_proxy(host, environment)
    tcp = await check_tcp(host, port, timeout_s) if name.ok else not_tried("tcp", "name")
    tls = await check_tls(host, port, hub.authority_pem, timeout_s) if tcp.ok else not_tried("tls", "tcp")
    return name, proxy, tcp, tls


async def examine(
    home: Path,
    environment: Mapping[str, str],
    catalogue: Catalogue,
    now_ms: Callable[[], int],
    limits: Limits | None = None,
) -> tuple[Finding, ...]:
    """Run all checks on the node in `home`, in the order in which they depend on each other. `now_ms`: this machine's clock."""
    limits = limits or Limits()
    files, settings, identity = _read_files(home, environment)
    local = (
        await asyncio.to_thread(check_disk, home),
        check_socket_path(home, agent_socket_path(home)),
        await asyncio.to_thread(check_sources, home / "sources.toml", catalogue),
        await asyncio.to_thread(check_probing, home / "node.db", now_ms()),
    )
    waiting = ("name", "proxy", "tcp", "tls", "certificate", "hub", "clock", "keepalive", "message_size")
    if settings is None or identity is None:
        return (files, *(not_tried(check, "files") for check in waiting), *local, not_tried("executor", "files"))
    hub, pair = identity
    network = await check_network(hub, environment, limits.timeout_s)
    certificate = check_certificate(
        pair.certificate_pem,
        hub.authority_pem,
        member_id=settings.member_id,
        node_id=settings.node_id,
        now=datetime.fromtimestamp(now_ms() / 1000, UTC),
    )
    # The hub is tried in spite of a proxy, which may let it pass, and of a certificate that looks out of its time:
    # its answer tells whether the clock is the cause.
    needed = next((f.check for f in network if f.check in {"tcp", "tls"} and not f.ok), None)
    if needed is not None:
        connection: Sequence[Finding] = [not_tried(check, needed) for check in waiting[5:]]
    else:
        connection = await check_connection(hub, pair, now_ms, limits)
    executor = await asyncio.to_thread(check_executor, settings.joint_executor)
    return (files, *network, certificate, *connection, *local, executor)


def _read_files(
    home: Path, environment: Mapping[str, str]
) -> tuple[Finding, Settings | None, tuple[HubFacts, TlsPair] | None]:
    try:
        settings = load_settings(home, environment)
        identity = load_hub(home), load_tls(home)
    except (NodeError, OSError) as error:
        fix = "Enrol the node, or restore its home from the backup and check its owner."
        return Finding("files", False, f"{error}.", fix), None, None
    return Finding("files", True, f"Settings and keys of {settings.member_id}/{settings.node_id}."), settings, identity


async def _ping(stubs: HubStubs, payload: bytes, time_ms: int, timeout_s: float) -> node_pb2.PingReply:
    call: Awaitable[node_pb2.PingReply] = stubs.control.Ping(
        node_pb2.PingRequest(payload=payload, time_ms=time_ms), timeout=timeout_s
    )
    return await rpc(call)


def _status(error: NodeError) -> grpc.StatusCode | None:
    cause = error.__cause__
    return cause.code() if isinstance(cause, grpc.aio.AioRpcError) else None


def _words(error: NodeError) -> str:
    """The hub's own words if it sent some, else the transport's (rule 4)."""
    cause, status = error.__cause__, _status(error)
    if isinstance(cause, grpc.aio.AioRpcError) and status is not None and error.code in {"UNAVAILABLE", "INTERNAL"}:
        return f"{status.name}, {(cause.details() or 'no detail')[:300]}"
    return f"{error.code}, {error.message}"


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return  # the other side ended first; what was to be learned is known


__all__ = ["NETWORK_CHECKS", "Finding", "Limits", "Pong", "examine"]
