"""A party's process, from inside: `python -m nodes.joint.worker`, started by `process.start_party`.

It ends when its agent does: the control socket closes, and a thread sees it. What an error says goes to the agent as code and sentence;
one that nobody expected as its kind and place only, for its words may repeat a value.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import msgspec

from modeling.channel import Channel
from modeling.errors import ModelingError
from modeling.executor import Executor, executor_at
from modeling.jobs import active, passive
from modeling.local import SocketChannel
from nodes.joint.model_files import write_bytes
from nodes.joint.own_table import read_own_table
from nodes.joint.process import Task, Told, Withdrawal, decode_task, encode_line


class _Refused(ModelingError):
    """The node does not know whether consents still hold; its own code says why."""

    def __init__(self, code: str) -> None:
        super().__init__(f"this node cannot tell whether consents still hold ({code})")
        self.code = code


class _Work:
    """`modeling.jobs.work.Work` by files and the control socket."""

    def __init__(self, control: socket.socket, checkpoint: Path) -> None:
        self.executor: Executor | None = None
        self._control = control
        self._lines = control.makefile("rb")
        self._checkpoint = checkpoint

    def tell(self, told: Told) -> None:
        """One line to the agent."""
        self._control.sendall(encode_line(told))

    def kept(self) -> bytes | None:
        try:
            return self._checkpoint.read_bytes()
        except FileNotFoundError:
            return None

    def keep(self, checkpoint: bytes) -> None:
        write_bytes(self._checkpoint, checkpoint)

    def withdrawn(self) -> Sequence[int]:
        self.tell(Told(asks_withdrawn=True))
        answer = msgspec.json.decode(self._lines.readline(), type=Withdrawal)
        if answer.refused:
            raise _Refused(answer.refused)
        return answer.rows

    def progress(self, phase: str, done: int, total: int) -> None:
        self.tell(Told(phase=phase, done=done, total=total))


def run(task: Task, work: _Work, channels: dict[str, Channel]) -> bytes:
    """The party's result, as it is written."""
    table, present = read_own_table(Path(task.table))
    if task.party == task.active:
        return active.run(table, present, task.label, channels, task.plans, task.own, work, validation=task.validation)
    return passive.run(table, present, task.active, task.party, channels, work, agreed=task.own)


def main() -> None:
    """One attempt: the task from standard input, the result to its file."""
    task = decode_task(sys.stdin.buffer.read())
    control = socket.socket(fileno=task.control)
    threading.Thread(target=_end_with_the_agent, args=(control,), daemon=True).start()
    work = _Work(control, Path(task.checkpoint))
    channels = {
        name: SocketChannel(name, socket.socket(fileno=number), task.deadline_s) for name, number in task.peers.items()
    }
    try:
        with executor_at(task.executor) if task.executor else nullcontext() as work.executor:
            write_bytes(Path(task.result), run(task, work, dict(channels)))
        last = Told(finished=True)
    except ModelingError as error:
        last = Told(failed=error.code, message=str(error))
        _fail(channels, error)
    except Exception as error:
        traceback.print_tb(error.__traceback__)
        last = Told(failed="INTERNAL", message=f"the party's process failed ({type(error).__name__})")
        _fail(channels, error)
    for channel in channels.values():
        channel.close()
    work.tell(last)
    sys.stderr.flush()
    os._exit(0)


def _fail(channels: dict[str, SocketChannel], error: Exception) -> None:
    for channel in channels.values():
        channel.fail(error)


def _end_with_the_agent(control: socket.socket) -> None:
    poll = select.poll()
    poll.register(control, getattr(select, "POLLRDHUP", select.POLLHUP))
    poll.poll()
    os._exit(1)


if __name__ == "__main__":
    main()
