"""A party's process of a comparison: `python -m nodes.psi.worker`, started by `nodes.party.process.start_party`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from modeling.channel import Channel
from modeling.executor import Executor, Processes, executor_at
from modeling.psi.align import align_active, align_passive
from modeling.psi.intersection import Terms, intersect
from modeling.psi.store import Rows
from nodes.party.inside import Agent, serve_party
from nodes.psi.codes import CodeFile, write_codes
from nodes.psi.task import SETTLED, Result, Task, common_file, order_file

FEW: Final = 8192
"""Up to so many codes are compared in this process: others would take longer to start."""


class _Progress:
    """How far the intersections are, all together; told from several threads."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._lock = threading.Lock()
        self._of: dict[str, tuple[int, int]] = {}

    def tell(self, peer: str, done: int, total: int) -> None:
        with self._lock:
            self._of[peer] = (done, total)
            self._agent.progress(
                "compare", sum(each for each, _ in self._of.values()), sum(each for _, each in self._of.values())
            )


def run(task: Task, agent: Agent, channels: Mapping[str, Channel]) -> bytes:
    """The party's `Result`; which are common lies in the task's folder. Raises ModelingError."""
    codes, folder = CodeFile(Path(task.codes)), Path(task.folder)
    with _executor(task, len(codes)) as executor:
        size = (
            _which(task, agent, channels, codes, folder, executor)
            if task.rows
            else _how_many(task, agent, channels, codes, folder, executor)
        )
    return msgspec.json.encode(Result(size=size))


def _executor(task: Task, count: int) -> AbstractContextManager[Executor]:
    return Processes(0) if not task.executor and count <= FEW else executor_at(task.executor)


def _how_many(
    task: Task, agent: Agent, channels: Mapping[str, Channel], codes: CodeFile, folder: Path, executor: Executor
) -> int:
    ((peer, channel),) = channels.items()
    progress = _Progress(agent)
    return intersect(
        channel,
        codes,
        Terms(exchange=task.run, mode="size", minimum=task.minimum),
        leads=task.party == task.active,
        folder=folder,
        executor=executor,
        progress=lambda done, total: progress.tell(peer, done, total),
    ).size


def _which(
    task: Task, agent: Agent, channels: Mapping[str, Channel], codes: CodeFile, folder: Path, executor: Executor
) -> int:
    terms = Terms(exchange=task.run, minimum=task.minimum)
    progress = _Progress(agent)

    def common(peer: str, rows: Rows) -> None:
        write_codes(common_file(folder, peer), codes.taken(rows))

    if task.party == task.active:
        order = align_active(
            channels,
            codes,
            terms,
            folder=folder,
            executor=executor,
            keep=task.keep,
            known=common,
            progress=progress.tell,
        )
    else:

        def settle(rows: Rows) -> None:
            common(task.active, rows)
            agent.ask(SETTLED)  # on record before the other party learns which they are

        order = align_passive(
            channels[task.active],
            task.party,
            codes,
            terms,
            folder=folder,
            executor=executor,
            keep=task.keep,
            known=settle,
            progress=lambda done, total: progress.tell(task.active, done, total),
        )
    write_codes(order_file(folder), codes.taken(order))
    return len(order)


if __name__ == "__main__":
    serve_party(Task, run)
