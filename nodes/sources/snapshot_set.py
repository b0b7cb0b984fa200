"""The snapshots that a node serves: one current one an item, and older ones for as long as a transfer holds them.

A load switches an item in one step, in memory and on disk (`current.json`). A pin outlives restarts: it is a line in `pins.json`.
Snapshots are plain data: one that is neither current nor pinned is deleted, at the latest when the set is opened again. One process
has the folder, the one that holds the node's home.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from consent.catalogue import Catalogue
from nodes.sources.errors import ItemNotLoaded, SnapshotDamaged
from nodes.sources.facts import Kept, SnapshotFacts, read_facts
from nodes.sources.load import load_items
from nodes.sources.report import LoadOutcome
from nodes.sources.snapshot import Snapshot

_CURRENT: Final = "current.json"
_PINS: Final = "pins.json"
_DAY_MS: Final = 86_400_000

T = TypeVar("T")
Loader = Callable[[Path, Catalogue, Path, int], tuple[LoadOutcome, list[Snapshot]]]
"""What `load.load_items` is; `worker.load_in_child` does the same in a process of its own."""


@dataclass(frozen=True, kw_only=True)
class ItemStatus:
    """What a node has of an item. `stale`: older than the catalogue's frequency allows (guideline 6.3)."""

    item_id: str
    records: int
    subjects: int
    rejected: int
    loaded_ms: int
    stale: bool


class SnapshotSet:
    """All snapshots of a node. Safe for several threads."""

    def __init__(self, folder: Path, catalogue: Catalogue, loader: Loader = load_items) -> None:
        """Use `open`."""
        self._folder = folder
        self._catalogue = catalogue
        self._loader = loader
        self._lock = threading.Lock()
        self._loading = threading.Lock()
        self._current: dict[str, Snapshot] = {}
        self._pins: dict[str, dict[str, str]] = {}
        self._old: dict[str, Snapshot] = {}

    @classmethod
    def open(cls, folder: Path, catalogue: Catalogue, loader: Loader = load_items) -> Self:
        """Open what was loaded before. A damaged snapshot counts as not loaded."""
        opened = cls(folder, catalogue, loader)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        opened._pins = _read(folder / _PINS, dict[str, dict[str, str]]) or {}
        for item_id, digest in (_read(folder / _CURRENT, dict[str, str]) or {}).items():
            try:
                opened._current[item_id] = opened._open(item_id, digest)
            except SnapshotDamaged:
                continue
        opened._sweep()
        return opened

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._current.clear()
            self._old.clear()

    def load(self, sources_file: Path, now_ms: int) -> LoadOutcome:
        """Load the declared sources and switch to what they hold, one load after another. Raises SourcesInvalid, LoadInterrupted."""
        with self._loading:
            try:
                outcome, made = self._loader(sources_file, self._catalogue, self._folder, now_ms)
            except BaseException:
                # What was begun is plain data; a loader that was killed could not delete it.
                with self._lock:
                    self._sweep()
                raise
            self._switch(made)
        return outcome

    def _switch(self, made: Sequence[Snapshot]) -> None:
        with self._lock:
            for snapshot in made:
                before = self._current.get(snapshot.facts.item_id)
                self._current[snapshot.facts.item_id] = snapshot
                # The rows may have come back to what a transfer still holds: present and old are then the same files.
                self._old.pop(snapshot.digest, None)
                if before is not None and before.digest != snapshot.digest:
                    self._old[before.digest] = before
            _write(self._folder / _CURRENT, {item_id: each.digest for item_id, each in self._current.items()})
            self._drop_unpinned()

    def lookup(self, item_id: str, uscc: str) -> Sequence[dict[str, Any]]:
        """A subject's records. Raises ItemNotLoaded: no data is another thing than no record."""
        return self._now(item_id).lookup(uscc)

    def rows(self, item_id: str, uscc: str, fields: Sequence[str]) -> list[Any]:
        """A subject's rows as Arrow batches: `uscc` and the fields. Raises ItemNotLoaded."""
        return self._now(item_id).rows(uscc, fields)

    def kept(self, item_id: str, uscc: str) -> Sequence[Kept]:
        """Quality and origin of a subject's records, in the order of `lookup`. Raises ItemNotLoaded."""
        return self._now(item_id).kept(uscc)

    def pin(self, item_id: str, holder: str) -> str:
        """Keep the present snapshot for a holder; its digest. Raises ItemNotLoaded."""
        with self._lock:
            # Looked up under the lock: a load that ends now would delete what is not pinned yet.
            snapshot = self._now(item_id)
            self._pins.setdefault(holder, {})[item_id] = snapshot.digest
            _write(self._folder / _PINS, self._pins)
        return snapshot.digest

    def unpin(self, holder: str) -> None:
        """Let go of every snapshot that a holder kept."""
        with self._lock:
            if self._pins.pop(holder, None) is not None:
                _write(self._folder / _PINS, self._pins)
                self._drop_unpinned()

    def scan(self, item_id: str, digest: str, subjects: Any, fields: Sequence[str], batch_rows: int) -> Iterator[Any]:  # noqa: ANN401 - pyarrow
        """The rows of sorted subjects in a fixed order, from the snapshot of this digest. Raises SnapshotDamaged if it is gone."""
        with self._lock:
            current = self._current.get(item_id)
            snapshot = current if current is not None and current.digest == digest else self._old.get(digest)
            if snapshot is None:
                snapshot = self._old[digest] = self._open(item_id, digest)
        return snapshot.scan(subjects, fields, batch_rows)

    def codes(self, item_id: str) -> npt.NDArray[np.bytes_]:
        """The codes of all subjects that have a record of an item now, 18 bytes each, ascending. Raises ItemNotLoaded."""
        with self._lock:
            snapshot = self._now(item_id)
        return snapshot.codes()

    def status(self, now_ms: int) -> list[ItemStatus]:
        """What is loaded."""
        with self._lock:
            facts = [snapshot.facts for snapshot in self._current.values()]
        return [
            ItemStatus(
                item_id=each.item_id,
                records=each.records,
                subjects=each.subjects,
                rejected=each.rejected,
                loaded_ms=each.loaded_ms,
                stale=self._stale(each, now_ms),
            )
            for each in facts
        ]

    def _stale(self, facts: SnapshotFacts, now_ms: int) -> bool:
        days = self._catalogue.item(facts.item_id).update_days
        return days is not None and now_ms - facts.data_ms > days * _DAY_MS

    def _now(self, item_id: str) -> Snapshot:
        snapshot = self._current.get(item_id)
        if snapshot is None:
            raise ItemNotLoaded(
                f"This node has no data of {item_id}; its operator has to load the source (`xinqiao node load`)."
            )
        return snapshot

    def _open(self, item_id: str, digest: str) -> Snapshot:
        return Snapshot(self._folder, read_facts(self._folder / f"{item_id}-{digest}.json", item_id, digest))

    def _sweep(self) -> None:
        """Delete what an interrupted load or an earlier process left behind."""
        present = {item_id: each.digest for item_id, each in self._current.items()}
        needed = {f"{item_id}-{digest}" for held in (present, *self._pins.values()) for item_id, digest in held.items()}
        for path in self._folder.iterdir():
            if path.name.startswith(".load-"):
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix == ".tmp" or (path.name not in {_CURRENT, _PINS} and path.stem not in needed):
                path.unlink(missing_ok=True)

    def _drop_unpinned(self) -> None:
        held = {digest for pins in self._pins.values() for digest in pins.values()}
        held |= {snapshot.digest for snapshot in self._current.values()}
        for digest, snapshot in list(self._old.items()):
            if digest not in held:
                del self._old[digest]
                snapshot.remove()


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SnapshotDamaged(f"{path} is damaged. Remove it and load the sources again.") from error


def _write(path: Path, content: object) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(content))
    temporary.replace(path)
