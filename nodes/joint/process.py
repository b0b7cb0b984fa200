"""A party's process, as its agent sees it: started, asked nothing, told which rows have withdrawn, watched, killed.

A process of its own because a party computes for minutes on all cores and its libraries hold the interpreter's lock; it has no key of
the node's, no connection, and no database. It reads its task from standard input, its table from a file, and is connected by sockets:
one for each other party, and one on which it tells lines of JSON to its agent. When the agent dies these close, and so it ends.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from modeling.jobs.plan import JobPlan
from nodes.errors import NodeError

COMMAND: Final = (sys.executable, "-m", "nodes.joint.worker")
STALE: Final = "CONSENT_STALE"
"""The node's copy of the consents is too old to go on with: it may be fresh again in a moment."""
_AGAIN: Final = frozenset({"PEER_FAILED", STALE})
_LINE: Final = 64 << 20


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is to do. `party`: its own name; `peers`: the sockets by the other parties' names. Paths are absolute.

    `own`: the job with this party's own columns; a passive takes part in no other. `plans`: for the active party, what it tells each
    passive. `label`: the column of the table that is the label. `executor`: the setting `joint_executor`.
    """

    party: str
    active: str
    table: str
    checkpoint: str
    result: str
    peers: dict[str, int]
    control: int
    plans: dict[str, JobPlan] = {}
    own: JobPlan | None = None
    label: str = ""
    validation: float = 0.0
    deadline_s: float = 600.0
    executor: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A line from the process: how far it is, a question which rows have withdrawn, that it has finished, or why not."""

    phase: str = ""
    done: int = 0
    total: int = 0
    asks_withdrawn: bool = False
    finished: bool = False
    failed: str = ""
    message: str = ""


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: rows of the cohort, or why the node does not know (`refused`): the process ends then."""

    rows: tuple[int, ...] = ()
    refused: str = ""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended. `again`: another attempt may help."""

    failed: str = ""
    message: str = ""
    again: bool = False


@dataclass
class PartyProcess:
    """One attempt of a party."""

    child: asyncio.subprocess.Process
    sockets: Mapping[str, socket.socket]
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    _progress: Callable[[Told], None]
    _withdrawn: Callable[[], Sequence[int]]
    ended: asyncio.Task[Ended] = field(init=False)

    def __post_init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_task(self._watch())

    async def kill(self) -> None:
        """End it at once."""
        with suppress(ProcessLookupError):
            self.child.kill()
        await self.child.wait()
        self._writer.close()
        if not self.ended.done():
            self.ended.cancel()
        await asyncio.gather(self.ended, return_exceptions=True)

    async def _watch(self) -> Ended:
        last: Told | None = None
        with suppress(ConnectionError):
            while line := await self._reader.readline():
                if not line.endswith(b"\n"):  # lost in the middle of a line
                    break
                last = msgspec.json.decode(line, type=Told)
                if last.asks_withdrawn:
                    self._writer.write(msgspec.json.encode(self._answer()) + b"\n")
                    await self._writer.drain()
                elif not last.finished and not last.failed:
                    self._progress(last)
        code = await self.child.wait()
        if last is not None and last.finished:
            return Ended()
        if last is not None and last.failed:
            return Ended(failed=last.failed, message=last.message, again=last.failed in _AGAIN)
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return Ended(failed="PARTY_LOST", message=f"the party's process was lost ({how})", again=True)

    def _answer(self) -> Withdrawal:
        try:
            return Withdrawal(rows=tuple(self._withdrawn()))
        except NodeError as error:
            return Withdrawal(refused=error.code)


async def start_party(
    task: Callable[[Mapping[str, int], int], Task],
    peers: Sequence[str],
    *,
    progress: Callable[[Told], None],
    withdrawn: Callable[[], Sequence[int]],
) -> PartyProcess:
    """Start a party's process; `task` is made once the sockets' numbers are known."""
    pairs = {peer: socket.socketpair() for peer in peers}
    control, theirs = socket.socketpair()
    fds = {peer: pair[1].fileno() for peer, pair in pairs.items()}
    try:
        child = await asyncio.create_subprocess_exec(
            *COMMAND, stdin=asyncio.subprocess.PIPE, pass_fds=(*fds.values(), theirs.fileno())
        )
    except OSError:
        for pair in pairs.values():
            pair[0].close()
        control.close()
        raise
    finally:
        for pair in pairs.values():
            pair[1].close()
        theirs_number = theirs.fileno()
        theirs.close()
    if child.stdin is None:
        raise AssertionError
    child.stdin.write(msgspec.json.encode(task(fds, theirs_number)))
    with suppress(ConnectionError):
        await child.stdin.drain()
    child.stdin.close()
    reader, writer = await asyncio.open_connection(sock=control, limit=_LINE)
    ends = {peer: pair[0] for peer, pair in pairs.items()}
    return PartyProcess(child, ends, reader, writer, progress, withdrawn)


def decode_task(data: bytes) -> Task:
    """Read a task. Raises msgspec.MsgspecError: only an agent of the same version writes one."""
    return msgspec.json.decode(data, type=Task)


def encode_line(message: Any) -> bytes:  # noqa: ANN401 - Told or Withdrawal
    """One line of the control socket."""
    return msgspec.json.encode(message) + b"\n"
