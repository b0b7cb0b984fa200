"""A party's process of a joint job: `python -m nodes.joint.worker`, started by `nodes.party.process.start_party`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from modeling.channel import Channel
from modeling.executor import Executor, executor_at
from modeling.jobs import active, passive
from nodes.durable import write_bytes
from nodes.joint.own_table import read_own_table
from nodes.joint.task import Task
from nodes.party.inside import Agent, serve_party


class _Work:
    """`modeling.jobs.work.Work` by files and the control socket."""

    def __init__(self, agent: Agent, checkpoint: Path, executor: Executor | None) -> None:
        self.executor = executor
        self._agent = agent
        self._checkpoint = checkpoint

    def kept(self) -> bytes | None:
        try:
            return self._checkpoint.read_bytes()
        except FileNotFoundError:
            return None

    def keep(self, checkpoint: bytes) -> None:
        write_bytes(self._checkpoint, checkpoint)

    def withdrawn(self) -> Sequence[int]:
        return self._agent.ask("withdrawn")

    def progress(self, phase: str, done: int, total: int) -> None:
        self._agent.progress(phase, done, total)


def run(task: Task, agent: Agent, channels: Mapping[str, Channel]) -> bytes:
    """The party's result, as it is written."""
    table, present = read_own_table(Path(task.table))
    with executor_at(task.executor) if task.executor else nullcontext() as executor:
        work = _Work(agent, Path(task.checkpoint), executor)
        if task.party == task.active:
            return active.run(
                table, present, task.label, channels, task.plans, task.own, work, validation=task.validation
            )
        return passive.run(table, present, task.active, task.party, channels, work, agreed=task.own)


if __name__ == "__main__":
    serve_party(Task, run)
