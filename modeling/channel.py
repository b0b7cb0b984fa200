"""Channels: how a party's code reaches another party, wherever that runs.

A channel is ordered, reliable and private (in production it is the end-to-end channel of an exchange). Party code is synchronous: it
sends, and it receives a message of the kind that is due. Everything else is an error that ends the computation at both ends.
"""

from __future__ import annotations

import queue
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final

from modeling.errors import ModelingError, PeerFailed, ProtocolViolation
from modeling.messages import Message, decode, encode

DEADLINE_S: Final = 300.0
"""How long a party waits for the other's next message."""
_FAILED: Final = "failed"


@dataclass
class Traffic:
    """What a channel has carried, in messages and bytes. `rounds`: how often this end had said something and then heard an answer."""

    sent_messages: int = 0
    sent_bytes: int = 0
    received_messages: int = 0
    received_bytes: int = 0
    rounds: int = 0


class Channel(ABC):
    """One end of a channel to one other party. For one thread."""

    def __init__(self, peer: str) -> None:
        """`peer`: the other party's name, for messages to people."""
        self.peer = peer
        self.traffic = Traffic()
        self._said = False

    def send(self, message: Message) -> None:
        """Send. Raises PeerFailed if the other party is gone."""
        data = encode(message)
        self._put(data)
        self.traffic.sent_messages += 1
        self.traffic.sent_bytes += len(data)
        self._said = True

    def receive(self, kind: str) -> Message:
        """The next message, which must be of this kind. Raises PeerFailed, ProtocolViolation."""
        data = self._take()
        self.traffic.received_messages += 1
        self.traffic.received_bytes += len(data)
        self.traffic.rounds += self._said
        self._said = False
        message = decode(data)
        if message.kind == _FAILED:
            raise PeerFailed(f"{self.peer} broke off: {str(message.fields.get('code'))[:60]}")
        if message.kind != kind:
            raise ProtocolViolation(f"{self.peer} sent {message.kind!r} where {kind!r} was due")
        return message

    def fail(self, error: Exception) -> None:
        """Tell the other party, as well as that still goes, that this one ends: a code, and never a value."""
        code = error.code if isinstance(error, ModelingError) else "INTERNAL"
        try:
            self._put(encode(Message(kind=_FAILED, fields={"code": code})))
        except PeerFailed:
            return

    @abstractmethod
    def waiting(self) -> bool:
        """Whether a message is there already: a party that has other work may do it until then."""

    @abstractmethod
    def _put(self, data: bytes) -> None:
        """Hand over an encoded message. Raises PeerFailed."""

    @abstractmethod
    def _take(self) -> bytes:
        """Wait for the next encoded message. Raises PeerFailed after the deadline."""


class MemoryChannel(Channel):
    """A channel between two threads of a process; the messages are encoded all the same."""

    def __init__(self, peer: str, out: queue.Queue[bytes], into: queue.Queue[bytes], deadline_s: float) -> None:
        """Made by `memory_pair`."""
        super().__init__(peer)
        self._out, self._into, self._deadline_s = out, into, deadline_s

    def waiting(self) -> bool:
        """As in Channel."""
        return not self._into.empty()

    def _put(self, data: bytes) -> None:
        self._out.put(data)

    def _take(self) -> bytes:
        try:
            return self._into.get(timeout=self._deadline_s)
        except queue.Empty:
            raise PeerFailed(f"{self.peer} said nothing for {self._deadline_s:.0f} s") from None


def memory_pair(one: str, other: str, deadline_s: float = DEADLINE_S) -> tuple[Channel, Channel]:
    """The ends of a channel in memory: that of `one` (to `other`), and that of `other`."""
    there: queue.Queue[bytes] = queue.Queue()
    back: queue.Queue[bytes] = queue.Queue()
    return MemoryChannel(other, there, back, deadline_s), MemoryChannel(one, back, there, deadline_s)
