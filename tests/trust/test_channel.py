"""The channel between two honest ends, with a relay in the middle that does to frames whatever it can."""

import copy
import json
import pickle
import struct
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.trust.channel_pair import keys, pair, reject
from trust.channel import (
    HEADER_SIZE,
    MAX_FRAME,
    MAX_PAYLOAD,
    OVERHEAD,
    ChannelKeys,
    SecureChannel,
)
from trust.errors import FrameRejected, WindowFull
from trust.suite import SUITE, open_sealed, seal

CORPUS = Path(__file__).parent / "corpus" / "frame"


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 255), st.binary(max_size=100)), max_size=20))
def test_both_ends_receive_what_the_other_sent_in_order(messages: list[tuple[bool, int, bytes]]) -> None:
    requester, provider = pair()
    for forth, kind, payload in messages:
        sender, receiver = (requester, provider) if forth else (provider, requester)
        assert receiver.open(sender.seal(kind, payload)) == (kind, payload)
        sender.acknowledge(receiver.next_expected)
    assert requester.in_flight_bytes == provider.in_flight_bytes == 0


def test_a_frame_has_exactly_this_layout() -> None:
    requester, _ = pair()
    requester.seal(1, b"first")
    frame = requester.seal(7, b"second")
    header = struct.pack(">BBBBQ", 1, 7, 1, 0, 1)
    aad = SUITE.encode() + b"\0" + struct.pack(">HI", len("exchange-1"), 1) + b"exchange-1" + header
    assert frame == header + seal(b"\x01" * 16, b"rrrr" + (1).to_bytes(8), b"second", aad)


@pytest.mark.parametrize("size", [0, 1, 1 << 16, MAX_PAYLOAD])
def test_a_payload_of_any_permitted_size_arrives(size: int) -> None:
    requester, provider = pair()
    payload = bytes(size)
    frame = requester.seal(0, memoryview(payload))
    assert len(frame) == size + OVERHEAD <= MAX_FRAME
    assert provider.open(memoryview(frame)) == (0, payload)


def test_every_flipped_bit_of_a_frame_kills_the_channel() -> None:
    requester, _ = pair()
    frame = requester.seal(3, b"payload")
    for bit in range(8 * len(frame)):
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        reject(pair()[1], bytes(changed))


@pytest.mark.parametrize("length", [0, 1, HEADER_SIZE, OVERHEAD - 1, OVERHEAD, OVERHEAD + 3])
def test_a_truncated_frame_is_rejected(length: int) -> None:
    requester, provider = pair()
    reject(provider, requester.seal(1, b"payload")[:length])


def test_an_extended_frame_is_rejected() -> None:
    requester, provider = pair()
    reject(provider, requester.seal(1, b"payload") + b"\0")


def test_an_oversized_frame_is_rejected_before_it_is_decrypted() -> None:
    requester, provider = pair()
    header = requester.seal(1, b"")[:HEADER_SIZE]
    reject(provider, header + bytes(MAX_FRAME), "frames have 28 to 4194304")


def test_a_repeated_frame_is_rejected() -> None:
    requester, provider = pair()
    frame = requester.seal(1, b"pay once")
    provider.open(frame)
    reject(provider, frame, "came again")


def test_a_missing_frame_is_noticed_at_the_next() -> None:
    requester, provider = pair()
    requester.seal(1, b"lost")
    reject(provider, requester.seal(1, b"next"), "missing")


def test_re_ordered_frames_are_rejected() -> None:
    requester, provider = pair()
    frames = [requester.seal(1, bytes([n])) for n in range(3)]
    provider.open(frames[0])
    reject(provider, frames[2], "missing")


def test_a_reflected_frame_is_rejected() -> None:
    requester, _ = pair()
    reject(requester, requester.seal(1, b"mirror"), "direction")


OTHER_CHANNELS = {
    "another exchange": keys("exchange-2"),
    "another epoch": keys(epoch=2),
    "other keys": keys(fill=9),
}


@pytest.mark.parametrize("name", OTHER_CHANNELS)
def test_a_frame_of_another_channel_is_rejected(name: str) -> None:
    foreign = SecureChannel(OTHER_CHANNELS[name], "requester")
    reject(pair()[1], foreign.seal(1, b"moved"), "forged")


@pytest.mark.parametrize(("at", "value"), [(0, 2), (2, 2), (3, 1)], ids=["version", "direction", "reserved"])
def test_a_header_from_another_world_is_refused_before_any_decryption(at: int, value: int) -> None:
    requester, provider = pair()
    frame = bytearray(requester.seal(1, b"x"))
    frame[at] = value
    reject(provider, bytes(frame), "another version, a wrong direction or reserved bits")


def test_a_frame_cannot_be_given_another_type() -> None:
    requester, provider = pair()
    frame = bytearray(requester.seal(1, b"x"))
    frame[1] = 2
    reject(provider, bytes(frame), "forged")


@pytest.mark.parametrize("kind", [-1, 256, 10**6])
def test_a_frame_type_that_is_no_byte_is_a_mistake_of_the_caller(kind: int) -> None:
    requester, provider = pair()
    with pytest.raises(ValueError, match="0 to 255"):
        requester.seal(kind, b"")
    assert provider.open(requester.seal(1, b"still in order")) == (1, b"still in order")


def test_a_payload_over_the_limit_is_a_mistake_of_the_caller() -> None:
    requester, _ = pair()
    with pytest.raises(ValueError, match="split"):
        requester.seal(1, bytes(MAX_PAYLOAD + 1))
    assert requester.alive


def test_a_full_window_refuses_until_it_is_acknowledged() -> None:
    requester, provider = pair(window_bytes=3 * (OVERHEAD + 10))
    frames = [requester.seal(1, bytes(10)) for _ in range(3)]
    assert requester.in_flight_bytes == sum(map(len, frames))
    with pytest.raises(WindowFull):
        requester.seal(1, bytes(10))
    provider.open(frames[0])
    requester.acknowledge(provider.next_expected)
    frames.append(requester.seal(1, bytes(10)))
    assert [provider.open(frame) for frame in frames[1:]] == [(1, bytes(10))] * 3


def test_one_frame_larger_than_the_window_still_passes_alone() -> None:
    requester, provider = pair(window_bytes=10)
    assert provider.open(requester.seal(1, bytes(100))) == (1, bytes(100))


@pytest.mark.parametrize("claim", [3, -1, 0])
def test_an_acknowledgement_that_cannot_be_kills_the_channel(claim: int) -> None:
    requester, _ = pair()
    requester.seal(1, b"a")
    requester.seal(1, b"b")
    requester.acknowledge(1)
    with pytest.raises(FrameRejected, match="outside 1 to 2"):
        requester.acknowledge(claim)
    assert not requester.alive


def test_an_exhausted_key_seals_nothing_more() -> None:
    requester, _ = pair()
    requester._next_sent = 1 << 32
    with pytest.raises(FrameRejected, match="new exchange"):
        requester.seal(1, b"")


def test_a_closed_channel_refuses_everything_and_has_no_keys() -> None:
    requester, provider = pair()
    frame = provider.seal(1, b"late")
    requester.seal(1, b"kept")
    requester.close()
    requester.close()
    assert requester._send is requester._receive is None
    reject(requester, frame, "closed")


@pytest.mark.parametrize("escape", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_channel_cannot_be_copied(escape: object) -> None:
    with pytest.raises(TypeError, match="cannot be copied"):
        escape(pair()[0])  # type: ignore[operator]


def test_keys_do_not_show_in_repr() -> None:
    shown = repr(keys())
    assert "x01" not in shown
    assert "rrrr" not in shown
    assert "exchange-1" in shown


def test_keys_of_a_wrong_size_are_refused() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        ChannelKeys(
            exchange_id="e",
            epoch=0,
            session_id=b"",
            requester_key=b"short",
            requester_salt=b"rrrr",
            provider_key=bytes(16),
            provider_salt=b"pppp",
        )


# The parser of frames


def open_or_refuse(frame: bytes, *, resuming: bool = False) -> None:
    """The law of the parser: without the key, nothing but our error comes of any bytes."""
    _, provider = pair()
    if resuming:
        provider.resume()
    with pytest.raises(FrameRejected):
        provider.open(frame)
    assert provider.next_expected == 0


@pytest.mark.parametrize("case", json.loads((CORPUS / "cases.json").read_text()), ids=lambda case: case["name"])
def test_a_frame_of_the_corpus_stays_refused(case: dict[str, str]) -> None:
    for resuming in (False, True):
        open_or_refuse(bytes.fromhex(case["frame"]), resuming=resuming)


@given(st.binary(max_size=80), st.booleans())
@example(b"", False)
@example(bytes(OVERHEAD), False)
@example(b"\x01\x00\x01\x00" + b"\xff" * 24, True)
def test_any_bytes_are_refused(frame: bytes, resuming: bool) -> None:
    open_or_refuse(frame, resuming=resuming)


headers = st.builds(
    struct.Struct(">BBBBQ").pack,
    st.sampled_from([0, 1, 2, 255]),
    st.integers(0, 255),
    st.integers(0, 3),
    st.sampled_from([0, 1, 128]),
    st.one_of(st.sampled_from([0, 1, 2**32, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1)),
)


@given(headers, st.binary(min_size=16, max_size=40), st.booleans())
def test_any_header_over_a_forged_body_is_refused(header: bytes, body: bytes, resuming: bool) -> None:
    open_or_refuse(header + body, resuming=resuming)


@given(st.data())
def test_any_mutation_of_a_genuine_frame_is_refused(data: st.DataObject) -> None:
    requester, _ = pair()
    genuine = requester.seal(5, b"some payload")
    frame = bytearray(genuine)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(frame)))
        frame[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    if bytes(frame) != genuine:
        open_or_refuse(bytes(frame))


def test_the_oracle_of_the_layout_can_open_what_was_sealed() -> None:
    requester, _ = pair()
    frame = requester.seal(1, b"x")
    aad = SUITE.encode() + b"\0" + struct.pack(">HI", 10, 1) + b"exchange-1" + frame[:HEADER_SIZE]
    assert open_sealed(b"\x01" * 16, b"rrrr" + frame[4:12], frame[HEADER_SIZE:], aad) == b"x"
