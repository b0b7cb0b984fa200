"""Signed heads of the hub's logs, and the nodes' cosignatures on them.

Rules:
1. The newest checkpoint is signed anew when the log has grown or when it is older than the interval, and never goes
   back in size or time: a node takes that for an attack, and rightly.
2. Checkpoints are stored before they are shown to anybody (they are returned by a committed write).
3. A cosignature is stored only for a checkpoint that we signed, by the node whose key made it.
4. Old checkpoints go after ten minutes, but never the newest that a witness has cosigned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, func, insert, select, text

from hub.database import touch
from hub.errors import HubError
from hub.logs import service
from hub.logs.tables import checkpoints, cosignatures
from trust.checkpoint import Checkpoint, make_checkpoint, open_checkpoint, verify_witness
from trust.document import MAX_SIGNATURES, Signature, SignedDocument
from trust.sm2 import PrivateKey, PublicKey
from trust.suite import SUITE

KEEP_MS: Final = 600_000
# Made once: what SQLAlchemy has to find out about a statement costs more than to run it.
_NEWEST: Final = (
    select(checkpoints.c.size, checkpoints.c.time_ms, checkpoints.c.document)
    .where(checkpoints.c.origin == bindparam("origin"))
    .order_by(checkpoints.c.time_ms.desc(), checkpoints.c.size.desc())
    .limit(1)
)
_STORED: Final = select(checkpoints.c.document).where(
    checkpoints.c.origin == bindparam("origin"),
    checkpoints.c.size == bindparam("size"),
    checkpoints.c.time_ms == bindparam("time_ms"),
)
_INSERT: Final = insert(checkpoints)
_COVERING: Final = (cosignatures.c.origin == bindparam("origin")) & (cosignatures.c.size >= bindparam("covering_size"))
_LATEST: Final = (
    select(cosignatures.c.node_id, func.max(cosignatures.c.time_ms).label("time_ms"))
    .where(_COVERING)
    .group_by(cosignatures.c.node_id)
    .subquery()
)
_WITNESSES: Final = (
    select(cosignatures, checkpoints.c.document)
    .join(_LATEST, (_LATEST.c.node_id == cosignatures.c.node_id) & (_LATEST.c.time_ms == cosignatures.c.time_ms))
    .join(
        checkpoints,
        (checkpoints.c.origin == cosignatures.c.origin)
        & (checkpoints.c.size == cosignatures.c.size)
        & (checkpoints.c.time_ms == cosignatures.c.time_ms),
    )
    .where(_COVERING)
    .order_by(cosignatures.c.node_id, cosignatures.c.size.desc())
)
# A log's checkpoints grow in time and size together: the two maxima are of one checkpoint.
_ACKNOWLEDGED: Final = select(
    cosignatures.c.node_id,
    cosignatures.c.origin,
    func.max(cosignatures.c.size).label("size"),
    func.max(cosignatures.c.time_ms).label("time_ms"),
).group_by(cosignatures.c.node_id, cosignatures.c.origin)
_PRUNE: Final = [
    text(
        f"DELETE FROM {table} WHERE origin = :origin AND time_ms < :before AND time_ms < "  # noqa: S608 (two fixed names)
        "(SELECT COALESCE(MAX(time_ms), :before) FROM cosignatures WHERE origin = :origin)"
    )
    for table in ("checkpoints", "cosignatures")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosignature:
    """A verified cosignature of a node on one of our checkpoints."""

    checkpoint: Checkpoint
    signature: Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A node's newest cosigned checkpoint of at least some size; the document carries that node's signature."""

    node_id: str
    size: int
    time_ms: int
    document: SignedDocument


def refresh(
    connection: Connection, origin: str, key: PrivateKey, *, now_ms: int, max_age_ms: int = 0
) -> SignedDocument:
    """Return a checkpoint of the log as it is now.

    Signs one unless the newest is of this size and younger than `max_age_ms`. Only inside `Database.write`. Raises
    HubError NOT_FOUND for a log that does not exist.
    """
    entries = service.size(connection, origin)
    newest = newest_stored(connection, origin)
    if newest is not None and newest.size == entries and now_ms - newest.time_ms < max_age_ms:
        return SignedDocument.decode(newest.document)
    time_ms = now_ms if newest is None else max(now_ms, newest.time_ms)
    if newest is not None and (newest.size, newest.time_ms) == (entries, time_ms):
        return SignedDocument.decode(newest.document)
    head = Checkpoint(origin=origin, size=entries, root=service.root(connection, origin), time_ms=time_ms)
    document = make_checkpoint(head, key)
    connection.execute(
        _INSERT,
        {"origin": origin, "time_ms": time_ms, "size": entries, "document": document.encode()},
    )
    for statement in _PRUNE:
        connection.execute(statement, {"origin": origin, "before": now_ms - KEEP_MS})
    touch(connection, checkpoint_topic(origin))
    return document


def checkpoint_topic(origin: str) -> str:
    """The topic that is touched when a log has a new checkpoint."""
    return f"checkpoint:{origin}"


def newest_signed(connection: Connection, origin: str) -> SignedDocument | None:
    """The newest checkpoint as it was signed, without cosignatures; None for a log that has none yet."""
    found = newest_stored(connection, origin)
    return None if found is None else SignedDocument.decode(found.document)


def newest(connection: Connection, origin: str) -> SignedDocument:
    """The newest checkpoint with the cosignatures it has so far. Raises HubError NOT_FOUND."""
    found = newest_stored(connection, origin)
    if found is None:
        raise HubError("NOT_FOUND", f"log {origin!r} has no checkpoint yet; check its name, or ask again in a moment")
    return _with_cosignatures(connection, origin, found.size, found.time_ms, SignedDocument.decode(found.document))


def newest_witnessed(connection: Connection, origin: str) -> SignedDocument | None:
    """The newest checkpoint that at least one node has cosigned, with all its cosignatures; None if there is none."""
    latest = (
        select(cosignatures.c.size, cosignatures.c.time_ms)
        .where(cosignatures.c.origin == origin)
        .order_by(cosignatures.c.size.desc(), cosignatures.c.time_ms.desc())
        .limit(1)
    )
    at = connection.execute(latest).first()
    document = None if at is None else _stored(connection, origin, at.size, at.time_ms)
    return (
        None
        if at is None or document is None
        else _with_cosignatures(connection, origin, at.size, at.time_ms, document)
    )


def newest_complete(connection: Connection, origin: str) -> SignedDocument:
    """The checkpoint to show: the newest, or a cosigned one where that covers as much. Raises HubError NOT_FOUND."""
    found = newest(connection, origin)
    witnessed = newest_witnessed(connection, origin) if len(found.signatures) == 1 else None
    if witnessed is None or Checkpoint.decode(witnessed.payload).size != Checkpoint.decode(found.payload).size:
        return found
    return witnessed


def verify_cosignature(document: SignedDocument, hub_key: PublicKey, node_key: PublicKey) -> Cosignature:
    """Check that this is a checkpoint of ours that this node has signed too (pure; costs two SM2 verifications).

    Raises SignatureInvalid, DocumentMalformed.
    """
    head = open_checkpoint(document, hub_key)
    verify_witness(document, node_key)
    own = next(one for one in document.signatures if one.key_id == node_key.key_id and one.suite == SUITE)
    return Cosignature(checkpoint=head, signature=own)


def store_cosignature(connection: Connection, node_id: str, cosignature: Cosignature) -> None:
    """Keep a verified cosignature; a second one of the same node on the same checkpoint changes nothing.

    Only inside `Database.write`. Raises HubError NOT_FOUND if the checkpoint is not stored (any more).
    """
    head = cosignature.checkpoint
    if _stored(connection, head.origin, head.size, head.time_ms) is None:
        raise HubError("NOT_FOUND", f"that checkpoint of log {head.origin} is not kept any more; cosign the newest one")
    connection.execute(
        text(
            "INSERT INTO cosignatures (origin, time_ms, size, node_id, key_id, suite, signature) "
            "VALUES (:origin, :time_ms, :size, :node_id, :key_id, :suite, :signature) ON CONFLICT DO NOTHING"
        ),
        {
            "origin": head.origin,
            "time_ms": head.time_ms,
            "size": head.size,
            "node_id": node_id,
            "key_id": cosignature.signature.key_id,
            "suite": cosignature.signature.suite,
            "signature": cosignature.signature.value,
        },
    )
    touch(connection, cosigned_topic(head.origin))


def cosigned_topic(origin: str) -> str:
    """The topic that is touched when a node has cosigned a checkpoint of the log."""
    return f"cosigned:{origin}"


def witnesses(connection: Connection, origin: str, covering_size: int) -> list[Witness]:
    """The nodes that have cosigned a checkpoint of at least this size, each with its newest."""
    rows = connection.execute(_WITNESSES, {"origin": origin, "covering_size": covering_size})
    found: dict[str, Witness] = {}
    for row in rows:
        document = SignedDocument.decode(row.document)
        own = Signature(row.key_id, row.suite, bytes(row.signature))
        cosigned = SignedDocument(document.payload_type, document.payload, (*document.signatures, own))
        found.setdefault(
            row.node_id, Witness(node_id=row.node_id, size=row.size, time_ms=row.time_ms, document=cosigned)
        )
    return list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """The newest checkpoint of a log that a node has cosigned."""

    node_id: str
    origin: str
    size: int
    time_ms: int


def acknowledged(connection: Connection) -> list[Acknowledged]:
    """How far each node is in each log. Cosignatures are kept for ten minutes: one that was away longer may be missing."""
    rows = connection.execute(_ACKNOWLEDGED)
    return [Acknowledged(node_id=row.node_id, origin=row.origin, size=row.size, time_ms=row.time_ms) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A checkpoint as it was signed (encoded), without cosignatures."""

    size: int
    time_ms: int
    document: bytes


def newest_stored(connection: Connection, origin: str) -> Stored | None:
    """The newest checkpoint of a log; None for a log that has none yet."""
    found = connection.execute(_NEWEST, {"origin": origin}).first()
    if found is None:
        return None
    return Stored(size=found.size, time_ms=found.time_ms, document=bytes(found.document))


def _stored(connection: Connection, origin: str, size: int, time_ms: int) -> SignedDocument | None:
    found = connection.execute(_STORED, {"origin": origin, "size": size, "time_ms": time_ms}).scalar()
    return None if found is None else SignedDocument.decode(found)


def _with_cosignatures(
    connection: Connection, origin: str, size: int, time_ms: int, document: SignedDocument
) -> SignedDocument:
    rows = connection.execute(
        select(cosignatures.c.key_id, cosignatures.c.suite, cosignatures.c.signature)
        .where(cosignatures.c.origin == origin, cosignatures.c.size == size, cosignatures.c.time_ms == time_ms)
        .order_by(cosignatures.c.node_id)
        .limit(MAX_SIGNATURES - len(document.signatures))
    )
    added = tuple(Signature(row.key_id, row.suite, bytes(row.signature)) for row in rows)
    return SignedDocument(document.payload_type, document.payload, (*document.signatures, *added))
