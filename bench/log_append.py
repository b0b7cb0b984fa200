"""How many small entries a second many concurrent callers append, one at a time, through the hub's writer on SQLite.

Limit of the requirements: 2,000/s with group commit; each append is acknowledged only when it is on the disk.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection

from hub.database import Database, open_database
from hub.logs import service

CALLERS = 100
APPENDS = 20_000
LEAF_BYTES = 400
LIMIT = 2000.0


async def append_all(db: Database, callers: int, appends: int) -> float:
    """Let `callers` tasks append `appends` entries in all; return the seconds it took."""

    async def caller(number: int) -> None:
        leaf = number.to_bytes(4, "big") * (LEAF_BYTES // 4)
        for _ in range(appends // callers):
            await db.write(lambda connection: service.append(connection, service.USAGE, [leaf]))

    began = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    return time.perf_counter() - began


def run() -> Iterator[dict[str, object]]:
    """Measure and yield the one line of this benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        db = open_database(f"sqlite:///{Path(folder) / 'hub.db'}")
        try:
            asyncio.run(append_all(db, CALLERS, CALLERS * 10))  # warm: statement caches, pages of the file
            seconds = asyncio.run(append_all(db, CALLERS, APPENDS))

            def stored(connection: Connection) -> int:
                return service.size(connection, service.USAGE)

            if db.read_now(stored) != CALLERS * 10 + APPENDS:
                raise RuntimeError("the log does not hold what was appended; the figure would mean nothing")
        finally:
            db.close()
    rate = APPENDS / seconds
    yield {
        "bench": "log.append",
        "value": round(rate, 1),
        "unit": "1/s",
        "reference": LIMIT,
        "reference_of": "least rate required: single appends of 100 concurrent callers, SQLite, synchronous=FULL",
        "ratio": round(rate / LIMIT, 3),
    }


if __name__ == "__main__":
    for line in run():
        sys.stdout.write(json.dumps(line) + "\n")
