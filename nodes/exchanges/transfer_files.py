"""The files of a received transfer: parts, journal, manifest. What was synced counts; everything else is removed on recovery."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

from nodes.errors import ExchangeFailed
from nodes.exchanges.frames import PlannedItem
from trust.suite import Sm3

JOURNAL: Final = "journal.jsonl"
MANIFEST: Final = "manifest.json"


class JournalLine(msgspec.Struct, frozen=True, kw_only=True):
    """A part that counts."""

    part_no: int
    item_id: str
    file: str
    rows: int
    bytes: int
    table_done: bool
    frames_sm3: str
    file_sm3: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a complete transfer is. Times are ISO 8601 UTC."""

    exchange_id: str
    provider: str
    requester: str
    product_id: str
    purpose: str
    reason: str
    user: str
    items: tuple[PlannedItem, ...]
    subjects: int
    refused: dict[str, int]
    rows: int
    consents_file: str
    receipt_id: str
    provider_receipt_id: str
    batch_root: str
    digest: str
    parts: tuple[JournalLine, ...]
    received: str
    delete_by: str
    delete_by_ms: int


def recover(directory: Path) -> list[JournalLine]:
    """The parts that count, in order; everything half written is removed. Makes the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for leftover in directory.rglob(".part-*.tmp"):
        leftover.unlink()
    parts: list[JournalLine] = []
    journal = directory / JOURNAL
    if not journal.exists():
        return parts
    for text in journal.read_bytes().splitlines():
        try:
            line = msgspec.json.decode(text, type=JournalLine)
        except msgspec.MsgspecError:
            break  # a torn last line: that part does not count
        if line.part_no != len(parts) + 1 or (line.file and not (directory / line.file).exists()):
            break
        parts.append(line)
    return parts


def rewrite_journal(directory: Path, parts: list[JournalLine]) -> None:
    """Keep exactly these lines, and no part file that none of them names."""
    _write_synced(directory / JOURNAL, b"".join(msgspec.json.encode(part) + b"\n" for part in parts))
    named = {directory / part.file for part in parts}
    for file in directory.rglob("part-*.parquet"):
        if file not in named:
            file.unlink()


def append_journal(directory: Path, line: JournalLine) -> None:
    """A part counts from here on."""
    with (directory / JOURNAL).open("ab") as file:
        file.write(msgspec.json.encode(line) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """The transfer is complete from here on."""
    _write_synced(directory / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def read_manifest(directory: Path) -> Manifest:
    """Raises ExchangeFailed if there is none or it is damaged."""
    try:
        return msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise ExchangeFailed(f"{directory} holds no complete transfer: {error}") from error


def _write_synced(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def sync_and_digest(path: Path) -> tuple[str, int]:
    """Make a file durable; its SM3 (hex) and size."""
    digest, size = Sm3(), 0
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    return digest.digest().hex(), size
