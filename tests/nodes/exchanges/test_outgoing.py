"""Frames that share a message: what is joined comes apart again, in order, and nothing malformed passes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.errors import ExchangeFailed, HubUnavailable
from nodes.exchanges.outgoing import SHARED_BYTES, MessageKind, Outgoing, frames_of


class Sink:
    """A stream that keeps what is written, as slowly as it is told to."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.open = asyncio.Event()
        self.open.set()
        self.lost = False

    async def write(self, data: bytes) -> None:
        await self.open.wait()
        if self.lost:
            raise HubUnavailable("the connection was lost")
        self.messages.append(data)

    async def read(self) -> bytes | None:
        return None

    async def finish(self) -> None:
        return None

    def cancel(self) -> None:
        return None


@given(st.lists(st.one_of(st.binary(max_size=64), st.just(bytes(SHARED_BYTES // 2)), st.just(bytes(SHARED_BYTES + 1)))))
def test_frames_leave_in_order_however_they_are_joined(frames: list[bytes]) -> None:
    async def work() -> None:
        sink = Sink()
        outgoing = Outgoing(sink)
        for frame in frames:
            outgoing.add(MessageKind.SEALED, frame)
        writing = asyncio.create_task(outgoing.run())
        await outgoing.flush()
        writing.cancel()
        assert [bytes(frame) for message in sink.messages for frame in frames_of(message)] == frames
        assert all(len(message) <= SHARED_BYTES * 1.5 for message in sink.messages if len(list(frames_of(message))) > 1)

    asyncio.run(work())


async def test_control_messages_keep_their_place_and_share_with_nobody() -> None:
    sink = Sink()
    outgoing = Outgoing(sink)
    outgoing.add(MessageKind.HANDSHAKE, b"hello")
    outgoing.add(MessageKind.SEALED, b"a")
    outgoing.add(MessageKind.SEALED, b"b")
    outgoing.add(MessageKind.RESUMPTION, b"go on")
    outgoing.add(MessageKind.SEALED, b"c")
    writing = asyncio.create_task(outgoing.run())
    await outgoing.flush()
    writing.cancel()
    assert [message[0] for message in sink.messages] == [0, 2, 1, 2]
    assert [bytes(frame) for frame in frames_of(sink.messages[1])] == [b"a", b"b"]


async def test_a_fast_sender_waits_for_a_slow_connection_and_is_let_go_when_it_is_lost() -> None:
    sink = Sink()
    sink.open.clear()
    outgoing = Outgoing(sink)
    writing = asyncio.create_task(outgoing.run())
    for _ in range(6):
        outgoing.add(MessageKind.SEALED, bytes(1 << 20))
    waiting = asyncio.create_task(outgoing.room())
    await asyncio.sleep(0.02)
    assert not waiting.done()
    sink.lost = True
    sink.open.set()
    await asyncio.wait_for(waiting, 30)
    await asyncio.wait_for(outgoing.flush(), 30)
    await asyncio.wait_for(writing, 30)


@given(st.binary(max_size=64))
@example(b"\x00\x00\x00")
@example(b"\x00\x00\x00\x05abc")
@example(b"\xff\xff\xff\xff")
def test_a_malformed_message_is_refused_or_read_whole(body: bytes) -> None:
    try:
        frames = [bytes(frame) for frame in frames_of(b"\x02" + body)]
    except ExchangeFailed:
        return
    assert b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames) == body


@pytest.mark.parametrize("cut", [1, 3, 4])
def test_a_message_that_ends_within_a_frame_is_refused(cut: int) -> None:
    message = b"\x02" + (5).to_bytes(4, "big") + b"frame"
    with pytest.raises(ExchangeFailed):
        list(frames_of(message[:-cut]))
