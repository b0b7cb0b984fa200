"""Resumption after a lost connection: what is sent again, what is dropped, and what kills the channel."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.trust.channel_pair import keys, pair, reject
from trust.channel import SecureChannel
from trust.errors import FrameRejected


def reconnect(sender: SecureChannel, receiver: SecureChannel) -> list[bytes]:
    """The procedure of the module's text for one direction; returns what is sent again."""
    sender.resume()
    receiver.resume()
    sender.acknowledge(receiver.next_expected)
    return sender.unacknowledged()


def test_after_a_lost_connection_the_lost_frames_are_sent_again_and_no_others() -> None:
    requester, provider = pair()
    frames = [requester.seal(1, bytes([n])) for n in range(5)]
    for frame in frames[:3]:
        provider.open(frame)
    again = reconnect(requester, provider)
    assert again == frames[3:]
    assert [provider.open(frame) for frame in again] == [(1, b"\3"), (1, b"\4")]
    assert provider.open(requester.seal(1, b"new")) == (1, b"new")


def test_genuine_duplicates_are_dropped_until_the_first_new_frame_and_not_after() -> None:
    requester, provider = pair()
    frames = [requester.seal(1, bytes([n])) for n in range(4)]
    for frame in frames[:3]:
        provider.open(frame)
    provider.resume()
    assert [provider.open(frame) for frame in frames] == [None, None, None, (1, b"\3")]
    assert provider.next_expected == 4
    reject(provider, frames[3], "came again")


def test_duplicates_may_begin_anywhere() -> None:
    requester, provider = pair()
    frames = [requester.seal(1, bytes([n])) for n in range(4)]
    for frame in frames[:3]:
        provider.open(frame)
    provider.resume()
    assert [provider.open(frame) for frame in frames[2:]] == [None, (1, b"\3")]


def test_a_connection_lost_again_during_resumption_is_resumed_again() -> None:
    requester, provider = pair()
    frames = [requester.seal(1, bytes([n])) for n in range(3)]
    for frame in frames[:2]:
        provider.open(frame)
    provider.resume()
    assert provider.open(frames[0]) is None
    provider.resume()
    assert [provider.open(frame) for frame in frames] == [None, None, (1, b"\2")]


@pytest.mark.parametrize(
    ("order", "match"),
    [
        ([0, 0], "where 1 was due"),
        ([1, 0], "where 2 was due"),
        ([0, 2], "where 1 was due"),
        ([1, 3], "where 2 was due"),
    ],
)
def test_duplicates_out_of_order_kill_a_resuming_channel(order: list[int], match: str) -> None:
    requester, provider = pair()
    frames = [requester.seal(1, bytes([n])) for n in range(4)]
    for frame in frames[:3]:
        provider.open(frame)
    provider.resume()
    assert provider.open(frames[order[0]]) is None
    reject(provider, frames[order[1]], match)


def test_a_forged_duplicate_kills_a_resuming_channel() -> None:
    requester, provider = pair()
    frame = requester.seal(1, b"genuine")
    provider.open(frame)
    provider.resume()
    reject(provider, frame[:-1] + bytes([frame[-1] ^ 1]), "forged")


def test_a_skipped_frame_kills_a_resuming_channel() -> None:
    requester, provider = pair()
    requester.seal(1, b"lost for good")
    provider.resume()
    reject(provider, requester.seal(1, b"x"), "missing")


def test_a_peer_that_lost_its_state_cannot_resume() -> None:
    requester, provider = pair()
    provider.open(requester.seal(1, b"a"))
    requester.acknowledge(provider.next_expected)
    restarted = SecureChannel(keys(), "provider")
    with pytest.raises(FrameRejected, match="lost its state"):
        reconnect(requester, restarted)


@settings(max_examples=40, stateful_step_count=40)
class Line(RuleBasedStateMachine):
    """Two honest ends over a connection that breaks at any time: everything arrives once and in order."""

    def __init__(self) -> None:
        super().__init__()
        self.requester, self.provider = pair()
        self.wire: list[bytes] = []
        self.sent: list[bytes] = []
        self.arrived: list[bytes] = []
        self.nonces: dict[bytes, bytes] = {}

    @rule(payload=st.binary(max_size=20))
    def send(self, payload: bytes) -> None:
        frame = self.requester.seal(1, payload)
        self.wire.append(frame)
        self.sent.append(payload)
        assert self.nonces.setdefault(frame[4:12], frame) == frame

    @precondition(lambda self: self.wire)
    @rule()
    def deliver(self) -> None:
        opened = self.provider.open(self.wire.pop(0))
        if opened is not None:
            self.arrived.append(opened[1])

    @rule()
    def acknowledge(self) -> None:
        self.requester.acknowledge(self.provider.next_expected)

    @rule(data=st.data())
    def break_and_resume(self, data: st.DataObject) -> None:
        self.requester.resume()
        self.provider.resume()
        kept = self.requester.unacknowledged()
        known = data.draw(st.integers(0, len(kept)))  # the sender may learn the receiver's position late
        first = self.provider.next_expected - (len(self.sent) - len(kept))
        self.wire = kept[min(known, first) :]

    @invariant()
    def what_arrived_is_a_prefix_of_what_was_sent(self) -> None:
        assert self.arrived == self.sent[: len(self.arrived)]
        assert self.requester.alive
        assert self.provider.alive

    def teardown(self) -> None:
        while self.wire:
            self.deliver()
        assert self.arrived == self.sent


TestLine = Line.TestCase
