"""An immutable snapshot of one item: what queries look up and transfers read, unchanged however often the sources are loaded again.

Files, named by the item and the digest of the rows:

    <item>-<digest>.arrow   the rows, sorted by subject, in batches of a fixed number (Arrow IPC)
    <item>-<digest>.keys    the subjects' codes, 18 bytes a row, for a binary search
    <item>-<digest>.json    what it is, with a checksum of each batch and of the keys

and, where several sources contradict each other, <item>-<digest>.conflicts (`conflicts`).

A lookup is a binary search in the mapped keys and one slice of one or two batches: tens of microseconds, a few pages of memory. A scan
reads batch after batch into memory of its own, so that a transfer of any size stays small. A batch is held against its checksum before
anything of it is used, so that a disk that lies is found out and no wrong value is ever given. Checksums are CRC-32: they are against
accidents; whoever can write to the node's disk is its operator.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from consent.catalogue import Item
from nodes.sources.codes import CODE_LENGTH, code_keys
from nodes.sources.errors import SnapshotDamaged
from trust.suite import Sm3

BATCH_ROWS: Final = 16_384
_KEY: Final = f"S{CODE_LENGTH}"


class SnapshotFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the .json file says. `digest`: SM3 of the rows' file; `batch_crcs` and `keys_crc`: CRC-32.

    `loaded_ms`: when it was loaded; `data_ms`: when the oldest of its sources was written. Milliseconds since the epoch.
    """

    item_id: str
    digest: str
    records: int
    subjects: int
    rejected: int
    loaded_ms: int
    data_ms: int
    batch_crcs: tuple[int, ...]
    keys_crc: int


class Snapshot:
    """One snapshot, opened."""

    def __init__(self, folder: Path, facts: SnapshotFacts) -> None:
        """Raises SnapshotDamaged if a file is missing or does not have its form."""
        self.facts = facts
        self._path = _file(folder, facts.item_id, facts.digest, "arrow")
        self._keys_path = _file(folder, facts.item_id, facts.digest, "keys")
        try:
            self._mapped = pa.ipc.open_file(pa.memory_map(str(self._path)))
            self._keys = np.memmap(self._keys_path, dtype=_KEY, mode="r") if facts.records else np.empty(0, dtype=_KEY)
        except (OSError, ValueError, pa.ArrowInvalid) as error:
            raise SnapshotDamaged(
                f"The snapshot of {facts.item_id} is damaged ({error}). Load the sources again."
            ) from error
        if len(self._keys) != facts.records or self._mapped.num_record_batches != len(facts.batch_crcs):
            raise SnapshotDamaged(f"The snapshot of {facts.item_id} lacks rows. Load the sources again.")
        if crc32(self._keys.data) != facts.keys_crc:
            raise self._damaged("its keys")
        self._verified: set[int] = set()

    @property
    def digest(self) -> str:
        """SM3 of the rows' file, hex."""
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
        key = np.bytes_(uscc.encode("ascii", errors="replace"))
        first = int(np.searchsorted(self._keys, key, side="left"))
        last = int(np.searchsorted(self._keys, key, side="right"))
        found: list[dict[str, Any]] = []
        while first < last:
            place, offset = divmod(first, BATCH_ROWS)
            count = min(last - first, BATCH_ROWS - offset)
            rows = self._batch(place).slice(offset, count).to_pylist()
            for row in rows:
                del row["uscc"]
            found += rows
            first += count
        return found

    def scan(self, subjects: Any, fields: Sequence[str], batch_rows: int) -> Iterator[Any]:  # noqa: ANN401 - pyarrow
        """The rows of sorted `subjects`: `uscc` and the fields, exactly `batch_rows` a batch but for the last."""
        wanted = code_keys(subjects)
        waiting: list[Any] = []
        count = 0
        with pa.OSFile(str(self._path)) as file:
            reader = pa.ipc.open_file(file)
            for place in range(reader.num_record_batches):
                keys = self._keys[place * BATCH_ROWS : (place + 1) * BATCH_ROWS]
                mask = _is_in(keys, wanted)
                if not mask.any():
                    continue
                batch = self._intact(reader.get_batch(place), place).select(["uscc", *fields])
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

    def _batch(self, place: int) -> Any:  # noqa: ANN401 - pyarrow
        """A mapped batch, held against its checksum when it is read first."""
        batch = self._mapped.get_batch(place)
        if place not in self._verified:
            self._intact(batch, place)
            self._verified.add(place)
        return batch

    def _intact(self, batch: Any, place: int) -> Any:  # noqa: ANN401 - pyarrow
        if _crc_of(batch) != self.facts.batch_crcs[place]:
            raise self._damaged(f"batch {place} of its rows")
        return batch

    def _damaged(self, what: str) -> SnapshotDamaged:
        return SnapshotDamaged(
            f"The snapshot of {self.facts.item_id} is damaged: {what} changed on disk since it was written. Nothing of it is "
            "given. Look at the disk, then load the sources again."
        )

    def remove(self) -> None:
        """Delete the files; open maps stay readable until they are closed."""
        for path in (self._path, self._keys_path, self._path.with_suffix(".json"), self.conflicts_file):
            path.unlink(missing_ok=True)


def write_snapshot(
    item: Item, batches: Iterable[Any], folder: Path, *, loaded_ms: int, rejected: int, data_ms: int | None = None
) -> Snapshot:
    """Write sorted rows (`uscc` first) as a snapshot and open it. Raises OSError; then nothing counts."""
    temporary = folder / f".{item.id}.arrow.tmp"
    keys_temporary = folder / f".{item.id}.keys.tmp"
    records = subjects = 0
    last = b""
    schema = None
    with temporary.open("wb") as file, keys_temporary.open("wb") as keys_file:
        writer = None
        for batch in _fixed(batches):
            if writer is None:
                schema = batch.schema
                writer = pa.ipc.new_file(file, schema)
            writer.write_batch(batch)
            keys = code_keys(batch.column(0))
            keys_file.write(keys.tobytes())
            changes = int((keys[1:] != keys[:-1]).sum()) + int(bytes(keys[0]) != last)
            records, subjects, last = records + batch.num_rows, subjects + changes, bytes(keys[-1])
        if writer is None:
            names = ["uscc", *(field.name for field in item.fields)]
            writer = pa.ipc.new_file(file, pa.schema([(name, pa.string()) for name in names]))
        writer.close()
        for each in (file, keys_file):
            each.flush()
            os.fsync(each.fileno())
    crcs, keys_crc = _crcs(temporary, keys_temporary)
    facts = SnapshotFacts(
        item_id=item.id,
        digest=_digest(temporary),
        batch_crcs=crcs,
        keys_crc=keys_crc,
        records=records,
        subjects=subjects,
        rejected=rejected,
        loaded_ms=loaded_ms,
        data_ms=loaded_ms if data_ms is None else data_ms,
    )
    temporary.replace(_file(folder, item.id, facts.digest, "arrow"))
    keys_temporary.replace(_file(folder, item.id, facts.digest, "keys"))
    _file(folder, item.id, facts.digest, "json").write_bytes(msgspec.json.encode(facts))
    return Snapshot(folder, facts)


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


def _crcs(rows: Path, keys: Path) -> tuple[tuple[int, ...], int]:
    """Of each batch, and of the keys, as they are read back."""
    with pa.OSFile(str(rows)) as file:
        reader = pa.ipc.open_file(file)
        crcs = tuple(_crc_of(reader.get_batch(place)) for place in range(reader.num_record_batches))
    found = 0
    with keys.open("rb") as file:
        while block := file.read(1 << 20):
            found = crc32(block, found)
    return crcs, found


def _crc_of(batch: Any) -> int:  # noqa: ANN401 - pyarrow
    """CRC-32 over the buffers of a batch as a file has them, absent ones included."""
    found = 0
    for column in batch.columns:
        for buffer in column.buffers():
            found = crc32(b"\0" if buffer is None else memoryview(buffer), found)
    return found


def _digest(path: Path) -> str:
    digest = Sm3()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.digest().hex()


def _file(folder: Path, item_id: str, digest: str, kind: str) -> Path:
    return folder / f"{item_id}-{digest}.{kind}"
