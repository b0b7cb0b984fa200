"""Taking receipts of use into the usage log.

Checks of `verify`, in this order; one receipt that fails refuses the call and nothing is recorded:
1. At most 1,000 receipts in a call (TOO_LARGE).
2. Each parses, and is the calling node's own: its node, and on the requester's side its member (PERMISSION_DENIED).
3. The head of its batch is signed by the node's key, once for each head (SIGNATURE_INVALID), and its path leads to that head's
   root (INVALID_ARGUMENT).
Checks of `record`, against what is there:
4. A receipt that is there already keeps its index; another one under its identifier is refused (ALREADY_EXISTS).
5. Where the hub knows the exchange, the node takes part in it, on the side that the receipt says, and the institution is the
   exchange's requester (PERMISSION_DENIED).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, insert, select

from consent.usage import BatchHead, Receipt, parse_signed_receipt, verify_head, verify_in_batch
from hub.auth import Caller
from hub.errors import HubError
from hub.exchanges.tables import exchanges
from hub.logs import service as logs
from hub.state import Hub
from hub.usage.tables import receipts
from trust.errors import LogInconsistent
from trust.sm2 import PublicKey

MAX_RECEIPTS: Final = 1000


@dataclass(frozen=True, slots=True)
class Verified:
    """A receipt that was verified, and its leaf."""

    leaf: bytes
    receipt: Receipt


def verify(who: Caller, key: PublicKey, leaves: Sequence[bytes]) -> list[Verified]:
    """Checks 1 to 3 (pure). Raises HubError, SignatureInvalid, DocumentMalformed."""
    if len(leaves) > MAX_RECEIPTS:
        raise HubError("TOO_LARGE", f"{len(leaves)} receipts in one call; send at most {MAX_RECEIPTS}")
    heads: dict[bytes, BatchHead] = {}
    verified = []
    for leaf in leaves:
        signed, receipt = parse_signed_receipt(leaf)
        # The institution is the user's (guideline 6.6.2): on the requester's side the caller's own member.
        own = receipt.node_id == who.node_id and (receipt.side == "provider" or receipt.institution == who.member_id)
        if not own:
            raise HubError("PERMISSION_DENIED", f"receipt {receipt.receipt_id} is of another node; each sends its own")
        head = heads.get(signed.head)
        if head is None:
            head = heads[signed.head] = verify_head(signed.head, key)
        try:
            verify_in_batch(signed, receipt, head)
        except LogInconsistent as problem:
            raise HubError(
                "INVALID_ARGUMENT", f"receipt {receipt.receipt_id} is not in the batch that was signed; sign it again"
            ) from problem
        verified.append(Verified(leaf, receipt))
    return verified


def record(hub: Hub, connection: Connection, verified: Sequence[Verified]) -> list[int]:
    """Append verified receipts; returns the index of each. Only inside `Database.write`. Raises HubError."""
    known = _known(connection, [one.receipt.receipt_id for one in verified])
    fresh: dict[str, Verified] = {}
    for one in verified:
        receipt_id = one.receipt.receipt_id
        if receipt_id in known:
            _require_same(connection, known[receipt_id], one)
        elif receipt_id in fresh:
            if fresh[receipt_id].receipt != one.receipt:
                raise _another(receipt_id)
        else:
            fresh[receipt_id] = one
    if fresh:
        _check_parties(connection, [one.receipt for one in fresh.values()])
        first = logs.append(connection, logs.USAGE, [one.leaf for one in fresh.values()])
        rows = [_row(one.receipt, first + at, hub.clock()) for at, one in enumerate(fresh.values())]
        connection.execute(insert(receipts), rows)
        known |= {receipt_id: first + at for at, receipt_id in enumerate(fresh)}
    return [known[one.receipt.receipt_id] for one in verified]


def _known(connection: Connection, receipt_ids: list[str]) -> dict[str, int]:
    wanted = select(receipts.c.receipt_id, receipts.c.idx).where(receipts.c.receipt_id.in_(receipt_ids))
    return {row.receipt_id: row.idx for row in connection.execute(wanted)}


def _require_same(connection: Connection, index: int, again: Verified) -> None:
    """The node may have signed it in another batch since; the receipt itself is the same."""
    _, recorded = parse_signed_receipt(logs.read_leaf(connection, logs.USAGE, index))
    if recorded != again.receipt:
        raise _another(recorded.receipt_id)


def _another(receipt_id: str) -> HubError:
    return HubError("ALREADY_EXISTS", f"there is another receipt {receipt_id}; every receipt has a fresh identifier")


def _check_parties(connection: Connection, fresh: Sequence[Receipt]) -> None:
    columns = exchanges.c
    wanted = select(columns.exchange_id, columns.requester, columns.requester_node, columns.provider_node).where(
        columns.exchange_id.in_(sorted({receipt.exchange_id for receipt in fresh}))
    )
    known = {row.exchange_id: row for row in connection.execute(wanted)}
    for receipt in fresh:
        row = known.get(receipt.exchange_id)
        if row is None:
            continue
        node = row.requester_node if receipt.side == "requester" else row.provider_node
        if (node, row.requester) != (receipt.node_id, receipt.institution):
            raise HubError(
                "PERMISSION_DENIED",
                f"exchange {receipt.exchange_id} has {node} as {receipt.side} and {row.requester} as user; check the receipt",
            )


def _row(receipt: Receipt, index: int, now_ms: int) -> dict[str, object]:
    return {
        "receipt_id": receipt.receipt_id,
        "idx": index,
        "exchange_id": receipt.exchange_id,
        "request_no": receipt.request_no,
        "side": receipt.side,
        "node_id": receipt.node_id,
        "subject": receipt.subject,
        "batch_root": receipt.batch.root if receipt.batch else "",
        "batch_size": receipt.batch.size if receipt.batch else 0,
        "batch_received": 0,
        "received_ms": now_ms,
    }
