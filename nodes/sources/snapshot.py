"""An immutable snapshot of one item: what queries look up and transfers read, unchanged however often the sources are loaded again.

Files, named by the item and the digest of the rows:

    <item>-<digest>.arrow   the rows with their quality and sources, sorted by subject, in batches of a fixed number (Arrow IPC)
    <item>-<digest>.keys    the subjects' codes, 18 bytes a row, for a binary search
    <item>-<digest>.json    what it is, with a digest of every part of the other two (`facts`)

and, where several sources contradict each other, <item>-<digest>.conflicts (`merge`).

A lookup is a binary search in the mapped keys and one slice of one or two batches: tens of microseconds, a few pages of memory. A scan
reads batch after batch into memory of its own, so that a transfer of any size stays small. The keys and the rows' frame, which says how
bytes become values, are held against their digests on opening; a batch when it is read first. So a disk that lies is found out and no
wrong value is ever given.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from consent.catalogue import Item
from nodes.sources.codes import CODE_LENGTH, code_keys
from nodes.sources.errors import SnapshotDamaged
from nodes.sources.facts import (
    QUALITY,
    SOURCES,
    Kept,
    Part,
    SnapshotFacts,
    SourceFacts,
    damaged,
    digest_of,
    file_sm3,
    write_facts,
)
from trust.suite import Sm3

BATCH_ROWS: Final = 16_384
_KEY: Final = f"S{CODE_LENGTH}"


class Snapshot:
    """One snapshot, opened."""

    def __init__(self, folder: Path, facts: SnapshotFacts) -> None:
        """Raises SnapshotDamaged if a file is missing or does not have its form."""
        self.facts = facts
        self._path = _file(folder, facts.item_id, facts.digest, "arrow")
        self._keys_path = _file(folder, facts.item_id, facts.digest, "keys")
        self._intact: set[int] = set()
        if digest_of(facts.parts, facts.keys_sm3) != facts.digest:
            raise damaged(facts.item_id, "its digest")
        try:
            # Kept open: what was deleted meanwhile can be read to its end.
            self._file = pa.OSFile(str(self._path))
            if self._file.size() != facts.parts[-1].end:
                raise damaged(facts.item_id, "the length of its rows")
            self._verify(len(facts.parts) - 1, "the frame of its rows")
            if file_sm3(self._keys_path) != facts.keys_sm3:
                raise damaged(facts.item_id, "its keys")
            self._mapped = pa.ipc.open_file(pa.memory_map(str(self._path)))
            self._fields = [name for name in self._mapped.schema.names if name not in {"uscc", SOURCES, QUALITY}]
            self._keys = np.memmap(self._keys_path, dtype=_KEY, mode="r") if facts.records else np.empty(0, dtype=_KEY)
        except (OSError, ValueError, pa.ArrowInvalid) as error:
            raise SnapshotDamaged(
                f"The snapshot of {facts.item_id} cannot be read ({type(error).__name__}). Load the sources again."
            ) from error

    @property
    def digest(self) -> str:
        """What names its rows, hex (`facts`)."""
        return self.facts.digest

    @property
    def records(self) -> int:
        """Rows."""
        return self.facts.records

    @property
    def subjects(self) -> int:
        """Distinct subjects."""
        return self.facts.subjects

    @property
    def conflicts_file(self) -> Path:
        """Where contradictions between the sources stand, if there are any."""
        return self._path.with_suffix(".conflicts")

    def lookup(self, uscc: str) -> list[dict[str, Any]]:
        """A subject's records in a fixed order."""
        return self._rows_of(uscc, self._fields)

    def kept(self, uscc: str) -> list[Kept]:
        """Quality and origin of a subject's records, in the order of `lookup`."""
        return [
            Kept(
                quality=row[QUALITY],
                sources=tuple(source for place, source in enumerate(self.facts.sources) if row[SOURCES] >> place & 1),
                collected_ms=self.facts.loaded_ms,
                catalogue_version=self.facts.catalogue_version,
            )
            for row in self._rows_of(uscc, [SOURCES, QUALITY])
        ]

    def rows(self, uscc: str, fields: Sequence[str]) -> list[Any]:
        """A subject's rows in a fixed order as Arrow batches: `uscc` and the fields."""
        return self._batches_of(uscc, ["uscc", *fields])

    def _rows_of(self, uscc: str, columns: Sequence[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for batch in self._batches_of(uscc, columns):
            found += batch.to_pylist()
        return found

    def _batches_of(self, uscc: str, columns: Sequence[str]) -> list[Any]:
        key = np.bytes_(uscc.encode("ascii", errors="replace"))
        first = int(np.searchsorted(self._keys, key, side="left"))
        last = int(np.searchsorted(self._keys, key, side="right"))
        found: list[Any] = []
        while first < last:
            place, offset = divmod(first, BATCH_ROWS)
            count = min(last - first, BATCH_ROWS - offset)
            self._verify(place, f"batch {place} of its rows")
            found.append(self._mapped.get_batch(place).slice(offset, count).select(columns))
            first += count
        return found

    def scan(self, subjects: Any, fields: Sequence[str], batch_rows: int) -> Iterator[Any]:  # noqa: ANN401 - pyarrow
        """The rows of sorted `subjects`: `uscc` and the fields, exactly `batch_rows` a batch but for the last."""
        wanted = code_keys(subjects)
        waiting: list[Any] = []
        count = 0
        reader = pa.ipc.open_file(self._file)
        for place in range(reader.num_record_batches):
            mask = _is_in(self._keys[place * BATCH_ROWS : (place + 1) * BATCH_ROWS], wanted)
            if not mask.any():
                continue
            self._verify(place, f"batch {place} of its rows")
            batch = reader.get_batch(place).select(["uscc", *fields])
            batch = batch if mask.all() else batch.filter(pa.array(mask))
            waiting.append(batch)
            count += batch.num_rows
            if count >= batch_rows:
                whole = pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]
                done = count - count % batch_rows
                for start in range(0, done, batch_rows):
                    yield whole.slice(start, batch_rows)
                waiting, count = ([whole.slice(done)], count - done) if count > done else ([], 0)
        if waiting:
            yield pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]

    def codes(self) -> npt.NDArray[np.bytes_]:
        """Every subject's code once, in ascending order."""
        keys = np.asarray(self._keys)
        first = np.ones(len(keys), np.bool_)
        first[1:] = keys[1:] != keys[:-1]
        found: npt.NDArray[np.bytes_] = keys[first]
        return found

    def _verify(self, place: int, what: str) -> None:
        """Hold a part of the rows' file against its digest, once. Raises SnapshotDamaged."""
        if place in self._intact:
            return
        start = self.facts.parts[place - 1].end if place else 0
        part = self.facts.parts[place]
        if crc32(self._file.read_at(part.end - start, start)) != part.crc:
            raise damaged(self.facts.item_id, what)
        self._intact.add(place)

    def remove(self) -> None:
        """Delete the files; open maps stay readable until they are closed."""
        for path in (self._path, self._keys_path, self._path.with_suffix(".json"), self.conflicts_file):
            path.unlink(missing_ok=True)


def write_snapshot(
    item: Item,
    batches: Iterable[Any],
    folder: Path,
    *,
    loaded_ms: int,
    rejected: int,
    catalogue_version: str = "",
    sources: tuple[SourceFacts, ...] = (),
) -> Snapshot:
    """Write sorted rows (`uscc` first) as a snapshot and open it. Raises OSError; then nothing counts."""
    temporary = folder / f".{item.id}.arrow.tmp"
    keys_temporary = folder / f".{item.id}.keys.tmp"
    records = subjects = 0
    last = b""
    with temporary.open("wb") as file, keys_temporary.open("wb") as keys_file:
        rows_file, keys_digest = _Parts(file), Sm3()
        writer = None
        for batch in _fixed(batches):
            if writer is None:
                writer = pa.ipc.new_file(rows_file, batch.schema)
            writer.write_batch(batch)
            rows_file.end()
            keys = code_keys(batch.column(0))
            keys_file.write(keys.tobytes())
            keys_digest.update(keys.tobytes())
            changes = int((keys[1:] != keys[:-1]).sum()) + int(bytes(keys[0]) != last)
            records, subjects, last = records + batch.num_rows, subjects + changes, bytes(keys[-1])
        if writer is None:
            names = ["uscc", *(field.name for field in item.fields)]
            writer = pa.ipc.new_file(rows_file, pa.schema([(name, pa.string()) for name in names]))
        writer.close()
        rows_file.end()
        for each in (file, keys_file):
            each.flush()
            os.fsync(each.fileno())
    parts, keys_sm3 = tuple(rows_file.parts), keys_digest.digest().hex()
    facts = SnapshotFacts(
        item_id=item.id,
        digest=digest_of(parts, keys_sm3),
        parts=parts,
        keys_sm3=keys_sm3,
        records=records,
        subjects=subjects,
        rejected=rejected,
        loaded_ms=loaded_ms,
        catalogue_version=catalogue_version,
        sources=sources,
    )
    temporary.replace(_file(folder, item.id, facts.digest, "arrow"))
    keys_temporary.replace(_file(folder, item.id, facts.digest, "keys"))
    write_facts(_file(folder, item.id, facts.digest, "json"), facts)
    return Snapshot(folder, facts)


class _Parts(io.RawIOBase):
    """A file that digests what is written to it, part by part: the digests are of what was meant, not of what a disk kept."""

    def __init__(self, file: BinaryIO) -> None:
        self.parts: list[Part] = []
        self._file = file
        self._digest = Sm3()
        self._crc = 0
        self._written = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, content: Any) -> int:  # noqa: ANN401 - any buffer
        view = memoryview(content).cast("B")
        self._digest.update(view)
        self._crc = crc32(view, self._crc)
        self._file.write(view)
        self._written += view.nbytes
        return view.nbytes

    def end(self) -> None:
        """The next byte belongs to another part."""
        self.parts.append(Part(self._written, self._digest.digest().hex(), self._crc))
        self._digest, self._crc = Sm3(), 0


def _fixed(batches: Iterable[Any]) -> Iterator[Any]:
    """The same rows in batches of exactly BATCH_ROWS, without chunks, but for the last."""
    waiting: list[Any] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        while count >= BATCH_ROWS:
            whole = pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]
            yield whole.slice(0, BATCH_ROWS)
            waiting, count = [whole.slice(BATCH_ROWS)], count - BATCH_ROWS
    if count:
        yield pa.Table.from_batches(waiting).combine_chunks().to_batches()[0]


def _is_in(keys: npt.NDArray[np.bytes_], wanted: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bool_]:
    """Which of sorted keys are among sorted wanted ones."""
    if len(wanted) == 0 or len(keys) == 0:
        return np.zeros(len(keys), dtype=np.bool_)
    low, high = np.searchsorted(wanted, keys[0], side="left"), np.searchsorted(wanted, keys[-1], side="right")
    near = wanted[low:high]
    if len(near) == 0:
        return np.zeros(len(keys), dtype=np.bool_)
    places = np.minimum(np.searchsorted(near, keys), len(near) - 1)
    found: npt.NDArray[np.bool_] = near[places] == keys
    return found


def _file(folder: Path, item_id: str, digest: str, kind: str) -> Path:
    return folder / f"{item_id}-{digest}.{kind}"
