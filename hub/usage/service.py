"""What is recorded of uses, for enterprises (every use of their data, with proofs) and for the management institution.

Rules:
1. All proofs of a page are for one checkpoint, and only entries that it covers are shown: a page can be verified alone.
2. An enterprise sees receipts about itself, and of a batch its own part and nothing of the others.
3. A use has two receipts, the provider's and the requester's, of the same exchange and request number: each is the other's
   twin. One without its twin is shown to the management institution.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, exists, insert, not_, select, union

from consent.usage import DELETION_TYPE, parse_deletion
from hub.auth import Caller
from hub.errors import HubError
from hub.logs import checkpoints
from hub.logs import service as logs
from hub.members.entries import node_entries
from hub.state import Hub
from hub.usage import batches
from hub.usage.tables import batch_subjects, deletions, receipts
from trust.checkpoint import Checkpoint, open_checkpoint
from trust.document import SignedDocument, verify_document
from trust.suite import sm3

MAX_PAGE: Final = 500
MAX_UNMATCHED: Final = 1000
_MAX_PARTS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenUse:
    """A receipt about an enterprise with its proof; for a batch its own part (`subject_use`), place and path."""

    log_index: int
    signed_receipt: bytes
    path: tuple[bytes, ...]
    twin_present: bool
    subject_use: bytes = b""
    subject_index: int = 0
    subject_path: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UsesPage:
    """A page of an enterprise's uses, all proved under one checkpoint; `nodes` are the receipts' signers' entries."""

    checkpoint: bytes
    uses: tuple[ProvenUse, ...]
    more: bool
    nodes: tuple[bytes, ...]


def uses_of(hub: Hub, connection: Connection, uscc: str, after_index: int, limit: int) -> UsesPage:
    """The uses of an enterprise's data after a usage log index (0 begins), in the log's order."""
    checkpoint, head = _head(hub, connection)
    # At least two, so that "after 0" never stands for both the beginning and a page that ended at entry 0.
    limit = max(2, min(limit or MAX_PAGE, MAX_PAGE))
    indexes = _indexes(connection, uscc, after_index, head.size, limit + 1)
    more, indexes = len(indexes) > limit, indexes[:limit]
    rows = connection.execute(select(receipts).where(receipts.c.idx.in_(indexes)).order_by(receipts.c.idx)).all()
    twins = _twins(connection, rows)
    parts = _parts(connection, uscc, [row.receipt_id for row in rows if row.batch_root])
    uses: list[ProvenUse] = []
    for row in rows:
        leaf = logs.read_leaf(connection, logs.USAGE, row.idx)
        path = logs.inclusion_proof(connection, logs.USAGE, row.idx, head.size)
        twin = (row.exchange_id, row.request_no, row.side) in twins
        if not row.batch_root:
            uses.append(ProvenUse(log_index=row.idx, signed_receipt=leaf, path=path, twin_present=twin))
        for part in parts[row.receipt_id]:
            uses.append(
                ProvenUse(
                    log_index=row.idx,
                    signed_receipt=leaf,
                    path=path,
                    twin_present=twin,
                    subject_use=bytes(part.use),
                    subject_index=part.position,
                    subject_path=batches.path(connection, row.receipt_id, part.position, row.batch_size),
                )
            )
    nodes = node_entries(hub, connection, {row.node_id for row in rows})
    return UsesPage(checkpoint=checkpoint.encode(), uses=tuple(uses), more=more, nodes=nodes)


def unmatched(connection: Connection, before_ms: int, limit: int = MAX_UNMATCHED) -> list[bytes]:
    """Receipts (leaves) that arrived before a time and whose twin has not, oldest first."""
    twin = receipts.alias()
    has_twin = exists().where(
        twin.c.exchange_id == receipts.c.exchange_id,
        twin.c.request_no == receipts.c.request_no,
        twin.c.side != receipts.c.side,
    )
    wanted = select(receipts.c.idx).where(receipts.c.received_ms < before_ms, not_(has_twin))
    indexes = connection.execute(wanted.order_by(receipts.c.idx).limit(limit)).scalars().all()
    return [logs.read_leaf(connection, logs.USAGE, index) for index in indexes]


def attest_deletion(hub: Hub, connection: Connection, who: Caller, document: SignedDocument) -> int:
    """Record a node's statement that it deleted what a transfer brought; returns its usage log index.

    Only inside `Database.write`. The same one again changes nothing. Raises HubError PERMISSION_DENIED, INVALID_ARGUMENT;
    SignatureInvalid, DocumentMalformed.
    """
    if document.payload_type != DELETION_TYPE or len(document.signatures) != 1:
        raise HubError("INVALID_ARGUMENT", "this is no deletion attestation with its author's signature; sign one")
    stated = parse_deletion(document.payload)
    if (stated.node_id, stated.institution) != (who.node_id, who.member_id):
        raise HubError("PERMISSION_DENIED", "the attestation is another node's; each sends its own")
    node = hub.directory.in_write(connection).node(who.node_id)
    if node is None:
        raise HubError("UNAUTHENTICATED")
    verify_document(document, DELETION_TYPE, node.identity_key)
    digest = sm3(document.payload).hex()
    known = connection.execute(select(deletions.c.idx).where(deletions.c.payload_sm3 == digest)).scalar()
    if known is not None:
        return int(known)
    index = logs.append(connection, logs.USAGE, [document.encode()])
    row = {
        "payload_sm3": digest,
        "idx": index,
        "exchange_id": stated.exchange_id,
        "node_id": who.node_id,
        "time_ms": hub.clock(),
    }
    connection.execute(insert(deletions), row)
    return index


def _head(hub: Hub, connection: Connection) -> tuple[SignedDocument, Checkpoint]:
    """The newest checkpoint of the usage log; the cosigned one where it covers as much."""
    document = checkpoints.newest_complete(connection, logs.USAGE)
    return document, open_checkpoint(document, hub.keys.public)


def _indexes(connection: Connection, uscc: str, after: int, size: int, limit: int) -> list[int]:
    direct = select(receipts.c.idx.label("idx")).where(
        receipts.c.subject == uscc, receipts.c.idx < size, receipts.c.idx > (after or -1)
    )
    # Rule 3 of `batches`: a batch is shown when all of its subjects are here and fit the receipt.
    complete = (receipts.c.receipt_id == batch_subjects.c.receipt_id) & (
        receipts.c.batch_received == receipts.c.batch_size
    )
    in_batch = (
        select(batch_subjects.c.receipt_idx.label("idx"))
        .join(receipts, complete)
        .where(
            batch_subjects.c.uscc == uscc,
            batch_subjects.c.receipt_idx < size,
            batch_subjects.c.receipt_idx > (after or -1),
        )
    )
    both = union(direct, in_batch).subquery()
    return list(connection.execute(select(both.c.idx).order_by(both.c.idx).limit(limit)).scalars())


def _parts(connection: Connection, uscc: str, receipt_ids: list[str]) -> dict[str, list[Row[*tuple[Any, ...]]]]:
    wanted = (
        select(batch_subjects)
        .where(batch_subjects.c.uscc == uscc, batch_subjects.c.receipt_id.in_(receipt_ids))
        .order_by(batch_subjects.c.receipt_idx, batch_subjects.c.position)
    )
    found: dict[str, list[Row[*tuple[Any, ...]]]] = defaultdict(list)
    for row in connection.execute(wanted):
        if len(found[row.receipt_id]) < _MAX_PARTS:
            found[row.receipt_id].append(row)
    return found


def _twins(connection: Connection, rows: Sequence[Row[*tuple[Any, ...]]]) -> set[tuple[str, int, str]]:
    """Which of these (exchange, request number, side) have a receipt of the other side."""
    wanted = select(receipts.c.exchange_id, receipts.c.request_no, receipts.c.side).where(
        receipts.c.exchange_id.in_(sorted({row.exchange_id for row in rows})),
        receipts.c.request_no.in_(sorted({row.request_no for row in rows})),
    )
    other = {"provider": "requester", "requester": "provider"}
    return {(row.exchange_id, row.request_no, other[row.side]) for row in connection.execute(wanted)}
