"""The messages of a training and of scoring, and what is checked of each before it is used.

START      A → P   settings, rows, the run, trees already there, the public key
READY      P → A   rows, how many candidates P has
LEFT       P → A   after READY and after each tree: the rows that have withdrawn by now, as far as P knows
NEXT       A → P   a tree's number, all rows that have left, and which rows it sees (none: A has grown it alone); or that training ends
                   and how many trees are kept
ROWS       A → P   ciphertexts of these rows' gradients, in pieces
SUMS       P → A   for one node: packed, refreshed ciphertexts of the left sums of all candidates, in an order of this node only
CHOSEN     A → P   which nodes take which of P's candidates
SIDES      P → A   for these nodes: which rows go left
PARTED     A → P   nodes whose children are worth a look, which rows go left there, and which children
SCORE, SIDES       the same for all splits at once, over the rows to be scored
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import numpy as np

from modeling.channel import Channel
from modeling.errors import ProtocolViolation
from modeling.gbdt.features import Flags, Ints
from modeling.gbdt.settings import Settings
from modeling.messages import Array, Message

START: Final = "gbdt-start"
READY: Final = "gbdt-ready"
LEFT: Final = "gbdt-left"
NEXT: Final = "gbdt-next"
ROWS: Final = "gbdt-rows"
SUMS: Final = "gbdt-sums"
CHOSEN: Final = "gbdt-chosen"
SIDES: Final = "gbdt-sides"
PARTED: Final = "gbdt-parted"
SCORE: Final = "gbdt-score"

PIECE: Final = 8192
"""Rows in a message of ciphertexts, so that summing begins while encryption still goes on."""
MAX_CANDIDATES: Final = 1 << 20

_Run = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class Start(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the active party announces; `done`: trees that both sides have from a checkpoint."""

    run: _Run
    settings: Settings
    rows: Annotated[int, msgspec.Meta(ge=1)]
    done: Annotated[int, msgspec.Meta(ge=0)]


def send_start(channel: Channel, start: Start, key: bytes) -> None:
    """The first message to a passive."""
    channel.send(Message(kind=START, fields=msgspec.to_builtins(start), blobs=(key,)))


def receive_start(channel: Channel) -> tuple[Start, bytes]:
    """Raises ProtocolViolation."""
    message = channel.receive(START)
    if len(message.blobs) != 1:
        raise ProtocolViolation(f"{channel.peer} began a training without one key")
    try:
        return msgspec.convert(message.fields, Start), message.blobs[0]
    except msgspec.ValidationError as error:
        raise ProtocolViolation(f"the start of a training cannot be read: {error}") from None


def pack_flags(flags: Flags) -> Array:
    """bool[n] → uint8[ceil(n / 8)]."""
    return np.packbits(flags, bitorder="little")


def flags(message: Message, name: str, count: int) -> Flags:
    """bool[count]. Raises ProtocolViolation, also for bits after the last."""
    packed = message.array(name, "uint8", (-(-count // 8),))
    bits = np.unpackbits(packed, bitorder="little")
    if bits[count:].any():
        raise ProtocolViolation(f"array {name!r} of message {message.kind!r} has bits after its {count} rows")
    return bits[:count].astype(np.bool_)


def numbers(message: Message, name: str, limit: int) -> Ints:
    """Distinct ascending integers in [0, limit). Raises ProtocolViolation."""
    found = message.array(name, "int32", (None,)).astype(np.int64)
    if len(found) and (found[0] < 0 or found[-1] >= limit or (np.diff(found) <= 0).any()):
        raise ProtocolViolation(f"array {name!r} of message {message.kind!r} is not ascending below {limit}")
    return found


def int32(values: Sequence[int]) -> Array:
    """Integers as they travel."""
    return np.array(values, np.int32).reshape(-1)


def send_left(channel: Channel, rows: Sequence[int]) -> None:
    """Rows that have withdrawn by now."""
    channel.send(Message(kind=LEFT, arrays={"rows": int32(sorted(rows))}))


def receive_left(channel: Channel, rows: int) -> Ints:
    """Raises ProtocolViolation."""
    return numbers(channel.receive(LEFT), "rows", rows)
