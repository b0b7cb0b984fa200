"""What stands beside a snapshot's rows, and the seal by which a change of any of it is found out.

Every byte of a snapshot is under an SM3 digest: the rows' file in parts (`Part`: one a batch, and the frame after the last), the keys,
and the facts themselves. A part has a CRC-32 too, which is what is held against it when it is read: ten times as fast, and enough
against a disk. The snapshot's own digest is that of the other digests: it names the rows, and not the time of their load,
so that the same rows have the same digest. The digests are against accidents: whoever can write to the node's disk is its operator.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from nodes.sources.errors import SnapshotDamaged
from trust.suite import Sm3, sm3

SOURCES: Final = "_sources"
QUALITY: Final = "_quality"
"""Columns of the rows' file beside subject and fields: bit n says that source n has the row in these words; `ok` or `conflict`."""
_BLOCK: Final = 1 << 20


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Bytes of the rows' file from the end of the part before to `end`, their SM3 in hex and their CRC-32."""

    end: int
    sm3: str
    crc: int


class SourceFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Where rows come from, in the dictionary's words. `updated_ms`: how old the source's data was when it was loaded."""

    name: str
    origin: str
    source_org: str
    collect_method: str
    updated_ms: int


class SnapshotFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the .json file says. `parts`: the batches of the rows' file, then its frame; `keys_sm3`: of the keys' file.

    `sources`: those of the rows, in the order of the bits of `_sources`. `loaded_ms`: when it was loaded. Milliseconds since the epoch.
    """

    item_id: str
    digest: str
    records: int
    subjects: int
    rejected: int
    loaded_ms: int
    catalogue_version: str
    sources: tuple[SourceFacts, ...]
    parts: tuple[Part, ...]
    keys_sm3: str

    @property
    def data_ms(self) -> int:
        """How old the oldest of its sources was."""
        return min((source.updated_ms for source in self.sources), default=self.loaded_ms)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one record beside its fields: its quality, and every source that has it in the same words."""

    quality: str
    sources: tuple[SourceFacts, ...]
    collected_ms: int
    catalogue_version: str


class _Sealed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    facts: msgspec.Raw
    sm3: str


def digest_of(parts: Sequence[Part], keys_sm3: str) -> str:
    """The digest that names a snapshot."""
    return sm3(bytes.fromhex("".join((*(part.sm3 for part in parts), keys_sm3)))).hex()


def file_sm3(path: Path) -> str:
    """SM3 of a file, hex; in blocks, so that its size is no matter and other threads go on."""
    digest = Sm3()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.digest().hex()


def write_facts(path: Path, facts: SnapshotFacts) -> None:
    """Write the facts and their seal, whole or not at all."""
    content = msgspec.json.encode(facts)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(_Sealed(facts=msgspec.Raw(content), sm3=sm3(content).hex())))
    temporary.replace(path)


def read_facts(path: Path, item_id: str, digest: str) -> SnapshotFacts:
    """The facts of the snapshot of that name. Raises SnapshotDamaged, also if they have the form of an earlier version."""
    try:
        sealed = msgspec.json.decode(path.read_bytes(), type=_Sealed)
        if sm3(bytes(sealed.facts)).hex() != sealed.sm3:
            raise damaged(item_id, "what stands beside its rows")
        facts = msgspec.json.decode(sealed.facts, type=SnapshotFacts)
    except FileNotFoundError:
        raise SnapshotDamaged(
            f"The snapshot of {item_id} is missing. Load the sources again; a transfer of it begins anew."
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        raise damaged(item_id, "what stands beside its rows") from error
    if (facts.item_id, facts.digest) != (item_id, digest):
        raise damaged(item_id, "its name")
    return facts


def damaged(item_id: str, what: str) -> SnapshotDamaged:
    """The error for bytes that are not those that were written."""
    return SnapshotDamaged(
        f"The snapshot of {item_id} is damaged: {what} changed on disk since it was written. Nothing of it is given. "
        "Look at the disk. Load the sources again."
    )
