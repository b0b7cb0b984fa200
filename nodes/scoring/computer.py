"""The node's warm process of scoring, as the agent sees it: started when it is first needed, told what to do, replaced when it is lost.

A process of its own because the library of the encryption holds the interpreter's lock, and a score must not wait for another's, nor
anything else in the agent for either. It has no key of the node's, no connection and no database.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from contextlib import suppress
from typing import Final

import msgspec

from nodes.errors import NodeError
from nodes.scoring.work import HEAD, WORKER, Call, Done, Task, framed

log = logging.getLogger(__name__)

_LAST_S: Final = 3.0


class SessionLost(NodeError):
    """The process that had the session is gone, or has another now: a new session may do."""

    code = "PEER_FAILED"

    def __init__(self) -> None:
        super().__init__("The process that computes scores was replaced; ask again.")


class Computer:
    """One process; many may ask at once."""

    def __init__(self, column_bytes: int = 0) -> None:
        """`column_bytes`: of encoded columns that the process keeps at most."""
        self._column_bytes = column_bytes
        self._numbers = itertools.count(1)
        self._starting = asyncio.Lock()
        self._child: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[Done]] = {}
        self._closed = False

    @property
    def pid(self) -> int | None:
        """Of the process, None before it is needed."""
        return self._child.pid if self._child is not None else None

    async def do(self, task: Task) -> Done:
        """Have it done. Raises SessionLost, or NodeError with what went wrong."""
        number = next(self._numbers)
        future: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        async with self._starting:
            if self._closed:
                raise SessionLost
            writer = await self._ready()
            self._waiting[number] = future
            writer.write(framed(Call(number=number, task=task)))
        try:
            with suppress(ConnectionError):
                await writer.drain()
            done = await future
        finally:
            self._waiting.pop(number, None)
        if done.unknown:
            raise SessionLost
        if done.failed:
            raise NodeError(done.message, code=done.failed)
        return done

    async def close(self) -> None:
        """End the process: it ends by itself when it is left alone, and is killed where it does not."""
        self._closed = True
        child, self._child = self._child, None
        if self._writer is not None:
            self._writer.close()
        if child is not None:
            try:
                async with asyncio.timeout(_LAST_S):
                    await child.wait()
            except TimeoutError:
                with suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _ready(self) -> asyncio.StreamWriter:
        if self._writer is not None:
            return self._writer
        ours, theirs = socket.socketpair()
        try:
            arguments = (*WORKER, str(theirs.fileno()), str(self._column_bytes))
            child = await asyncio.create_subprocess_exec(*arguments, pass_fds=(theirs.fileno(),))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        self._child, self._writer = child, writer
        self._reading = asyncio.get_running_loop().create_task(self._read(child, reader, writer))
        return writer

    async def _read(
        self, child: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = await reader.readexactly(HEAD.size)
                    done = msgspec.msgpack.decode(await reader.readexactly(*HEAD.unpack(head)), type=Done)
                    future = self._waiting.pop(done.number, None)
                    if future is not None and not future.done():
                        future.set_result(done)
        finally:
            writer.close()
            if self._writer is writer:  # whoever asks now starts another
                self._writer = None
            lost, self._waiting = self._waiting, {}
            for future in lost.values():
                if not future.done():
                    future.set_exception(SessionLost())
        log.warning("scoring_process_lost", extra={"code": await child.wait()})
