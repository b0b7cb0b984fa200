"""Two providers talk through the bank, which can change, repeat, hold back and forge, and must get nowhere with it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.directory import NodeRevoked
from nodes.errors import ExchangeFailed
from nodes.party.tunnel import Tunnel
from tests.consent.builders import NOW, World, admitted, enrolled, key
from trust.channel import MAX_PAYLOAD
from trust.sm2 import PrivateKey

JOB = "ab" * 16
APART = frozenset({"firstbank"})


def directory() -> World:
    """The bank and three providers, each with a node."""
    world = World()
    for member in ("platform", "utility"):
        world.enter("member-admitted", admitted(member, "platform"), "operator")
        world.enter("node-enrolled", enrolled(f"{member}-1", member), f"{member}-1")
    return world


WORLD = directory()


@dataclass
class Bank:
    """Carries frames between two ends, in order, one at a time, and remembers them."""

    waiting: dict[str, deque[bytes]] = field(default_factory=lambda: {"lower": deque(), "upper": deque()})
    carried: list[tuple[str, bytes]] = field(default_factory=list)
    ends: dict[str, Tunnel] = field(default_factory=dict)
    came: dict[str, bytes] = field(default_factory=lambda: {"lower": b"", "upper": b""})

    def end(self, name: str, **changes: Any) -> Tunnel:
        lower = name == "lower"
        other = "upper" if lower else "lower"

        async def send(data: bytes) -> None:
            self.waiting[other].append(data)

        own, peer = ("taxoffice-1", "platform-1") if lower else ("platform-1", "taxoffice-1")
        said: dict[str, Any] = {
            "job": JOB,
            "attempt": 5,
            "own_node": own,
            "peer_node": peer,
            "leads": lower,
            "identity": key(own),
            "directory": WORLD.directory,
            "apart_from": APART,
            "send": send,
        }
        self.ends[name] = Tunnel(**said | changes)
        return self.ends[name]

    async def carry(self) -> None:
        """All that waits, and what comes of it."""
        while any(self.waiting.values()):
            for to, frames in self.waiting.items():
                if frames:
                    frame = frames.popleft()
                    self.carried.append((to, frame))
                    self.came[to] += await self.ends[to].open(frame)


async def connected(**changes: Any) -> Bank:
    """Both ends share keys; changes are of the upper one."""
    bank = Bank()
    bank.end("lower")
    bank.end("upper", **changes)
    await bank.ends["lower"].start()
    await bank.ends["upper"].start()
    await bank.carry()
    return bank


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["lower", "upper"]), st.binary(max_size=200)), max_size=8))
def test_what_one_seals_the_other_opens_in_order_and_the_bank_reads_none_of_it(said: list[tuple[str, bytes]]) -> None:
    async def conversation() -> None:
        bank = await connected()
        for name, data in said:
            await bank.ends[name].seal(data)
        sealed = [frame for frames in bank.waiting.values() for frame in frames]
        await bank.carry()
        assert bank.came["upper"] == b"".join(data for name, data in said if name == "lower")
        assert bank.came["lower"] == b"".join(data for name, data in said if name == "upper")
        assert not any(data in frame for _, data in said if len(data) > 3 for frame in sealed)

    asyncio.run(conversation())


async def test_whoever_begins_first_they_come_to_share_keys() -> None:
    bank = Bank()
    bank.end("lower")
    await bank.ends["lower"].start()
    bank.end("upper")
    await bank.carry()
    await bank.ends["upper"].seal(b"ready")
    await bank.carry()
    assert bank.came["lower"] == b"ready"


async def test_nothing_leaves_before_both_share_keys() -> None:
    bank = Bank()
    lower = bank.end("lower")
    bank.end("upper")
    sealing = asyncio.create_task(lower.seal(b"secret"))
    await asyncio.sleep(0)
    assert not sealing.done()
    assert not bank.waiting["upper"]
    await lower.start()
    await bank.carry()
    await sealing
    await bank.carry()
    assert bank.came["upper"] == b"secret"


async def test_much_data_goes_in_frames_that_an_exchange_can_carry() -> None:
    bank = await connected()
    data = bytes(range(256)) * 20_000
    await bank.ends["lower"].seal(data)
    assert all(len(frame) + 5 <= MAX_PAYLOAD for frame in bank.waiting["upper"])
    await bank.carry()
    assert bank.came["upper"] == data


async def refused(bank: Bank, frame: bytes, said: str) -> None:
    with pytest.raises(ExchangeFailed, match=said) as error:
        await bank.ends["upper"].open(frame)
    assert error.value.code == "PROTOCOL_VIOLATION"


@pytest.mark.parametrize("place", [0, 1, 2, 3, 4, 9, 13, 20, -1])
async def test_a_changed_byte_is_refused_wherever_it_is(place: int) -> None:
    bank = await connected()
    await bank.ends["lower"].seal(b"some data of a party")
    frame = bytearray(bank.waiting["upper"].popleft())
    frame[place] ^= 1
    await refused(bank, bytes(frame), "out of turn" if place == 0 else "not genuine")


async def test_a_frame_that_comes_again_is_refused_and_so_is_all_that_follows() -> None:
    bank = await connected()
    await bank.ends["lower"].seal(b"one")
    await bank.ends["lower"].seal(b"two")
    first = bank.waiting["upper"].popleft()
    assert await bank.ends["upper"].open(first) == b"one"
    await refused(bank, first, "not genuine")
    await refused(bank, bank.waiting["upper"].popleft(), "not genuine")


async def test_frames_in_another_order_are_refused() -> None:
    bank = await connected()
    await bank.ends["lower"].seal(b"one")
    await bank.ends["lower"].seal(b"two")
    await refused(bank, bank.waiting["upper"].pop(), "not genuine")


async def test_what_an_end_sent_itself_is_refused() -> None:
    bank = await connected()
    await bank.ends["upper"].seal(b"mine")
    await refused(bank, bank.waiting["lower"].popleft(), "not genuine")


async def test_frames_of_another_attempt_or_job_are_refused() -> None:
    bank, before = await connected(), await connected()
    await before.ends["lower"].seal(b"of before")
    await refused(bank, before.waiting["upper"].popleft(), "not genuine")


@pytest.mark.parametrize("frame", [b"", b"\1", b"\2data", b"\0", b"\1" + b"x" * 100])
async def test_frames_out_of_turn_are_refused(frame: bytes) -> None:
    bank = Bank()
    bank.end("upper")
    await bank.ends["upper"].start()
    await refused(bank, frame, "out of turn|not genuine")


async def test_a_handshake_after_the_handshake_is_refused() -> None:
    bank = await connected()
    hello = next(frame for to, frame in bank.carried if to == "upper")
    await refused(bank, hello, "out of turn")


async def test_the_messages_of_an_earlier_attempt_open_nothing() -> None:
    earlier = await connected()
    bank = Bank()
    upper = bank.end("upper", attempt=6)
    await upper.start()
    with pytest.raises(ExchangeFailed, match="not genuine"):
        for to, frame in earlier.carried:
            if to == "upper":
                await upper.open(frame)


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": PrivateKey.generate()},
        {"identity": key("firstbank-1")},
        {"identity": key("utility-1")},
        {"job": "cd" * 16},
        {"leads": True},
        {"own_node": "utility-1", "identity": key("utility-1")},
        {"peer_node": "utility-1"},
    ],
)
async def test_another_identity_job_or_place_never_comes_to_share_keys(changes: dict[str, Any]) -> None:
    with pytest.raises(ExchangeFailed) as error:
        await connected(**changes)
    assert error.value.code == "PROTOCOL_VIOLATION"


@pytest.mark.parametrize("peer", ["nobody-1", "firstbank-1", "taxoffice-1", "utility-1"])
async def test_a_node_talks_to_an_active_node_of_a_further_provider_only(peer: str) -> None:
    world = directory()
    world.enter(
        "node-revoked", NodeRevoked(node_id="utility-1", time_ms=NOW + 1, reason="lost", operator="op"), "operator"
    )
    apart = APART | {"taxoffice"}
    with pytest.raises(ExchangeFailed, match=peer) as error:
        Bank().end("lower", peer_node=peer, directory=world.directory, apart_from=apart)
    assert error.value.code == "PROTOCOL_VIOLATION"
    Bank().end("lower", peer_node="platform-1", directory=world.directory, apart_from=apart)
