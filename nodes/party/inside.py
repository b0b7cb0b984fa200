"""A party's process, from inside: its task from standard input, its agent at the control socket, its result to a file.

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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from modeling.channel import Channel
from modeling.errors import ModelingError
from modeling.local import SocketChannel
from nodes.durable import write_bytes
from nodes.party.process import Answer, PartyTask, Told, encode_line

T = TypeVar("T", bound=PartyTask)


class AgentRefused(ModelingError):
    """The agent has no answer; its own code says why."""

    def __init__(self, code: str) -> None:
        super().__init__(f"this node cannot go on ({code})")
        self.code = code


class Agent:
    """The agent, at the other end of the control socket."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._lines = control.makefile("rb")

    def tell(self, told: Told) -> None:
        """One line."""
        self._control.sendall(encode_line(told))

    def progress(self, phase: str, done: int, total: int) -> None:
        """How far a phase is."""
        self.tell(Told(phase=phase, done=done, total=total))

    def ask(self, question: str) -> Sequence[int]:
        """Ask, and wait. Raises AgentRefused."""
        self.tell(Told(asks=question))
        answer = msgspec.json.decode(self._lines.readline(), type=Answer)
        if answer.refused:
            raise AgentRefused(answer.refused)
        return answer.rows


def serve_party(kind: type[T], run: Callable[[T, Agent, Mapping[str, Channel]], bytes]) -> None:
    """One attempt of a party: what `run` returns becomes its result. Does not return."""
    # Only an agent of the same version writes a task.
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=kind)
    control = socket.socket(fileno=task.control)
    threading.Thread(target=_end_with_the_agent, args=(control,), daemon=True).start()
    agent = Agent(control)
    channels = {
        name: SocketChannel(name, socket.socket(fileno=number), task.deadline_s) for name, number in task.peers.items()
    }
    failed = False
    try:
        write_bytes(Path(task.result), run(task, agent, channels))
    except Exception as error:
        failed = True
        agent.tell(_failure(error))  # before the peers: theirs may have this process ended when they hear of it
        for channel in channels.values():
            channel.fail(error)
    for channel in channels.values():
        channel.close()
    if not failed:
        agent.tell(Told(finished=True))
    sys.stderr.flush()
    os._exit(0)


def _failure(error: Exception) -> Told:
    if isinstance(error, ModelingError):
        return Told(failed=error.code, message=str(error))
    traceback.print_tb(error.__traceback__)
    return Told(failed="INTERNAL", message=f"the party's process failed ({type(error).__name__})")


def _end_with_the_agent(control: socket.socket) -> None:
    poll = select.poll()
    poll.register(control, getattr(select, "POLLRDHUP", select.POLLHUP))
    poll.poll()
    os._exit(1)
