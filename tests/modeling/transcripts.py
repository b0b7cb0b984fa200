"""What each party of a protocol sees while the real code runs, in threads named after the parties."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from modeling import bfv
from modeling.channel import MemoryChannel
from modeling.messages import Message, decode, encode


class Sent(NamedTuple):
    """A message on its way."""

    sender: str
    receiver: str
    message: Message

    @property
    def size(self) -> int:
        return len(encode(self.message))


def _by_party() -> dict[str, list[np.ndarray]]:
    return defaultdict(list)


@dataclass
class Transcript:
    """Messages in the order in which they were sent; by party the vectors that it decrypted, and the masks that it drew."""

    sent: list[Sent] = field(default_factory=list)
    decrypted: dict[str, list[np.ndarray]] = field(default_factory=_by_party)
    masks: dict[str, list[np.ndarray]] = field(default_factory=_by_party)

    def of_kind(self, kind: str, *, sender: str | None = None, receiver: str | None = None) -> list[Message]:
        return [
            each.message
            for each in self.sent
            if each.message.kind == kind and sender in (None, each.sender) and receiver in (None, each.receiver)
        ]

    def opened(self) -> list[np.ndarray]:
        """Every vector that was decrypted, wherever."""
        return [vector for vectors in self.decrypted.values() for vector in vectors]


def recorded(monkeypatch: pytest.MonkeyPatch) -> Transcript:
    """Note everything from now on."""
    found = Transcript()
    put, decrypt, masked = MemoryChannel._put, bfv.SecretKey.decrypt, bfv.PublicKey.masked

    def noted_put(channel: MemoryChannel, data: bytes) -> None:
        found.sent.append(Sent(threading.current_thread().name, channel.peer, decode(data)))
        put(channel, data)

    def noted_decrypt(key: bfv.SecretKey, ciphertexts: Any) -> list[np.ndarray]:
        vectors = decrypt(key, ciphertexts)
        found.decrypted[threading.current_thread().name] += vectors
        return vectors

    def noted_masked(key: bfv.PublicKey, products: bfv.Sum) -> tuple[bytes, np.ndarray]:
        cipher, mask = masked(key, products)
        found.masks[threading.current_thread().name].append(mask)
        return cipher, mask

    monkeypatch.setattr(MemoryChannel, "_put", noted_put)
    monkeypatch.setattr(bfv.SecretKey, "decrypt", noted_decrypt)
    monkeypatch.setattr(bfv.PublicKey, "masked", noted_masked)
    return found
