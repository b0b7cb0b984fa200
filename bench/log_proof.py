"""How long an inclusion proof takes from a log of 10,000,000 entries whose tiles are in an SQLite file.

Limit of the requirements: 5 ms. Each proof is verified, outside the timing, for the leaf that was put in.
"""

from __future__ import annotations

import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from trust.merkle import verify_inclusion
from trust.suite import HASH_SIZE
from trust.tiles import TiledLog

LEAVES = 10_000_000
CHUNK = 100_000
PROOFS = 200
LIMIT_MS = 5.0


class SqliteTileStore:
    """Tiles of one log in one table; level and index share the integer key: a tile is one look-up."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("CREATE TABLE tiles (key INTEGER PRIMARY KEY, hashes BLOB NOT NULL)")

    def get(self, level: int, index: int) -> bytes | None:
        """Return what was last put there, or None."""
        found = self._connection.execute("SELECT hashes FROM tiles WHERE key = ?", (level << 56 | index,)).fetchone()
        return None if found is None else bytes(found[0])

    def put(self, level: int, index: int, hashes: bytes) -> None:
        """Store a tile in place of what was there."""
        self._connection.execute("INSERT OR REPLACE INTO tiles VALUES (?, ?)", (level << 56 | index, hashes))


def build(log: TiledLog, connection: sqlite3.Connection, wanted: set[int]) -> dict[int, bytes]:
    """Fill the log with synthetic leaf hashes, a transaction a chunk; return the wanted ones by index."""
    source = random.Random(20_240_607)  # noqa: S311 (synthetic hashes, the same in every run)
    kept: dict[int, bytes] = {}
    for first in range(0, LEAVES, CHUNK):
        block = source.randbytes(CHUNK * HASH_SIZE)
        leaves = [block[at : at + HASH_SIZE] for at in range(0, len(block), HASH_SIZE)]
        kept.update((index, leaves[index - first]) for index in wanted if first <= index < first + CHUNK)
        with connection:
            log.append_many(leaves)
    return kept


def run() -> Iterator[dict[str, object]]:
    """Build the log, take and verify the proofs, yield the median time in ms with its ratio to the limit."""
    sample = random.Random(7).sample(range(LEAVES), PROOFS)  # noqa: S311 (which entries to ask for)
    with tempfile.TemporaryDirectory() as directory:
        connection = sqlite3.connect(Path(directory) / "tiles.db")
        log = TiledLog(SqliteTileStore(connection))
        began = time.perf_counter()
        leaves = build(log, connection, set(sample))
        print(f"log.proof: built {log.size:,} leaves in {time.perf_counter() - began:.1f} s", file=sys.stderr)
        root = log.root()
        times_ms: list[float] = []
        for index in sample:
            began = time.perf_counter()
            path = log.inclusion_proof(index)
            times_ms.append((time.perf_counter() - began) * 1_000)
            verify_inclusion(leaves[index], index, LEAVES, path, root)
        connection.close()
    value = statistics.median(times_ms)
    print(f"log.proof: slowest of {PROOFS} took {max(times_ms):.2f} ms", file=sys.stderr)
    yield {
        "bench": "log.proof",
        "value": round(value, 3),
        "unit": "ms",
        "reference": LIMIT_MS,
        "reference_of": "limit: 5 ms at 10,000,000 leaves",
        "ratio": round(value / LIMIT_MS, 3),
    }


if __name__ == "__main__":
    for result in run():
        print(json.dumps(result))
