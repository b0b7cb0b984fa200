"""Loading in a process of its own: the agent's memory stays small and its queries quick, however much is loaded.

The child gets its job as one line of JSON, loads (`load.load_items`), and answers with one JSON object. Its standard input stays open
meanwhile: when it closes, the agent is gone, and the child ends at once. Nothing is half loaded, since only the child's answer
switches an item; what a child that was killed had begun, `snapshot_set` deletes. An error that nobody expected is told by its kind and
its place in the program: its words may repeat a cell.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Final

import msgspec

from consent.catalogue import Catalogue, load_catalogue
from nodes.errors import NodeError
from nodes.sources.errors import LoadInterrupted, SourcesInvalid, without_result
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
    """`refused`: why the declaration cannot be used, `failed`: what ended the load, instead of an outcome."""

    outcome: LoadOutcome | None = None
    made: tuple[SnapshotFacts, ...] = ()
    refused: str = ""
    failed: str = ""


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
    # Without buffers: what a dead child did not take would be written again when the pipe is closed.
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:  # noqa: S603 - our own program
        if child.stdin is None or child.stdout is None:
            raise AssertionError
        try:
            child.stdin.write(msgspec.json.encode(job) + b"\n")
            said = child.stdout.read()
        except BrokenPipeError:
            said = b""
    try:
        answer = msgspec.json.decode(said, type=_Answer)
    except msgspec.DecodeError:
        raise without_result(_end_of(child.returncode)) from None
    if answer.failed:
        raise LoadInterrupted(answer.failed)
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
    try:
        catalogue = load_catalogue(job.catalogue_version)
        outcome, made = load_items(Path(job.sources_file), catalogue, Path(job.snapshots), job.now_ms)
    except SourcesInvalid as error:
        return _Answer(refused=error.message)
    except NodeError as error:
        return _Answer(failed=error.message)
    except MemoryError:
        return _Answer(failed=without_result("out of memory").message)
    except Exception as error:
        traceback.print_tb(error.__traceback__)
        return _Answer(failed=without_result(type(error).__name__).message)
    return _Answer(outcome=outcome, made=tuple(snapshot.facts for snapshot in made))


def main() -> None:
    """One load: the job from standard input, the answer to standard output."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=_Job)
    threading.Thread(target=_end_with_the_agent, daemon=True).start()
    sys.stdout.buffer.write(msgspec.json.encode(_work(job)))
    sys.stdout.buffer.flush()
    sys.stderr.flush()
    os._exit(0)  # the thread still waits on standard input


if __name__ == "__main__":
    main()
