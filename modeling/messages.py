"""What parties say to each other: a kind, JSON fields, numpy arrays, blobs. Nothing is ever unpickled.

    version 1 B | header length 4 B | header (JSON) | arrays, little-endian in C order, one after another | blobs

The header names kind, fields, dtype and shape of each array and length of each blob. Decoding checks every size against the bytes that
are there, so that a message can neither claim memory that it does not bring nor bring bytes that it does not name.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from modeling.errors import ProtocolViolation

Array = npt.NDArray[Any]

VERSION: Final = 1
MAX_BYTES: Final = 1 << 30
_DTYPES: Final = frozenset(
    {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float64", "bool"}
)
_PREFIX: Final = struct.Struct(">BI")


@dataclass(frozen=True, kw_only=True, eq=False)
class Message:
    """One message. Arrays have at most three dimensions."""

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    blobs: tuple[bytes, ...] = ()

    def array(self, name: str, dtype: str, shape: tuple[int | None, ...]) -> Array:
        """An array of this dtype and shape (None: any length). Raises ProtocolViolation."""
        found = self.arrays.get(name)
        fits = found is not None and found.dtype == np.dtype(dtype) and len(found.shape) == len(shape)
        if found is None or not fits or any(w is not None and w != h for w, h in zip(shape, found.shape, strict=True)):
            told = "missing" if found is None else f"{found.dtype}{found.shape}"
            raise ProtocolViolation(f"array {name!r} of message {self.kind!r} should be {dtype}{shape}, it is {told}")
        return found

    def number(self, name: str) -> int:
        """An integer field. Raises ProtocolViolation."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ProtocolViolation(f"field {name!r} of message {self.kind!r} should be an integer")
        return value


class _Shape(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    name: str
    dtype: str
    shape: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0)], ...], msgspec.Meta(max_length=3)]


class _Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    fields: dict[str, Any] = {}
    arrays: tuple[_Shape, ...] = ()
    blobs: tuple[Annotated[int, msgspec.Meta(ge=0)], ...] = ()


def encode(message: Message) -> bytes:
    """The wire form. Raises ValueError for a dtype that does not travel, or a message above 1 GiB."""
    parts = [np.ascontiguousarray(array) for array in message.arrays.values()]
    for array in parts:
        if array.dtype.name not in _DTYPES or array.ndim > 3:
            raise ValueError(f"an array of {array.dtype} with {array.ndim} dimensions does not travel")
    header = msgspec.json.encode(
        _Header(
            kind=message.kind,
            fields=dict(message.fields),
            arrays=tuple(
                _Shape(name, array.dtype.name, array.shape) for name, array in zip(message.arrays, parts, strict=True)
            ),
            blobs=tuple(map(len, message.blobs)),
        )
    )
    bodies = [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes() for array in parts]
    encoded = b"".join((_PREFIX.pack(VERSION, len(header)), header, *bodies, *message.blobs))
    if len(encoded) > MAX_BYTES:
        raise ValueError(f"a message of {len(encoded)} bytes is above the limit of {MAX_BYTES}; send it in parts")
    return encoded


def decode(data: bytes) -> Message:
    """Read the form that `encode` writes. Raises ProtocolViolation for anything else."""
    header, at = _header(data)
    view = memoryview(data)
    arrays: dict[str, Array] = {}
    for told in header.arrays:
        if told.dtype not in _DTYPES or told.name in arrays:
            raise ProtocolViolation(f"message {header.kind!r} has an array of type {told.dtype!r}, or one twice")
        dtype = np.dtype(told.dtype).newbyteorder("<")
        size = math.prod(told.shape) * dtype.itemsize
        if at + size > len(data):
            raise ProtocolViolation(f"message {header.kind!r} ends inside array {told.name!r}")
        arrays[told.name] = (
            np.frombuffer(view[at : at + size], dtype).reshape(told.shape).astype(told.dtype, copy=False)
        )
        at += size
    blobs = []
    for size in header.blobs:
        blobs.append(bytes(view[at : at + size]))
        at += size
    if at != len(data):
        raise ProtocolViolation(f"message {header.kind!r} has {len(data)} bytes where its header names {at}")
    return Message(kind=header.kind, fields=header.fields, arrays=arrays, blobs=tuple(blobs))


def _header(data: bytes) -> tuple[_Header, int]:
    if len(data) < _PREFIX.size or len(data) > MAX_BYTES:
        raise ProtocolViolation(f"a message of {len(data)} bytes came; messages have a header and at most {MAX_BYTES}")
    version, size = _PREFIX.unpack_from(data)
    if version != VERSION:
        raise ProtocolViolation(
            f"a message of version {version} came, this software speaks {VERSION}; update the older side"
        )
    try:
        return msgspec.json.decode(data[_PREFIX.size : _PREFIX.size + size], type=_Header), _PREFIX.size + size
    except msgspec.DecodeError as error:
        raise ProtocolViolation(f"the header of a message cannot be read: {error}") from None
