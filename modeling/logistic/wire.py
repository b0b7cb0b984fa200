"""The messages of a training, and what is checked of each before it is used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
import numpy as np

from modeling import bfv
from modeling.channel import Channel
from modeling.errors import ProtocolViolation
from modeling.logistic.own import Ints
from modeling.logistic.settings import PREDICTOR_BITS, Settings
from modeling.messages import Message

START: Final = "logistic-start"
READY: Final = "logistic-ready"
KEY: Final = "logistic-key"
PREDICTOR: Final = "logistic-predictor"
WAVE: Final = "logistic-wave"
RESIDUALS: Final = "logistic-residuals"
SHARES: Final = "logistic-shares"
GRADIENT: Final = "logistic-gradient"
SUMS: Final = "logistic-sums"
SETTLED: Final = "logistic-settled"
GO_ON: Final = "logistic-go-on"


def blocks(rows: int) -> int:
    """Ciphertexts that a column of so many rows takes."""
    return -(-rows // bfv.SLOTS)


def send_predictor(channel: Channel, share: Ints) -> None:
    """A share of the linear predictor."""
    channel.send(Message(kind=PREDICTOR, arrays={"share": share.astype(np.int32)}))


def receive_predictor(channel: Channel, rows: int, settings: Settings) -> Ints:
    """int64[rows], each within the period."""
    share = channel.receive(PREDICTOR).array("share", "int32", (rows,)).astype(np.int64)
    if share.min(initial=0) < 0 or share.max(initial=0) >= settings.period << PREDICTOR_BITS:
        raise ProtocolViolation(f"{channel.peer} sent a share outside the period")
    return share


def send_blobs(channel: Channel, kind: str, blobs: Sequence[bytes]) -> None:
    """Ciphertexts, or a key."""
    channel.send(Message(kind=kind, blobs=tuple(blobs)))


def receive_blobs(channel: Channel, kind: str, count: int) -> tuple[bytes, ...]:
    """Exactly so many."""
    found = channel.receive(kind).blobs
    if len(found) != count:
        raise ProtocolViolation(f"{channel.peer} sent {len(found)} ciphertexts in {kind!r} where {count} were due")
    return found


def receive_ciphers(channel: Channel, kind: str, count: int) -> list[Any]:
    """Ciphertexts ready to be multiplied."""
    return [bfv.received(blob) for blob in receive_blobs(channel, kind, count)]


def receive_key(channel: Channel) -> bfv.PublicKey:
    """The other party's public key."""
    (blob,) = receive_blobs(channel, KEY, 1)
    return bfv.PublicKey(blob)


def answer_sums(channel: Channel, key: bfv.SecretKey, width: int) -> None:
    """Decrypt another party's masked gradient and return the sum of each; every value is uniform to this party."""
    sums = [bfv.total_mod_t(vector) for vector in key.decrypt(receive_blobs(channel, GRADIENT, width))]
    channel.send(Message(kind=SUMS, arrays={"sums": np.array(sums, np.int64)}))


def receive_sums(channel: Channel, masks: Sequence[int]) -> list[int]:
    """The gradient's sums modulo t, the masks taken away."""
    sums = channel.receive(SUMS).array("sums", "int64", (len(masks),))
    if sums.min(initial=0) < 0 or sums.max(initial=0) >= bfv.PLAIN_MODULUS:
        raise ProtocolViolation(f"{channel.peer} sent a sum outside the ring")
    return [(int(value) - mask) % bfv.PLAIN_MODULUS for value, mask in zip(sums, masks, strict=True)]


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What the active party announces: the settings, the cohort's rows, its own columns, and who is the other computing party.

    `run`: which training; `done`: steps that all have behind them.
    """

    run: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    done: Annotated[int, msgspec.Meta(ge=0)]
    settings: Settings
    rows: int
    features: int
    computing: str


def start_message(told: Start) -> Message:
    """The first message to every passive."""
    return Message(kind=START, fields=msgspec.to_builtins(told))


def read_start(message: Message) -> Start:
    """Raises ProtocolViolation."""
    try:
        return msgspec.convert(message.fields, Start)
    except msgspec.ValidationError as error:
        raise ProtocolViolation(f"the start of a training cannot be read: {error}") from None


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
