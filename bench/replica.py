"""How long a provider's node takes from a cold start to a replica of 1,000,000 consents it can decide from.

A node's database is made first, through the node's own storage functions: 1,000,000 consents of as many enterprises, and
the directory log with a key for each enterprise. Signatures in it are not genuine: a cold start trusts what this node
verified before it stored it, and looks at none of them again. The entries of the consent log are the evidence and are not
read at the start either, so they are left out. Then a fresh process opens the database, whose pages were dropped from the
file cache, and the time from its start (imports included) until the replica stands is what counts.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bench.decision import DAY_MS, NOW_MS, PROVIDER, make_terms
from consent.book import Change, ConsentRow, Status
from consent.directory import OPERATOR_KEY_TYPE, SUBJECT_KEY_TYPE, OperatorKey, SubjectKey
from consent.documents import encode
from nodes.replica import DIRECTORY_ORIGIN, LogEntry, Pending
from nodes.replica_store import ReplicaKeeper, save_pending
from nodes.store import Store
from nodes.trusted_log import TrustedLog
from trust.document import SignedDocument, countersign, sign_document
from trust.sm2 import PrivateKey, PublicKey

CONSENTS: Final = 1_000_000
LIMIT_S: Final = 60.0
CHUNK: Final = 20_000
KEYS: Final = 500
"""Different keys of enterprises: enough points to decode, without waiting for a million to be made."""

ORIGIN: Final = f"consent/{PROVIDER}"


def make_uscc(number: int) -> str:
    """Return a text with the form of a credit code."""
    return f"911{number:015d}"


def make_directory(count: int, hub: PrivateKey) -> Iterator[bytes]:
    """Yield the leaves of a directory with one operator and a key for each of `count` enterprises."""
    operator = PrivateKey.generate()
    first = OperatorKey(operator="op", public_key=operator.public.encode(), time_ms=NOW_MS)
    yield sign_document(OPERATOR_KEY_TYPE, encode(first), hub).encode()
    signatures = countersign(sign_document(SUBJECT_KEY_TYPE, b"{}", operator), hub).signatures
    keys = [PrivateKey.generate().public.encode() for _ in range(KEYS)]
    for number in range(count):
        entry = SubjectKey(
            uscc=make_uscc(number),
            ent_name=f"enterprise number {number}",
            public_key=keys[number % KEYS],
            version=1,
            time_ms=NOW_MS,
            operator="op",
        )
        yield SignedDocument(SUBJECT_KEY_TYPE, encode(entry), signatures).encode()


def make_changes(count: int) -> Iterator[tuple[str, Change]]:
    """Yield what `count` consents change, as the replica tells it."""
    chance, terms = random.Random(7), make_terms()  # noqa: S311 (made-up data, not secrets)
    for number in range(count):
        row = ConsentRow(
            record_id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            uscc=make_uscc(number),
            terms=terms[chance.randrange(len(terms))],
            record_version=1,
            payload_sm3=chance.randbytes(32),
            valid_from_ms=NOW_MS - 30 * DAY_MS,
            valid_to_ms=NOW_MS + chance.randrange(1, 60) * DAY_MS,
            status=Status.WITHDRAWN if number % 100 == 7 else Status.ACTIVE,
            revoked_ms=NOW_MS - 1 if number % 100 == 7 else None,
            log_index=number,
        )
        yield ORIGIN, Change(kind="consent", uscc=row.uscc, row=row, dated_ms=NOW_MS)


async def build(path: Path, consents: int, hub: PrivateKey) -> None:
    """Make a node's database."""
    store = Store.open(path)
    log, leaves = TrustedLog(DIRECTORY_ORIGIN), make_directory(consents, hub)
    entries: list[LogEntry] = []
    for leaf in leaves:
        entries.append(LogEntry(origin=DIRECTORY_ORIGIN, index=log.size, leaf=leaf))
        log.append(leaf)
        if len(entries) == CHUNK:
            await store.write(_saving(Pending(entries=tuple(entries), inbox=(), changes=(), heads=())))
            entries.clear()
    await store.write(_saving(Pending(entries=tuple(entries), inbox=(), changes=(), heads=(log.head(),))))
    changes: list[tuple[str, Change]] = []
    for change in make_changes(consents):
        changes.append(change)
        if len(changes) == CHUNK:
            await store.write(_saving(Pending(entries=(), inbox=(), changes=tuple(changes), heads=())))
            changes.clear()
    await store.write(_saving(Pending(entries=(), inbox=(), changes=tuple(changes), heads=())))
    await store.close()


def _saving(pending: Pending) -> Callable[[sqlite3.Connection], None]:
    return lambda connection: save_pending(connection, pending)


def forget_pages(path: Path) -> None:
    """Drop the file from the operating system's cache, where it can do that."""
    if hasattr(os, "posix_fadvise"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


async def load(path: Path, hub_key: PublicKey) -> dict[str, int]:
    """Load the replica and say what stands: consents, enterprises with a key, memory in MB."""
    store = Store.open(path)
    keeper = await ReplicaKeeper.load(store, member_id=PROVIDER, hub_key=hub_key, clock=lambda: NOW_MS)
    await store.close()
    book, directory = keeper.replica.own_book, keeper.replica.directory
    last = make_uscc(len(book) - 1)
    if len(book.consents_of(last)) != 1 or directory.subject_key(last) is None:
        raise RuntimeError("the loaded replica lacks what was stored; the figure would mean nothing")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"consents": len(book), "directory": directory.size, "memory_mb": memory // 1024}


def measure(path: Path, hub_key: PublicKey) -> tuple[float, dict[str, int]]:
    """Load in a fresh process; return the seconds of its whole life and what it found."""
    forget_pages(path)
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bench.replica", str(path), hub_key.encode()], capture_output=True, text=True, check=True
    )
    return time.perf_counter() - began, json.loads(done.stdout)


def run(consents: int = CONSENTS) -> Iterator[dict[str, object]]:
    """Measure and yield the line `replica.load`."""
    hub = PrivateKey.generate()
    with tempfile.TemporaryDirectory(prefix="xinqiao-bench-") as folder:
        path = Path(folder) / "node.db"
        print(f"replica.load: storing {consents} consents and their enterprises' keys", file=sys.stderr)
        asyncio.run(build(path, consents, hub))
        seconds, found = measure(path, hub.public)
    if found["consents"] != consents:
        raise RuntimeError(f"{found['consents']} of {consents} consents were loaded; the figure would mean nothing")
    print(f"replica.load: {found}", file=sys.stderr)
    yield {
        "bench": "replica.load",
        "value": round(seconds, 2),
        "unit": "s",
        "reference": LIMIT_S,
        "reference_of": f"longest time permitted: fresh process to a replica of {consents} consents and enterprises",
        "ratio": round(seconds / LIMIT_S, 3),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(load(Path(sys.argv[1]), PublicKey.decode(sys.argv[2])))))
