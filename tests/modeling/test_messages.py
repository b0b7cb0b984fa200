"""Messages: what is encoded comes back, and nothing that is malformed is taken for a message."""

from __future__ import annotations

import struct

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from modeling.errors import ProtocolViolation
from modeling.messages import Message, decode, encode

DTYPES = st.sampled_from(["int8", "int64", "uint64", "float64", "bool", "uint8"])
ARRAYS = DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0)))
MESSAGES = st.builds(
    Message,
    kind=st.text(min_size=1, max_size=20),
    fields=st.dictionaries(
        st.text(max_size=5), st.one_of(st.integers(-(2**53), 2**53), st.text(max_size=9), st.none())
    ),
    arrays=st.dictionaries(st.text(max_size=5), ARRAYS, max_size=3),
    blobs=st.lists(st.binary(max_size=40), max_size=3).map(tuple),
)


@given(MESSAGES)
def test_what_is_sent_is_what_comes(message: Message) -> None:
    back = decode(encode(message))
    assert (back.kind, dict(back.fields), back.blobs) == (message.kind, dict(message.fields), message.blobs)
    assert list(back.arrays) == list(message.arrays)
    for name, array in message.arrays.items():
        assert back.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(back.arrays[name], array)


@given(MESSAGES, st.data())
def test_a_message_of_another_length_is_refused(message: Message, data: st.DataObject) -> None:
    encoded = encode(message)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    for bent in (encoded[:cut], encoded + b"\0"):
        with pytest.raises(ProtocolViolation):
            decode(bent)


@given(st.binary(max_size=60))
@example(b"\x01\x00\x00\x00\x02{}")
@example(b"\x01\xff\xff\xff\xff")
def test_noise_is_no_message(noise: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode(noise)


def framed(header: object) -> bytes:
    body = msgspec.json.encode(header)
    return struct.pack(">BI", 1, len(body)) + body


@pytest.mark.parametrize(
    "header",
    [
        {"kind": "x", "arrays": [["a", "object", [1]]]},
        {"kind": "x", "arrays": [["a", "int64", [-1]]]},
        {"kind": "x", "arrays": [["a", "int64", [1 << 60, 1 << 60, 8]]]},
        {"kind": "x", "arrays": [["a", "int8", [0]], ["a", "int8", [0]]]},
        {"kind": "x", "arrays": [["a", "int8", [1, 1, 1, 1]]]},
        {"kind": "x", "blobs": [5]},
        {"kind": "", "blobs": []},
        {"kind": "x", "more": 1},
    ],
)
def test_a_header_that_claims_what_is_not_there_is_refused(header: object) -> None:
    with pytest.raises(ProtocolViolation):
        decode(framed(header))


def test_an_array_is_asked_for_by_type_and_shape() -> None:
    message = Message(kind="x", arrays={"v": np.zeros((3, 2))})
    assert message.array("v", "float64", (None, 2)).shape == (3, 2)
    for dtype, shape in (("int64", (3, 2)), ("float64", (3,)), ("float64", (None, 3))):
        with pytest.raises(ProtocolViolation):
            message.array("v", dtype, shape)
    with pytest.raises(ProtocolViolation):
        message.array("w", "float64", (3,))


def test_what_does_not_travel_is_refused_at_the_sender() -> None:
    with pytest.raises(ValueError, match="travel"):
        encode(Message(kind="x", arrays={"v": np.array(["text"])}))
