"""The messages of a training, and what is checked of each before it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
import numpy as np

from modeling import bfv
from modeling.channel import Channel
from modeling.errors import ProtocolViolation
from modeling.logistic.descent import Verdict
from modeling.logistic.own import Ints
from modeling.logistic.settings import Settings
from modeling.messages import Message

T = TypeVar("T")

START: Final = "logistic-start"
READY: Final = "logistic-ready"
GROUP: Final = "logistic-group"
KEY: Final = "logistic-key"
COLUMNS: Final = "logistic-columns"
PRODUCTS: Final = "logistic-products"
CURVATURE: Final = "logistic-curvature"
INVERSE: Final = "logistic-inverse"
GO_ON: Final = "logistic-go-on"
COORDINATES: Final = "logistic-coordinates"
PREDICTOR: Final = "logistic-predictor"
OFFSET: Final = "logistic-offset"
WAVE: Final = "logistic-wave"
RESIDUALS: Final = "logistic-residuals"
SHARES: Final = "logistic-shares"
GRADIENT: Final = "logistic-gradient"
MASKS: Final = "logistic-masks"
BITS: Final = "logistic-bits"
LIFTED: Final = "logistic-lifted"
CHANGE: Final = "logistic-change"
SIZE: Final = "logistic-size"
VERDICT: Final = "logistic-verdict"
DONE: Final = "logistic-done"
FRESH: Final = "logistic-fresh"
OPENED: Final = "logistic-opened"


def blocks(rows: int) -> int:
    """Ciphertexts that a column of so many rows takes."""
    return -(-rows // bfv.SLOTS)


def send_blobs(channel: Channel, kind: str, blobs: Sequence[bytes]) -> None:
    """Ciphertexts, a key, or packed numbers."""
    channel.send(Message(kind=kind, blobs=tuple(blobs)))


def receive_blobs(channel: Channel, kind: str, count: int) -> tuple[bytes, ...]:
    """Exactly so many."""
    found = channel.receive(kind).blobs
    if len(found) != count:
        raise ProtocolViolation(f"{channel.peer} sent {len(found)} ciphertexts in {kind!r} where {count} were due")
    return found


def receive_key(channel: Channel) -> bfv.PublicKey:
    """The other party's public key."""
    (blob,) = receive_blobs(channel, KEY, 1)
    return bfv.PublicKey(blob)


def send_masks(channel: Channel, *masks: Ints) -> None:
    """The sum of what this party has put on its answers to both computing parties, negated: uniform to either of them."""
    total = np.mod(-sum(masks), bfv.PLAIN_MODULUS)
    channel.send(Message(kind=MASKS, arrays={"masks": total}))


def receive_residues(channel: Channel, kind: str, name: str, count: int) -> Ints:
    """int64[count] in [0, t)."""
    found = channel.receive(kind).array(name, "int64", (count,))
    if found.min(initial=0) < 0 or found.max(initial=0) >= bfv.PLAIN_MODULUS:
        raise ProtocolViolation(f"{channel.peer} sent a number outside the ring")
    return found


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What the active party announces: the settings, the cohort's rows, and who is the other computing party.

    `run`: which training; `done`: steps that all have behind them.
    """

    run: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    done: Annotated[int, msgspec.Meta(ge=0)]
    settings: Settings
    rows: Annotated[int, msgspec.Meta(ge=1)]


class Parties(msgspec.Struct, frozen=True, kw_only=True):
    """Passives in order, the other computing party first, and how many columns each party has, the active one first."""

    passives: tuple[str, ...]
    widths: tuple[Annotated[int, msgspec.Meta(ge=1)], ...]


def start_message(told: Start) -> Message:
    """The first message to every passive."""
    return Message(kind=START, fields=msgspec.to_builtins(told))


def read_start(message: Message) -> Start:
    """Raises ProtocolViolation."""
    return _read(message.fields, Start)


def parties_message(told: Parties) -> Message:
    """To every passive, when all are ready."""
    return Message(kind=GROUP, fields=msgspec.to_builtins(told))


def read_parties(message: Message) -> Parties:
    """Raises ProtocolViolation."""
    return _read(message.fields, Parties)


def verdict_message(verdict: Verdict) -> Message:
    """What becomes of a step."""
    return Message(kind=VERDICT, fields=msgspec.to_builtins(verdict))


def read_verdict(message: Message) -> Verdict:
    """Raises ProtocolViolation."""
    return _read(message.fields, Verdict)


def _read(fields: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(dict(fields), kind)
    except msgspec.ValidationError as error:
        raise ProtocolViolation(f"what should begin or lead a training cannot be read: {error}") from None


def flag(fields: Mapping[str, Any], name: str) -> bool:
    """A yes or no. Raises ProtocolViolation."""
    value = fields.get(name)
    if not isinstance(value, bool):
        raise ProtocolViolation(f"field {name!r} should be true or false")
    return value


def rows_array(rows: Sequence[int]) -> dict[str, Any]:
    """Rows that have withdrawn, as an array of a message."""
    return {"withdrawn": np.array(sorted(rows), np.int32)}


def withdrawn(message: Message, rows: int) -> Ints:
    """int64[m], ascending and below `rows`. Raises ProtocolViolation."""
    found = message.array("withdrawn", "int32", (None,)).astype(np.int64)
    if len(found) and (found[0] < 0 or found[-1] >= rows or (np.diff(found) <= 0).any()):
        raise ProtocolViolation(f"message {message.kind!r} names rows that the cohort does not have")
    return found
