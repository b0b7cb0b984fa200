from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hub.errors import HubError
from hub.relay.pairing import Side
from hub.relay.switch import Switch


class Pipe:
    """A stream in memory: `send` what the node sends, `received` what it gets."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.received: list[bytes] = []
        self.open_gate = asyncio.Event()
        self.open_gate.set()

    async def read(self) -> bytes | None:
        return await self.incoming.get()

    async def write(self, frame: bytes) -> None:
        await self.open_gate.wait()
        self.received.append(frame)

    def send(self, *frames: bytes) -> None:
        for frame in frames:
            self.incoming.put_nowait(frame)


def make_switch(**changes: object) -> Switch:
    return Switch(**{"queue_frames": 4, "max_frame_bytes": 1000, "idle_s": 5.0, **changes})  # type: ignore[arg-type]


def serve(switch: Switch, side: Side, pipe: Pipe, exchange: str = "x") -> asyncio.Task[None]:
    return asyncio.create_task(switch.serve(exchange, side, f"{side}-node", pipe))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_frames_go_both_ways_in_order_and_are_counted() -> None:
    switch, left, right = make_switch(), Pipe(), Pipe()
    met: list[str] = []
    switch.listen(met.append)
    left.send(b"1", b"2")  # before the partner is there
    tasks = [serve(switch, Side.REQUESTER, left), serve(switch, Side.PROVIDER, right)]
    right.send(b"a", b"bc")
    await settle()
    assert (left.received, right.received) == ([b"a", b"bc"], [b"1", b"2"])
    assert (switch.counters.frames, switch.counters.bytes, met) == (4, 5, ["x"])
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (len(switch), switch.exchanges()) == (0, frozenset())


async def test_a_slow_receiver_holds_the_sender_back() -> None:
    switch, left, right = make_switch(), Pipe(), Pipe()
    right.open_gate.clear()
    tasks = [serve(switch, Side.REQUESTER, left), serve(switch, Side.PROVIDER, right)]
    left.send(*[b"x"] * 50)
    await settle()
    # four in the queue, one in the hands of the reader, one in those of the writer
    assert 50 - left.incoming.qsize() <= 6
    right.open_gate.set()
    await asyncio.wait_for(until_received(right, 50), 30)
    switch.close(HubError("UNAVAILABLE"))
    await asyncio.gather(*tasks, return_exceptions=True)


async def until_received(pipe: Pipe, count: int) -> None:
    while len(pipe.received) < count:
        await asyncio.sleep(0.001)


async def test_when_one_end_leaves_the_other_gets_what_was_sent_and_then_ends() -> None:
    switch, left, right = make_switch(), Pipe(), Pipe()
    leaving, staying = serve(switch, Side.REQUESTER, left), serve(switch, Side.PROVIDER, right)
    right.open_gate.clear()
    left.send(b"1", b"2", b"3")
    await settle()
    leaving.cancel()
    await settle()
    right.open_gate.set()
    await asyncio.wait_for(staying, 30)
    assert right.received == [b"1", b"2", b"3"]


async def test_a_newer_attachment_replaces_the_older_and_gets_nothing_meant_for_it() -> None:
    switch, old, new, partner, again = make_switch(), Pipe(), Pipe(), Pipe(), Pipe()
    first, second = serve(switch, Side.REQUESTER, old), serve(switch, Side.PROVIDER, partner)
    old.open_gate.clear()
    partner.send(b"for the old one")
    await settle()
    third = serve(switch, Side.REQUESTER, new)
    old.open_gate.set()
    await asyncio.wait_for(asyncio.gather(first, second), 30)
    fourth = serve(switch, Side.PROVIDER, again)
    again.send(b"for the new one")
    await settle()
    assert (old.received, new.received) == ([b"for the old one"], [b"for the new one"])
    third.cancel(), fourth.cancel()
    await asyncio.gather(third, fourth, return_exceptions=True)


async def test_an_ended_exchange_delivers_what_is_under_way_and_then_the_error() -> None:
    switch, left, right = make_switch(), Pipe(), Pipe()
    tasks = [serve(switch, Side.REQUESTER, left), serve(switch, Side.PROVIDER, right)]
    right.open_gate.clear()
    left.send(b"last words")
    await settle()
    switch.end_exchange("x", HubError("EXCHANGE_ENDED"))
    right.open_gate.set()
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    assert [getattr(outcome, "code", None) for outcome in outcomes] == ["EXCHANGE_ENDED"] * 2
    assert right.received == [b"last words"]


async def test_a_node_that_is_cut_off_ends_at_once_even_in_the_middle_of_a_write() -> None:
    switch, left, right = make_switch(), Pipe(), Pipe()
    tasks = [serve(switch, Side.REQUESTER, left), serve(switch, Side.PROVIDER, right)]
    right.open_gate.clear()
    left.send(b"never delivered")
    await settle()
    switch.end_node("provider-node", HubError("NODE_REVOKED"))
    with pytest.raises(HubError, match="NODE_REVOKED"):
        await asyncio.wait_for(tasks[1], 30)
    await asyncio.wait_for(tasks[0], 30)
    assert right.received == []


async def test_a_frame_over_the_limit_is_refused() -> None:
    switch, left = make_switch(), Pipe()
    left.send(b"x" * 1001)
    with pytest.raises(HubError, match="TOO_LARGE"):
        await asyncio.wait_for(serve(switch, Side.REQUESTER, left), 30)


async def test_an_end_does_not_wait_for_its_partner_for_ever() -> None:
    with pytest.raises(HubError, match="PEER_OFFLINE"):
        await serve(make_switch(idle_s=0.01), Side.REQUESTER, Pipe())


async def test_the_capture_file_receives_every_byte(tmp_path: Path) -> None:
    switch, left, right = make_switch(capture=tmp_path / "capture"), Pipe(), Pipe()
    tasks = [serve(switch, Side.REQUESTER, left), serve(switch, Side.PROVIDER, right)]
    left.send(b"one"), right.send(b"two")
    await settle()
    switch.close(HubError("UNAVAILABLE"))
    await asyncio.gather(*tasks, return_exceptions=True)
    assert sorted((tmp_path / "capture").read_bytes()) == sorted(b"onetwo")
