"""An exported log as files, so that anybody can check it without a server.

    log.json         {"format": "xinqiao-log-1", "origin", "size"}
    leaves.bin       every entry in order: its length in 4 bytes (big-endian), then its bytes
    hashes.bin       the hash of every entry, 32 bytes each: names the very entry that was altered
    checkpoint.json  the hub's signed checkpoint with the cosignatures of witnesses
    hub.json         the hub's key as the exporter has it; whoever checks should have their own
    directory/       the same of the directory log, whose keys verify the entries

Reading is as strict as what it feeds: a file that ends inside an entry is told as that entry missing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec

from cli.errors import CliError
from consent.audit import AuditFailed, Export
from trust.document import SignedDocument
from trust.merkle import leaf_hash

DIRECTORY_FOLDER: Final = "directory"
CHECKPOINT_FILE: Final = "checkpoint.json"
LOG_FILE: Final = "log.json"
LEAVES_FILE: Final = "leaves.bin"
HASHES_FILE: Final = "hashes.bin"
HUB_FILE: Final = "hub.json"
MAX_LEAF: Final = 64 << 20
_LENGTH: Final = struct.Struct(">I")


class _LogFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    format: Literal["xinqiao-log-1"] = "xinqiao-log-1"
    origin: str
    size: int


class ExportWriter:
    """Writes one log into a new folder, entry by entry."""

    def __init__(self, folder: Path, origin: str) -> None:
        """Begin. Raises CliError ALREADY_EXISTS if the folder is not empty."""
        if folder.exists() and any(folder.iterdir()):
            raise CliError("ALREADY_EXISTS", f"{folder} is not empty and is not overwritten. Choose another folder.")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._origin = origin
        self.size = 0

    def write(self, parts: Iterable[bytes | SignedDocument]) -> SignedDocument:
        """Write the entries, then the checkpoint that ends them. Raises CliError if there is no checkpoint."""
        try:
            checkpoint = self._copy(parts)
        except BaseException:
            # Half an export helps nobody and would stand in the way of the next attempt.
            for name in (LEAVES_FILE, HASHES_FILE):
                (self._folder / name).unlink(missing_ok=True)
            raise
        (self._folder / CHECKPOINT_FILE).write_bytes(checkpoint.encode())
        about = _LogFile(origin=self._origin, size=self.size)
        (self._folder / LOG_FILE).write_bytes(msgspec.json.encode(about) + b"\n")
        return checkpoint

    def _copy(self, parts: Iterable[bytes | SignedDocument]) -> SignedDocument:
        checkpoint: SignedDocument | None = None
        with (self._folder / LEAVES_FILE).open("wb") as leaves, (self._folder / HASHES_FILE).open("wb") as hashes:
            for part in parts:
                if isinstance(part, SignedDocument):
                    checkpoint = part
                    continue
                leaves.write(_LENGTH.pack(len(part)) + part)
                hashes.write(leaf_hash(part))
                self.size += 1
        if checkpoint is None:
            raise CliError("UNAVAILABLE", f"The hub ended the export of {self._origin} early. Export again.")
        return checkpoint


def read_export(folder: Path) -> Export:
    """Open an exported log; entries are read as they are checked.

    Raises CliError INVALID_ARGUMENT if the folder is no export, AuditFailed for entries that are cut off.
    """
    try:
        about = msgspec.json.decode((folder / LOG_FILE).read_bytes(), type=_LogFile)
        checkpoint = SignedDocument.decode((folder / CHECKPOINT_FILE).read_bytes())
        hashes = folder / HASHES_FILE
        listed = hashes.read_bytes() if hashes.exists() else None
    except (FileNotFoundError, msgspec.DecodeError) as error:
        raise CliError(
            "INVALID_ARGUMENT", f"{folder} is no exported log ({error}). Make one: `xinqiao audit export`."
        ) from error
    return Export(origin=about.origin, leaves=_leaves(folder, about.origin), checkpoint=checkpoint, hashes=listed)


def _leaves(folder: Path, origin: str) -> Iterator[bytes]:
    with (folder / LEAVES_FILE).open("rb") as stream:
        index = 0
        while head := stream.read(_LENGTH.size):
            yield _body(stream, head, index, origin)
            index += 1


def _body(stream: BinaryIO, head: bytes, index: int, origin: str) -> bytes:
    length = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else MAX_LEAF + 1
    leaf = stream.read(length) if length <= MAX_LEAF else b""
    if length > MAX_LEAF or len(leaf) != length:
        raise AuditFailed("the file ends inside this entry, or its length was altered", index=index, origin=origin)
    return leaf
