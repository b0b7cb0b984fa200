"""Which TLS certificates are known for which node: issued by us, recorded, not expired."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, delete, insert, select

from hub.keys import HubKeys, utc
from hub.members.tables import certificates
from trust.certificates import NodeIdentity, issue, parse_identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate (PEM) and what it says."""

    pem: bytes
    identity: NodeIdentity


def issue_certificate(
    keys: HubKeys, csr_pem: bytes, *, member_id: str, node_id: str, now_ms: int, lifetime_days: int
) -> Issued:
    """Issue a node's certificate; nothing is stored yet. Raises CertificateRejected."""
    pem = issue(
        keys.authority_key,
        keys.authority_cert,
        csr_pem,
        member_id=member_id,
        node_id=node_id,
        now=utc(now_ms),
        lifetime=timedelta(days=lifetime_days),
    )
    return Issued(pem=pem, identity=parse_identity(pem))


def record(connection: Connection, issued: Issued, now_ms: int) -> None:
    """Make a certificate known, and forget those of the same node that have expired."""
    own = certificates.c.node_id == issued.identity.node_id
    connection.execute(delete(certificates).where(own, certificates.c.not_after_ms < now_ms))
    connection.execute(
        insert(certificates),
        {
            "fingerprint": issued.identity.fingerprint,
            "node_id": issued.identity.node_id,
            "serial": issued.identity.serial,
            "not_after_ms": int(issued.identity.not_after.timestamp() * 1000),
        },
    )


def forget(connection: Connection, node_id: str) -> None:
    """No certificate of this node is known any more."""
    connection.execute(delete(certificates).where(certificates.c.node_id == node_id))


def is_known(connection: Connection, fingerprint: str, node_id: str) -> bool:
    """Whether this very certificate was issued to this node and not forgotten."""
    own = (certificates.c.fingerprint == fingerprint) & (certificates.c.node_id == node_id)
    return connection.execute(select(certificates.c.fingerprint).where(own)).first() is not None


def expiry_by_node(connection: Connection) -> dict[str, int]:
    """When each node's newest certificate ends, milliseconds since the epoch."""
    newest: dict[str, int] = {}
    for row in connection.execute(select(certificates.c.node_id, certificates.c.not_after_ms)):
        newest[row.node_id] = max(newest.get(row.node_id, 0), row.not_after_ms)
    return newest
