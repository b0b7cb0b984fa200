"""Operators, members and their nodes: add, admit, invite, enrol, renew, revoke. The directory log is the record; rows only help.

Enrolment checks, in this order; the first that fails is the answer and nothing changes:
1. The node's clock is within a minute of the hub's (CLOCK_SKEW): certificates and freshness depend on it.
2. The token's secret is known, unused and not expired (TOKEN_INVALID; which of the three is not told).
3. The signed statement and the certificate request are for the node and member that the invitation names
   (INVALID_ARGUMENT).
4. The statement is signed by the key that it states, and fits the directory (SIGNATURE_INVALID, ALREADY_EXISTS,
   MEMBER_SUSPENDED).
Then, in one transaction: the entry is in the directory, the certificate is known, the token is used.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from consent import directory as documents
from consent.documents import parse
from hub.errors import HubError
from hub.keys import authority_der
from hub.logs import service as logs
from hub.members import certificates
from hub.members.certificates import Issued, issue_certificate
from hub.members.tables import invitations
from hub.members.tokens import Token, new_secret, secret_digest
from hub.state import Hub
from trust.document import SignedDocument, verify_document
from trust.sm2 import PublicKey

_NODE_ID: Final = re.compile(r"[a-z][a-z0-9-]{1,40}", re.ASCII)
_REVOCATIONS: Final = {
    documents.NODE_REVOKED_TYPE,
    documents.MEMBER_SUSPENDED_TYPE,
    documents.SUBJECT_KEY_REVOKED_TYPE,
    documents.OPERATOR_REVOKED_TYPE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """A node that has just been enrolled."""

    certificate_pem: bytes
    member_id: str
    directory_index: int


def add_operator(hub: Hub, connection: Connection, document: SignedDocument) -> int:
    """Append an "operator-key" by an operator that stands. Returns the entry's index.

    Dated now, so that nobody can keep one for later. Raises HubError CLOCK_SKEW; SignatureInvalid, DirectoryRule.
    """
    _require_type(document, {documents.OPERATOR_KEY_TYPE})
    check_clock(hub, parse(document.payload, documents.OperatorKey).time_ms, "the operator's entry")
    return hub.directory.append(connection, document)


def admit(hub: Hub, connection: Connection, document: SignedDocument) -> int:
    """Append an operator's "member-admitted"; its consent log begins with it. Returns the entry's index.

    Raises HubError ALREADY_EXISTS, SignatureInvalid, DirectoryRule.
    """
    _require_type(document, {documents.MEMBER_ADMITTED_TYPE})
    entry = parse(document.payload, documents.MemberAdmitted)
    known = hub.directory.in_write(connection).member(entry.member_id)
    if known is not None and known.suspended_ms is None:
        raise HubError("ALREADY_EXISTS", f"member {entry.member_id} is admitted already; choose another identifier")
    logs.create(connection, logs.consent_origin(entry.member_id))
    logs.create(connection, logs.USAGE)
    return hub.directory.append(connection, document)


def invite(hub: Hub, connection: Connection, member_id: str, node_id: str) -> Token:
    """Make a one-time token for a new node of a member; an earlier unused one for the same node is void.

    Raises HubError NOT_FOUND, MEMBER_SUSPENDED, ALREADY_EXISTS, INVALID_ARGUMENT.
    """
    directory = hub.directory.in_write(connection)
    _active_member(directory, member_id)
    if not _NODE_ID.fullmatch(node_id):
        raise HubError(
            "INVALID_ARGUMENT", f"{node_id[:60]!r} is no node id: 2 to 41 of a-z 0-9 and hyphens, a letter first"
        )
    if directory.node(node_id) is not None:
        raise HubError(
            "ALREADY_EXISTS", f"node {node_id} was enrolled before; a node's name is used once, choose another"
        )
    secret, expires_ms = new_secret(), hub.clock() + int(hub.settings.invitation_lifetime_s * 1000)
    unused = invitations.c.used_ms.is_(None)
    connection.execute(delete(invitations).where(unused, invitations.c.node_id == node_id))
    connection.execute(
        insert(invitations),
        {"secret_sm3": secret_digest(secret), "member_id": member_id, "node_id": node_id, "expires_ms": expires_ms},
    )
    return Token(
        public_address=hub.settings.public_address,
        node_address=hub.settings.node_address,
        authority=authority_der(hub.keys.authority_cert),
        hub_key=hub.keys.public.encode(),
        secret=secret,
        member_id=member_id,
        node_id=node_id,
        expires_ms=expires_ms,
    )


def enrol(
    hub: Hub, connection: Connection, *, secret: str, csr_pem: bytes, document: SignedDocument, time_ms: int
) -> Enrolled:
    """Enrol a node by its token (rules above).

    Raises HubError CLOCK_SKEW, TOKEN_INVALID, INVALID_ARGUMENT, ALREADY_EXISTS, MEMBER_SUSPENDED; SignatureInvalid,
    CertificateRejected, DocumentMalformed.
    """
    now_ms = hub.clock()
    check_clock(hub, time_ms, "this node")
    _require_type(document, {documents.NODE_ENROLLED_TYPE})
    member_id, node_id = _spend_token(connection, secret, now_ms)
    entry = parse(document.payload, documents.NodeEnrolled)
    if (entry.node_id, entry.member_id) != (node_id, member_id):
        raise HubError(
            "INVALID_ARGUMENT", f"the invitation is for node {node_id} of {member_id}; enrol under these names"
        )
    check_clock(hub, entry.time_ms, "the signed statement")
    verify_document(document, documents.NODE_ENROLLED_TYPE, PublicKey.decode(entry.identity_key))
    issued = _issue(hub, csr_pem, member_id, node_id, now_ms)
    directory = hub.directory.in_write(connection)
    _active_member(directory, member_id)
    if directory.node(node_id) is not None:
        raise HubError(
            "ALREADY_EXISTS", f"node {node_id} was enrolled before; ask for an invitation under another name"
        )
    certificates.record(connection, issued, now_ms)
    index = hub.directory.append(connection, document)
    return Enrolled(certificate_pem=issued.pem, member_id=member_id, directory_index=index)


def renew(hub: Hub, connection: Connection, node_id: str, csr_pem: bytes) -> bytes:
    """A new certificate (PEM) for an enrolled node that asks over its present one. Raises HubError NODE_REVOKED."""
    node = hub.directory.in_write(connection).node(node_id)
    if node is None or node.revoked:
        raise HubError("NODE_REVOKED")
    issued = _issue(hub, csr_pem, node.member_id, node_id, hub.clock())
    certificates.record(connection, issued, hub.clock())
    return issued.pem


def revoke(hub: Hub, connection: Connection, document: SignedDocument) -> int:
    """Append an operator's "node-revoked", "member-suspended", "subject-key-revoked" or "operator-revoked"; returns its index.

    The node's certificates are forgotten; its sessions end when the entry is visible (`cut_off`). Raises HubError
    NOT_FOUND, CLOCK_SKEW; SignatureInvalid, DirectoryRule.
    """
    _require_type(document, _REVOCATIONS)
    directory = hub.directory.in_write(connection)
    if document.payload_type == documents.NODE_REVOKED_TYPE:
        node_id = parse(document.payload, documents.NodeRevoked).node_id
        node = directory.node(node_id)
        if node is None or node.revoked:
            raise HubError("NOT_FOUND", f"there is no active node {node_id}; list the members to see its state")
        certificates.forget(connection, node_id)
    elif document.payload_type == documents.MEMBER_SUSPENDED_TYPE:
        member_id = parse(document.payload, documents.MemberSuspended).member_id
        member = directory.member(member_id)
        if member is None or member.suspended_ms is not None:
            raise HubError("NOT_FOUND", f"there is no active member {member_id}; list the members to see its state")
    elif document.payload_type == documents.SUBJECT_KEY_REVOKED_TYPE:
        lost = parse(document.payload, documents.SubjectKeyRevoked)
        if directory.subject_key(lost.uscc) is None:
            raise HubError("NOT_FOUND", "no key of this enterprise stands; there is nothing to revoke")
        # Consents that the key signed up to now are recorded as valid: they stay so for whoever verifies them later.
        check_clock(hub, lost.time_ms, "the revocation")
    elif document.payload_type == documents.OPERATOR_REVOKED_TYPE:
        operator = parse(document.payload, documents.OperatorRevoked).operator
        if directory.operator_key(operator) is None:
            raise HubError("NOT_FOUND", f"no operator {operator[:60]!r} stands; list the operators to see their state")
    return hub.directory.append(connection, document)


def cut_off(hub: Hub, document: SignedDocument) -> None:
    """End the sessions of whoever a directory entry cuts off; a listener of `LiveDirectory`."""
    if document.payload_type == documents.NODE_REVOKED_TYPE:
        entry = parse(document.payload, documents.NodeRevoked)
        hub.sessions.end_node(entry.node_id, "NODE_REVOKED", f"node {entry.node_id} was revoked; ask the hub operator")
    elif document.payload_type == documents.MEMBER_SUSPENDED_TYPE:
        member_id = parse(document.payload, documents.MemberSuspended).member_id
        for node in hub.directory.current.nodes_of(member_id):
            hub.sessions.end_node(
                node.node_id, "MEMBER_SUSPENDED", f"member {member_id} is suspended; ask the hub operator"
            )


def check_clock(hub: Hub, time_ms: int, whose: str) -> None:
    """Raise HubError CLOCK_SKEW if a time that should be now differs by more than the setting allows."""
    ahead_s = (time_ms - hub.clock()) / 1000
    if abs(ahead_s) > hub.settings.clock_skew_s:
        where = "ahead of" if ahead_s > 0 else "behind"
        raise HubError(
            "CLOCK_SKEW",
            f"the time of {whose} is {abs(ahead_s):.0f} s {where} the hub's; synchronise the clock (chrony or ntpd)",
        )


def _spend_token(connection: Connection, secret: str, now_ms: int) -> tuple[str, str]:
    """Mark a token used; the same transaction enrols, so that a failure leaves it unused."""
    own = invitations.c.secret_sm3 == secret_digest(secret)
    found = connection.execute(select(invitations).where(own)).first()
    if found is None or found.used_ms is not None or found.expires_ms <= now_ms:
        raise HubError("TOKEN_INVALID")
    connection.execute(update(invitations).where(own).values(used_ms=now_ms))
    return found.member_id, found.node_id


def _issue(hub: Hub, csr_pem: bytes, member_id: str, node_id: str, now_ms: int) -> Issued:
    lifetime = hub.settings.certificate_lifetime_days
    return issue_certificate(
        hub.keys, csr_pem, member_id=member_id, node_id=node_id, now_ms=now_ms, lifetime_days=lifetime
    )


def _active_member(directory: documents.Directory, member_id: str) -> None:
    member = directory.member(member_id)
    if member is None:
        raise HubError("NOT_FOUND", f"there is no member {member_id[:60]!r}; admit it first")
    if member.suspended_ms is not None:
        raise HubError("MEMBER_SUSPENDED", f"member {member_id} is suspended; admit it anew first")


def _require_type(document: SignedDocument, allowed: set[str]) -> None:
    if document.payload_type not in allowed:
        raise HubError(
            "INVALID_ARGUMENT",
            f"a document of type {document.payload_type} does not belong here; send {' or '.join(sorted(allowed))}",
        )
