"""What two nodes say to each other inside an exchange, after decryption.

A frame has a type (one byte, authenticated by the channel) and a payload. Control payloads are JSON of the strict structures
below; a raw batch is a fixed header followed by an Arrow IPC stream. Nothing here is seen by the hub.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from consent.decision import ItemUse
from nodes.errors import ExchangeFailed

BATCH_TARGET_BYTES = 1 << 20
"""Aimed size of one raw frame: large enough for the bulk cipher, small enough for latency and memory."""

PART_TARGET_BYTES = 64 << 20
"""Aimed size of one part of a transfer (as sent): the unit of durability and of resumption."""


class FrameType(IntEnum):
    """Types of frames; numbers are part of the wire contract."""

    QUERY_REQUEST = 1
    QUERY_REPLY = 2
    QUERY_REFUSAL = 3
    RAW_PLAN = 10
    RAW_BATCH = 11
    RAW_PART_END = 12
    RAW_END = 13
    RAW_RESUME = 14
    JOINT = 15
    JOINT_ROWS = 16
    JOINT_DATA = 17
    SCORE = 18
    SCORE_DATA = 19
    ACK = 20
    ERROR = 21
    CLOSE = 22


class _Message(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A control payload."""


class QueryRequest(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requester to provider: one subject's items. `request_key` makes a repetition harmless."""

    request_no: int
    request_key: str
    uscc: str
    items: tuple[ItemUse, ...]


class QueryReply(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Provider to requester: the records, as JSON bytes whose SM3 stands in both receipts."""

    request_no: int
    records: msgspec.Raw
    record_count: int
    consent_ids: tuple[str, ...]
    delete_by_ms: int
    remaining_uses: int | None
    receipt_id: str


class QueryRefusal(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Provider to requester: why not. `reason` is a decision reason or an error code."""

    request_no: int
    reason: str
    detail: str
    receipt_id: str


class PlannedItem(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of a raw transfer. Ordinal 0 is always the table of consents."""

    item_id: str
    fields: tuple[str, ...]
    rows: int
    snapshot: str


class RawPlan(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Provider to requester: what will come. The batch root is what the provider's receipt commits to."""

    items: tuple[PlannedItem, ...]
    subjects: int
    refused: dict[str, int]
    delete_by_ms: int
    batch_root: str
    receipt_id: str
    parts_done: int


class RawPartEnd(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Provider to requester: a part is complete; its digest chains the frames since the part before."""

    part_no: int
    ordinal: int
    rows: int
    table_done: bool
    digest: str


class RawEnd(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Provider to requester: everything was sent; the digest chains all parts."""

    parts: int
    rows: int
    digest: str


class RawResume(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requester to provider: I hold this many complete parts; 0 begins."""

    parts_held: int


class Failure(_Message, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either side: it cannot go on."""

    code: str
    message: str
    reason: str = ""


M = TypeVar("M", bound=_Message)
_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {}
_BATCH_HEADER = struct.Struct(">BHQQ")
_BATCH_VERSION = 1


def encode(message: _Message) -> bytes:
    """A control payload's bytes."""
    return _ENCODER.encode(message)


def decode(payload: bytes, kind: type[M]) -> M:
    """Parse a control payload. Raises ExchangeFailed if it is not exactly of that kind."""
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    try:
        message: M = decoder.decode(payload)
        return message
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ExchangeFailed(
            f"The other node sent a malformed {kind.__name__} ({error}); the exchange was ended. "
            "Check that both nodes run the same version."
        ) from error


def encode_batch(ordinal: int, first_row: int, end_row: int, arrow: pa.Buffer) -> bytes:
    """A raw batch: table ordinal, the source rows [first_row, end_row) it came from, and an Arrow IPC stream (any buffer)."""
    return b"".join((_BATCH_HEADER.pack(_BATCH_VERSION, ordinal, first_row, end_row), arrow))


def decode_batch(payload: bytes) -> tuple[int, int, int, memoryview]:
    """(ordinal, first row, end row, Arrow IPC stream). Raises ExchangeFailed."""
    if len(payload) < _BATCH_HEADER.size:
        raise ExchangeFailed("The other node sent a truncated batch; the exchange was ended.")
    version, ordinal, first_row, end_row = _BATCH_HEADER.unpack_from(payload)
    if version != _BATCH_VERSION or end_row < first_row:
        raise ExchangeFailed(
            "The other node sent a batch of an unknown form; check that both nodes run the same version."
        )
    return ordinal, first_row, end_row, memoryview(payload)[_BATCH_HEADER.size :]
