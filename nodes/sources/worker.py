"""Loading in a process of its own: the agent's memory stays small and its queries quick, however much is loaded.

The child gets its job as one line of JSON, loads (`load.load_items`), and answers with one JSON object. Its standard input stays open
meanwhile: when it closes, the agent is gone, and the child ends at once. What a child that was killed had begun is deleted with the
next load; nothing is half loaded, since only its answer switches an item.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import msgspec

from consent.catalogue import Catalogue, load_catalogue
from nodes.errors import NodeError
from nodes.sources.errors import LoadInterrupted, SourcesInvalid
from nodes.sources.facts import SnapshotFacts
from nodes.sources.load import load_items
from nodes.sources.report import LoadOutcome
from nodes.sources.snapshot import Snapshot

COMMAND: Final = (sys.executable, "-m", "nodes.sources.worker")


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    sources_file: str
    snapshots: str
    catalogue_version: str
    now_ms: int


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`refused`: why the declaration cannot be used, instead of an outcome."""

    outcome: LoadOutcome | None = None
    made: tuple[SnapshotFacts, ...] = ()
    refused: str = ""


def load_in_child(
    sources_file: Path, catalogue: Catalogue, snapshots: Path, now_ms: int
) -> tuple[LoadOutcome, list[Snapshot]]:
    """As `load.load_items`, in a child process. Raises SourcesInvalid, LoadInterrupted."""
    job = _Job(
        sources_file=str(sources_file),
        snapshots=str(snapshots),
        catalogue_version=catalogue.version,
        now_ms=now_ms,
    )
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:  # noqa: S603 - our own program
        if child.stdin is None or child.stdout is None:
            raise AssertionError
        try:
            child.stdin.write(msgspec.json.encode(job) + b"\n")
            child.stdin.flush()
            said = child.stdout.read()
        except BrokenPipeError:
            said = b""
    try:
        answer = msgspec.json.decode(said, type=_Answer)
    except msgspec.DecodeError:
        raise LoadInterrupted(
            f"The load ended without a result ({_end_of(child.returncode)}); queries see the data from before. "
            "If memory is short, give the machine more or load smaller sources one by one; the node's log may say more."
        ) from None
    if answer.outcome is None:
        raise SourcesInvalid(answer.refused)
    return answer.outcome, [Snapshot(snapshots, facts) for facts in answer.made]


def _end_of(code: int) -> str:
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"


def _end_with_the_agent() -> None:
    """Nothing more comes on standard input; its end is the agent's."""
    sys.stdin.buffer.read()
    os._exit(1)


def _work(job: _Job) -> _Answer:
    catalogue = load_catalogue(job.catalogue_version)
    try:
        outcome, made = load_items(Path(job.sources_file), catalogue, Path(job.snapshots), job.now_ms)
    except SourcesInvalid as error:
        return _Answer(refused=error.message)
    return _Answer(outcome=outcome, made=tuple(snapshot.facts for snapshot in made))


def main() -> None:
    """One load: the job from standard input, the answer to standard output."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=_Job)
    threading.Thread(target=_end_with_the_agent, daemon=True).start()
    try:
        answer = _work(job)
    except NodeError as error:
        sys.exit(f"{error.code}: {error.message}")
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    sys.stdout.buffer.flush()
    os._exit(0)  # the thread still waits on standard input


if __name__ == "__main__":
    main()
