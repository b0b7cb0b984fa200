"""All parties of a protocol on one machine: in threads for tests and notebooks, in processes for real time and memory."""

from __future__ import annotations

import itertools
import multiprocessing
import queue
import select
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Final, TypeVar

from modeling.channel import DEADLINE_S, Channel, memory_pair
from modeling.errors import PeerFailed, ProtocolViolation
from modeling.messages import MAX_BYTES

T = TypeVar("T")
Party = Callable[[Mapping[str, Channel]], T]
"""A party's code, given its channels by the other parties' names."""

_LENGTH: Final = struct.Struct(">Q")


class SocketChannel(Channel):
    """A channel over a connected stream socket: each message after its length in 8 bytes.

    A thread of its own sends, so that two parties that both send much before they receive do not wait for each other for ever.
    """

    def __init__(self, peer: str, connected: socket.socket, deadline_s: float = DEADLINE_S) -> None:
        """Takes over the socket."""
        super().__init__(peer)
        self._socket = connected
        self._socket.settimeout(deadline_s)
        self._deadline_s = deadline_s
        self._out: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lost: OSError | None = None
        self._sender = threading.Thread(target=self._send_all, name=f"to-{peer}", daemon=True)
        self._sender.start()

    def close(self) -> None:
        """Send what was handed in, then say that no more comes."""
        self._out.put(None)
        self._sender.join(self._deadline_s)
        self._socket.close()

    def waiting(self) -> bool:
        """As in Channel."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def _put(self, data: bytes) -> None:
        if self._lost is not None:
            raise PeerFailed(f"{self.peer} is gone ({self._lost})") from self._lost
        self._out.put(data)

    def _send_all(self) -> None:
        try:
            while (data := self._out.get()) is not None:
                self._socket.sendall(_LENGTH.pack(len(data)))
                self._socket.sendall(data)
        except OSError as error:
            self._lost = error

    def _take(self) -> bytes:
        (size,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if size > MAX_BYTES:
            raise ProtocolViolation(f"{self.peer} announced a message of {size} bytes; the limit is {MAX_BYTES}")
        return self._read(size)

    def _read(self, size: int) -> bytes:
        buffer = bytearray(size)
        view, got = memoryview(buffer), 0
        while got < size:
            try:
                count = self._socket.recv_into(view[got:])
            except TimeoutError as error:
                raise PeerFailed(f"{self.peer} said nothing for {self._deadline_s:.0f} s") from error
            except OSError as error:
                raise PeerFailed(f"{self.peer} is gone ({error})") from error
            if count == 0:
                raise PeerFailed(f"{self.peer} closed the connection")
            got += count
        return bytes(buffer)


def run_in_threads(parties: Mapping[str, Party[Any]], *, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
    """Run every party and return what each returned. Raises the error of the party that failed first of itself."""
    channels: dict[str, dict[str, Channel]] = {name: {} for name in parties}
    for one, other in itertools.combinations(parties, 2):
        channels[one][other], channels[other][one] = memory_pair(one, other, deadline_s)
    results: dict[str, Any] = {}
    errors: list[BaseException] = []

    def run(name: str) -> None:
        try:
            results[name] = _guarded(parties[name], channels[name])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(name,), name=name, daemon=True) for name in parties]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _raise_first(errors)
    return results


@dataclass(frozen=True)
class _Ended:
    """What a process of a party sends home: its result or its error."""

    result: Any = None
    error: Exception | None = None


def run_in_processes(parties: Mapping[str, Party[Any]], *, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
    """The same with a forked process for each party. Results come home by pickle: they stay on this machine, with one owner."""
    context = multiprocessing.get_context("fork")
    sockets: dict[str, dict[str, socket.socket]] = {name: {} for name in parties}
    for one, other in itertools.combinations(parties, 2):
        sockets[one][other], sockets[other][one] = socket.socketpair()
    homes: dict[str, Connection] = {}
    processes = []
    for name, party in parties.items():
        home, away = context.Pipe(duplex=False)
        homes[name] = home
        process = context.Process(target=_work, args=(name, party, sockets, away, deadline_s), name=name)
        process.start()
        away.close()
        processes.append(process)
    for ends in sockets.values():
        for end in ends.values():
            end.close()
    ended = {name: _received(name, home) for name, home in homes.items()}
    for process in processes:
        process.join()
    _raise_first([each.error for each in ended.values() if each.error is not None])
    return {name: each.result for name, each in ended.items()}


def _work(
    name: str,
    party: Party[Any],
    sockets: Mapping[str, Mapping[str, socket.socket]],
    home: Connection,
    deadline_s: float,
) -> None:
    for other, ends in sockets.items():
        if other != name:
            for end in ends.values():  # else a party that dies would keep its connections open here
                end.close()
    channels = {peer: SocketChannel(peer, end, deadline_s) for peer, end in sockets[name].items()}
    try:
        ended = _Ended(result=_guarded(party, channels))
    except Exception as error:
        ended = _Ended(error=error)
    for channel in channels.values():
        channel.close()
    home.send(ended)


def _received(name: str, home: Connection) -> _Ended:
    try:
        found = home.recv()
    except EOFError:
        return _Ended(error=PeerFailed(f"the process of {name} died"))
    return found if isinstance(found, _Ended) else _Ended(error=PeerFailed(f"the process of {name} failed"))


def _guarded(party: Party[T], channels: Mapping[str, Channel]) -> T:
    try:
        return party(channels)
    except Exception as error:
        for channel in channels.values():
            channel.fail(error)
        raise


def _raise_first(errors: list[Any]) -> None:
    """A party that fails takes the others with it: what is raised is the cause and not its echoes."""
    own = [error for error in errors if not isinstance(error, PeerFailed)]
    for error in own or errors:
        raise error
