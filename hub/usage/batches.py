"""The subjects of batch receipts: named by the node that gave, so that each enterprise can be shown its own part.

Rules:
1. Only the node that signed the batch receipt names its subjects (NOT_FOUND for anybody else).
2. They come in order; what came before may come again and changes nothing; a gap is refused (INVALID_ARGUMENT).
3. With the last one the root over all of them is that of the receipt; otherwise all are dropped and refused
   (SIGNATURE_INVALID): nobody may be shown a part that the receipt does not commit to. Until then none is shown.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from consent.documents import parse
from consent.usage import SubjectUse
from hub.errors import HubError
from hub.logs.tables import log_tiles
from hub.logs.tiles import SqlTileStore
from hub.usage.tables import batch_subjects, receipts
from trust.merkle import leaf_hash
from trust.tiles import TiledLog

MAX_SUBJECTS: Final = 5000


def origin_of(receipt_id: str) -> str:
    """Where the tiles over a batch's subjects are kept; no log has such a name."""
    return f"batch/{receipt_id}"


def parse_uses(encoded: Sequence[bytes]) -> list[SubjectUse]:
    """Parse the parts of a call. Raises HubError TOO_LARGE, DocumentMalformed."""
    if len(encoded) > MAX_SUBJECTS:
        raise HubError("TOO_LARGE", f"{len(encoded)} subjects in one call; send at most {MAX_SUBJECTS}")
    return [parse(one, SubjectUse) for one in encoded]


def add(
    connection: Connection,
    node_id: str,
    receipt_id: str,
    first: int,
    encoded: Sequence[bytes],
    uses: Sequence[SubjectUse],
) -> bool:
    """Take the subjects from position `first` on; returns False if they were dropped (rule 3).

    The caller raises then, after the dropping has been committed. Only inside `Database.write`. Raises HubError.
    """
    row = connection.execute(select(receipts).where(receipts.c.receipt_id == receipt_id)).first()
    if row is None or row.node_id != node_id or not row.batch_root:
        raise HubError("NOT_FOUND", "there is no batch receipt of this node under this identifier; submit it first")
    if first > row.batch_received:
        raise HubError("INVALID_ARGUMENT", f"subjects up to {row.batch_received} are here; continue from there")
    if first + len(encoded) > row.batch_size:
        raise HubError("INVALID_ARGUMENT", f"the receipt commits to {row.batch_size} subjects only; send those")
    skip = row.batch_received - first
    fresh, parsed = encoded[skip:], uses[skip:]
    if not fresh:
        return True
    _insert(connection, row, fresh, parsed)
    return _complete(connection, row, row.batch_received + len(fresh))


def path(connection: Connection, receipt_id: str, position: int, size: int) -> tuple[bytes, ...]:
    """The path of a subject's part to the root that the receipt commits to."""
    return tuple(TiledLog(SqlTileStore(connection, origin_of(receipt_id)), size).inclusion_proof(position))


def _insert(
    connection: Connection, row: Row[*tuple[Any, ...]], encoded: Sequence[bytes], uses: Sequence[SubjectUse]
) -> None:
    received = row.batch_received
    connection.execute(
        insert(batch_subjects),
        [
            {
                "receipt_id": row.receipt_id,
                "position": received + at,
                "uscc": use.uscc,
                "receipt_idx": row.idx,
                "use": encoded[at],
            }
            for at, use in enumerate(uses)
        ],
    )
    store = SqlTileStore(connection, origin_of(row.receipt_id))
    TiledLog(store, received).append_many(map(leaf_hash, encoded))


def _complete(connection: Connection, row: Row[*tuple[Any, ...]], received: int) -> bool:
    own = receipts.c.receipt_id == row.receipt_id
    if received == row.batch_size:
        root = TiledLog(SqlTileStore(connection, origin_of(row.receipt_id)), received).root()
        if not hmac.compare_digest(root.hex(), row.batch_root):
            connection.execute(delete(batch_subjects).where(batch_subjects.c.receipt_id == row.receipt_id))
            connection.execute(delete(log_tiles).where(log_tiles.c.origin == origin_of(row.receipt_id)))
            connection.execute(update(receipts).where(own).values(batch_received=0))
            return False
    connection.execute(update(receipts).where(own).values(batch_received=received))
    return True
