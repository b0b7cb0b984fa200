"""A party's process, as its agent sees it: started, its questions answered, watched, killed.

A process of its own because a party computes for minutes on all cores and its libraries hold the interpreter's lock; it has no key of
the node's, no connection, and no database. It reads its task from standard input, its table from a file, and is connected by sockets:
one for each other party, and one on which it tells lines of JSON to its agent. When the agent dies these close, and so it ends.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from nodes.errors import NodeError

STALE: Final = "CONSENT_STALE"
"""The node's copy of the consents is too old to go on with: it may be fresh again in a moment."""
_AGAIN: Final = frozenset({"PEER_FAILED", "WORKERS_FAILED", STALE})
_LINE: Final = 64 << 20


class PartyTask(msgspec.Struct, frozen=True, kw_only=True):
    """What any process is to do. `party`: its own name; `peers`: the sockets by the other parties' names. Paths are absolute.

    `result`: where it leaves what came of it. `executor`: the setting `joint_executor`.
    """

    party: str
    active: str
    result: str
    peers: dict[str, int]
    control: int
    deadline_s: float = 600.0
    executor: str = ""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A line from the process: how far it is, a question (`asks`), that it has finished, or why not."""

    phase: str = ""
    done: int = 0
    total: int = 0
    asks: str = ""
    finished: bool = False
    failed: str = ""
    message: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a question: rows, or why the node has none (`refused`, a code): the process ends then."""

    rows: tuple[int, ...] = ()
    refused: str = ""


Answers = Callable[[str], Awaitable[Sequence[int]]]
"""Answers a question of the process by rows. Raises NodeError."""


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
    _answers: Answers
    ended: asyncio.Task[Ended] = field(init=False)

    def __post_init__(self) -> None:
        self.ended = asyncio.get_running_loop().create_task(self._watch())

    async def kill(self) -> None:
        """End it at once. Whoever is cancelled while waiting for its end has let go of it all the same."""
        with suppress(ProcessLookupError):
            self.child.kill()
        self._writer.close()
        self.ended.cancel()
        await asyncio.gather(self.child.wait(), self.ended, return_exceptions=True)

    async def _watch(self) -> Ended:
        last: Told | None = None
        with suppress(ConnectionError):
            while line := await self._reader.readline():
                if not line.endswith(b"\n"):  # lost in the middle of a line
                    break
                last = msgspec.json.decode(line, type=Told)
                if last.asks:
                    self._writer.write(encode_line(await self._answer(last.asks)))
                    await self._writer.drain()
                elif last.failed:  # it tells its peers next: theirs may end it before it has ended by itself
                    return Ended(failed=last.failed, message=last.message, again=last.failed in _AGAIN)
                elif not last.finished:
                    self._progress(last)
        code = await self.child.wait()
        if last is not None and last.finished:
            return Ended()
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return Ended(failed="PARTY_LOST", message=f"the party's process was lost ({how})", again=True)

    async def _answer(self, question: str) -> Answer:
        try:
            return Answer(rows=tuple(await self._answers(question)))
        except NodeError as error:
            return Answer(refused=error.code)


async def start_party(
    command: Sequence[str],
    task: Callable[[Mapping[str, int], int], PartyTask],
    peers: Sequence[str],
    *,
    progress: Callable[[Told], None],
    answers: Answers,
) -> PartyProcess:
    """Start a party's process, a program that `inside` serves; `task` is made once the sockets' numbers are known."""
    pairs = {peer: socket.socketpair() for peer in peers}
    control, theirs = socket.socketpair()
    fds = {peer: pair[1].fileno() for peer, pair in pairs.items()}
    number, child = theirs.fileno(), None
    try:
        try:
            child = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.PIPE, pass_fds=(*fds.values(), number)
            )
        finally:
            for each in (*(pair[1] for pair in pairs.values()), theirs):
                each.close()
        await _tell(child, task(fds, number))
        reader, writer = await asyncio.open_connection(sock=control, limit=_LINE)
    except BaseException:  # cancelled too: nobody else knows of it
        for each in (*(pair[0] for pair in pairs.values()), control):
            each.close()
        if child is not None:
            with suppress(ProcessLookupError):
                child.kill()
        raise
    ends = {peer: pair[0] for peer, pair in pairs.items()}
    return PartyProcess(child, ends, reader, writer, progress, answers)


async def _tell(child: asyncio.subprocess.Process, task: PartyTask) -> None:
    if child.stdin is None:
        raise AssertionError
    child.stdin.write(msgspec.json.encode(task))
    with suppress(ConnectionError):
        await child.stdin.drain()
    child.stdin.close()


def encode_line(message: Told | Answer) -> bytes:
    """One line of the control socket."""
    return msgspec.json.encode(message) + b"\n"
