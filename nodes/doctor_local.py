"""The doctor's checks of the node's own machine: disk, socket path, data sources, workers. See `nodes.doctor` for its rules."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from consent.catalogue import Catalogue
from modeling.errors import WorkersFailed
from modeling.executor import executor_at
from nodes.settings import UNIX_PATH_LIMIT
from nodes.sources.config import FILE_TYPES, Source, load_config
from nodes.sources.errors import SourcesInvalid

LEAST_FREE_BYTES: Final = 1 << 30
SLOWEST_FSYNC_S: Final = 0.5
_FSYNCS: Final = 5


@dataclass(frozen=True)
class Finding:
    """What one check found. `check` is its stable name; `fix` says what to do, and is empty when `ok`."""

    check: str
    ok: bool
    what: str
    fix: str = ""


def check_disk(
    folder: Path,
    *,
    least_free_bytes: int = LEAST_FREE_BYTES,
    slowest_fsync_s: float = SLOWEST_FSYNC_S,
    timer: Callable[[], float] = time.perf_counter,
) -> Finding:
    """Whether there is space, and how long a durable write takes: the node waits for one before every use."""
    try:
        free = shutil.disk_usage(folder).free
        took_s = _fsync_s(folder, timer)
    except OSError as error:
        return Finding(
            "disk", False, f"{folder} cannot be written: {error}.", "Check the folder, its owner and the disk."
        )
    told = f"{free / (1 << 30):.1f} GiB free, a durable write takes {took_s * 1000:.1f} ms"
    if free < least_free_bytes:
        fix = "Make room, or move the home: without space the node records no use and so refuses all."
        return Finding("disk", False, f"Less than {least_free_bytes / (1 << 30):g} GiB is free: {told}.", fix)
    if took_s > slowest_fsync_s:
        return Finding("disk", False, f"The disk is slow: {told}.", "Move the home to a local disk, not a network one.")
    return Finding("disk", True, f"{told}.")


def _fsync_s(folder: Path, timer: Callable[[], float]) -> float:
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(_FSYNCS):
            file.write(bytes(4096))
            file.flush()
            begun = timer()
            os.fsync(file.fileno())
            times.append(timer() - begun)
    return median(times)


def check_socket_path(home: Path, chosen: Path) -> Finding:
    """Whether the path of the agent's local socket fits into a Unix socket address. `chosen`: where the agent listens."""
    length = len(bytes(chosen))
    if length > UNIX_PATH_LIMIT:
        what = f"The path of the local socket, {chosen}, has {length} bytes; {UNIX_PATH_LIMIT} fit."
        return Finding(
            "socket", False, what, "Choose a shorter home, or a shorter TMPDIR for the agent and the commands."
        )
    if chosen.parent != home.resolve():
        what = (
            f"The home's path is too long for a socket; the agent uses {chosen} ({length} of {UNIX_PATH_LIMIT} bytes)."
        )
        return Finding("socket", True, what)
    return Finding("socket", True, f"{chosen} ({length} of {UNIX_PATH_LIMIT} bytes).")


def check_sources(sources_file: Path, catalogue: Catalogue) -> Finding:
    """Whether sources.toml can be used and the files that it names are there. No source is opened."""
    try:
        sources = load_config(sources_file, catalogue)
    except SourcesInvalid as error:
        return Finding("sources", False, str(error), f"Correct {sources_file}.")
    missing = [f"{source.name}: {path}" for source in sources if (path := _missing(source)) is not None]
    if missing:
        fix = f"Put the files there, or correct {sources_file}; then `xinqiao node load`."
        return Finding("sources", False, f"Files of sources are missing or not readable: {', '.join(missing)}.", fix)
    if not sources:
        return Finding("sources", True, "No data source is declared.")
    return Finding("sources", True, f"{len(sources)} declared; their files are there.")


def check_executor(name: str) -> Finding:
    """Whether the executor that `joint_executor` names does a piece of work. Of a cluster one machine is tried."""
    if not name:
        return Finding("executor", True, "Joint models are computed in their parties' processes.")
    try:
        with executor_at(name) as executor:
            list(executor.map(bytes, [b""]))
    except WorkersFailed as error:
        fix = "Mend that, or name another `joint_executor` in node.toml. The doctor needs the RAY_* variables of the node's service."
        return Finding("executor", False, f"{error}.", fix)
    return Finding("executor", True, f"{name} takes work.")


def _missing(source: Source) -> Path | None:
    if source.config.type in FILE_TYPES:
        path = source.path
        found = sorted(path.parent.glob(path.name)) if source.config.type != "sqlite" else [path]  # as they are read
    elif source.config.url_file is not None:
        path = source.directory / source.config.url_file
        found = [path]
    else:
        return None
    unreadable = [each for each in found if not (each.is_file() and os.access(each, os.R_OK))]
    return path if not found else next(iter(unreadable), None)
