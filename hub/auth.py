"""Which node is calling: its identity comes from its TLS certificate and the directory, never from what it says.

A call on the node port is served after these checks, in this order:
1. TLS has verified a client certificate of our authority (UNAUTHENTICATED).
2. The certificate names one node and is in time (CERTIFICATE_EXPIRED).
3. The directory knows the node, under that member (UNAUTHENTICATED), and it was not revoked (NODE_REVOKED).
4. The member is not suspended (MEMBER_SUSPENDED).
5. This very certificate was issued to this node and is not forgotten (UNAUTHENTICATED): another one under its name,
   from a stolen authority key, is refused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from hub.errors import HubError
from hub.interceptors import Context, Surround
from hub.keys import utc
from hub.members import certificates
from hub.state import Hub
from trust.certificates import NodeIdentity, parse_identity
from trust.errors import CertificateRejected

_MAX_REMEMBERED: Final = 10_000
_caller: ContextVar[Caller] = ContextVar("xinqiao_caller")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The node that makes the present call."""

    node_id: str
    member_id: str


def caller() -> Caller:
    """The node that makes the present call. Raises HubError UNAUTHENTICATED on a port where none can be."""
    found = _caller.get(None)
    if found is None:
        raise HubError("UNAUTHENTICATED")
    return found


@lru_cache(maxsize=4096)
def _identity(pem: bytes) -> NodeIdentity:
    return parse_identity(pem)


def node_identity(hub: Hub) -> Surround:
    """The interceptor of the node port (see the module)."""
    known: set[tuple[str, str]] = set()

    @asynccontextmanager
    async def surround(_method: str, context: Context) -> AsyncIterator[None]:
        identity = _presented(context)
        found = check_node(hub, identity)
        certificate = (identity.node_id, identity.fingerprint)
        if certificate not in known:
            if not await hub.db.read(lambda read: certificates.is_known(read, identity.fingerprint, identity.node_id)):
                raise HubError(
                    "UNAUTHENTICATED",
                    f"this certificate of {identity.node_id} was not issued here; enrol the node again",
                )
            if len(known) >= _MAX_REMEMBERED:
                known.clear()
            known.add(certificate)
        token = _caller.set(found)
        try:
            yield
        finally:
            _reset(token)

    return surround


def check_node(hub: Hub, identity: NodeIdentity) -> Caller:
    """Rules 2 to 4 for an identity. Raises HubError."""
    now = utc(hub.clock())
    if not identity.not_before <= now <= identity.not_after:
        raise HubError("CERTIFICATE_EXPIRED")
    return check_active(hub, Caller(node_id=identity.node_id, member_id=identity.member_id))


def check_active(hub: Hub, who: Caller) -> Caller:
    """Rules 3 and 4, for whoever has waited since: a stream is registered only after this, without another wait between.

    Raises HubError UNAUTHENTICATED, NODE_REVOKED, MEMBER_SUSPENDED.
    """
    node = hub.directory.current.node(who.node_id)
    if node is None or node.member_id != who.member_id:
        raise HubError("UNAUTHENTICATED", f"the directory has no node {who.node_id} of {who.member_id}; enrol the node")
    if node.revoked:
        raise HubError("NODE_REVOKED")
    member = hub.directory.current.member(node.member_id)
    if member is None or member.suspended_ms is not None:
        raise HubError("MEMBER_SUSPENDED")
    return who


def _presented(context: Context) -> NodeIdentity:
    presented = context.auth_context().get("x509_pem_cert")
    pem = next(iter(presented or ()), None)
    if pem is None:
        raise HubError("UNAUTHENTICATED")
    try:
        return _identity(bytes(pem))
    except CertificateRejected as problem:
        raise HubError("UNAUTHENTICATED", str(problem)) from problem


def _reset(token: Token[Caller]) -> None:
    # A stream that is closed by the garbage collector ends in another context, where there is nothing to reset.
    with suppress(ValueError):
        _caller.reset(token)
