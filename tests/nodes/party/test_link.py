"""One exchange of a job between two real sessions: messages, rows, and the bytes of processes, each attempt apart from the others."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from nodes.errors import ExchangeFailed
from nodes.exchanges.frames import FrameType
from nodes.exchanges.session import PeerRestarted, Session
from nodes.exchanges.terms import ExchangeTerms
from nodes.joint.messages import Begin, Broken, Said, decode
from nodes.party import link as link_module
from nodes.party.link import Forward, PartyLink
from tests.nodes.exchanges.parties import Parties
from tests.nodes.joint.two_nodes import joint_terms

BEGIN = Begin(attempt=7, place=1)
BROKEN = Broken(attempt=7, code="PARTY_LOST", message="", again=True)
MEGABYTE = 1 << 20


@dataclass
class End:
    """One node's side: its session, its link, and the ends of sockets that its process would hold."""

    session: Session
    link: PartyLink[Said]
    tasks: list[asyncio.Task[None]]
    processes: dict[int, socket.socket] = field(default_factory=dict)

    async def join(self, attempt: int, *places: int) -> None:
        """Connect a process for an attempt, after the one before."""
        for process in self.processes.values():
            process.close()
        ours = {}
        for place in places or (0,):
            ours[place], self.processes[place] = socket.socketpair()
            self.processes[place].setblocking(False)
        await self.link.join(attempt, ours)

    async def writes(self, data: bytes, place: int = 0) -> None:
        """The process writes."""
        await asyncio.get_running_loop().sock_sendall(self.processes[place], data)

    async def reads(self, size: int, place: int = 0) -> bytes:
        """The process reads so many bytes."""
        found = b""
        while len(found) < size:
            async with asyncio.timeout(5):
                came = await asyncio.get_running_loop().sock_recv(self.processes[place], size - len(found))
            if not came:
                break
            found += came
        return found

    def has(self, place: int = 0) -> bytes:
        """What lies ready for the process."""
        try:
            return self.processes[place].recv(MEGABYTE)
        except BlockingIOError:
            return b""

    async def leave(self) -> None:
        await self.session.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.link.part()
        for process in self.processes.values():
            process.close()


def end_of(parties: Parties, terms: ExchangeTerms, role: str, forward: Forward | None = None) -> End:
    session = parties.session(terms, role)
    link = PartyLink(session, decode, forward)
    return End(session, link, [asyncio.create_task(session.run()), asyncio.create_task(link.run())])


@asynccontextmanager
async def linked(parties: Parties, forward: Forward | None = None) -> AsyncIterator[tuple[End, End]]:
    """The bank's end and the provider's, which share keys."""
    terms = joint_terms(parties)
    bank, provider = end_of(parties, terms, "requester", forward), end_of(parties, terms, "provider")
    try:
        await bank.session.wait_ready()
        await provider.session.wait_ready()
        yield bank, provider
    finally:
        await bank.leave()
        await provider.leave()


async def settle(bank: End, provider: End) -> None:
    """Whatever was sent before has come."""
    await bank.link.say(BEGIN)
    assert await provider.link.hear() == BEGIN
    await provider.link.say(BROKEN)
    assert await bank.link.hear() == BROKEN


# -- messages and rows


async def test_messages_and_rows_come_in_the_order_in_which_they_were_said(parties: Parties) -> None:
    rows = os.urandom(3 * MEGABYTE + 5)
    async with linked(parties) as (bank, provider):
        await bank.link.say(BEGIN)
        await bank.link.say_rows(rows)
        await bank.link.say(BROKEN)
        assert await provider.link.hear() == BEGIN
        assert await provider.link.hear_rows(len(rows)) == rows
        assert await provider.link.hear() == BROKEN
        assert await provider.link.hear_rows(0) == b""


@pytest.mark.parametrize(("sent", "due"), [(b"12345", 4), (b"1", 0)])
async def test_more_rows_than_were_due_are_refused(parties: Parties, sent: bytes, due: int) -> None:
    async with linked(parties) as (bank, provider):
        await bank.link.say_rows(sent)
        with pytest.raises(ExchangeFailed, match="rows"):
            await (provider.link.hear_rows(due) if due else provider.link.hear())


async def test_a_message_where_rows_were_due_is_refused(parties: Parties) -> None:
    async with linked(parties) as (bank, provider):
        await bank.link.say_rows(b"1234")
        await bank.link.say(BEGIN)
        with pytest.raises(ExchangeFailed, match="did not send the rows"):
            await provider.link.hear_rows(8)


@pytest.mark.parametrize(
    ("kind", "payload", "said"),
    [
        (FrameType.JOINT, b"{}", "malformed"),
        (FrameType.JOINT_DATA, b"", "empty data frame"),
        (FrameType.JOINT_DATA, struct.pack(">IB", 1, 0), "empty data frame"),
        (FrameType.QUERY_REQUEST, b"{}", "frame of type"),
    ],
)
async def test_a_frame_that_has_no_place_in_a_job_ends_the_conversation(
    parties: Parties, kind: FrameType, payload: bytes, said: str
) -> None:
    async with linked(parties) as (bank, provider):
        await bank.session.send(kind, payload)
        with pytest.raises(ExchangeFailed, match=said):
            await provider.link.hear()
        assert provider.tasks[1].done()


# -- the bytes of processes


async def test_what_one_process_writes_the_other_reads(parties: Parties) -> None:
    data = os.urandom(2 * MEGABYTE)
    async with linked(parties) as (bank, provider):
        await bank.join(7)
        await provider.join(7)
        writing = asyncio.create_task(bank.writes(data))
        assert await provider.reads(len(data)) == data
        await writing
        await provider.writes(b"answer")
        assert await bank.reads(6) == b"answer"


async def test_bytes_of_the_next_attempt_wait_for_their_process(parties: Parties) -> None:
    async with linked(parties) as (bank, provider):
        await provider.join(6)
        await bank.join(7)
        for piece in (b"one ", b"two ", b"three"):
            await bank.link.send_data(7, 0, piece)
        await settle(bank, provider)
        assert provider.has() == b""
        await provider.link.part()
        await provider.join(7)
        assert await provider.reads(13) == b"one two three"
        await bank.link.send_data(7, 0, b" four")
        assert await provider.reads(5) == b" four"


async def test_bytes_of_a_lost_attempt_reach_nobody(parties: Parties) -> None:
    async with linked(parties) as (bank, provider):
        await bank.link.send_data(5, 0, b"of an attempt that never began here")
        await settle(bank, provider)
        await provider.join(6)
        await bank.link.send_data(6, 0, b"here")
        assert await provider.reads(4) == b"here"
        await provider.link.part()
        await bank.link.send_data(6, 0, b"after its end")
        await settle(bank, provider)
        await provider.join(7)
        await bank.link.send_data(6, 0, b"late")
        await bank.link.send_data(7, 0, b"now")
        await settle(bank, provider)
        assert provider.has() == b"now"


async def test_what_a_process_wrote_before_it_ended_is_sent(parties: Parties) -> None:
    data = os.urandom(150_000)
    async with linked(parties) as (bank, provider):
        await bank.join(7)
        await provider.join(7)
        await provider.writes(data)
        provider.processes[0].close()
        await provider.link.drain()
        await provider.link.part()
        assert await bank.reads(len(data)) == data


async def test_more_than_may_wait_for_a_process_ends_the_conversation(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "_MOST_EARLY", 100_000)
    async with linked(parties) as (bank, provider):
        await bank.link.send_data(7, 0, bytes(50_000))
        await bank.link.send_data(8, 0, bytes(49_000))
        await settle(bank, provider)
        await bank.link.send_data(8, 0, bytes(1_000))
        with pytest.raises(ExchangeFailed, match="before this one has begun") as refused:
            await provider.link.hear()
        assert refused.value.code == "PROTOCOL_VIOLATION"


async def test_many_small_frames_that_wait_are_counted_with_what_they_cost(
    parties: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "_MOST_EARLY", 100_000)
    async with linked(parties) as (bank, provider):
        for _ in range(400):
            await bank.link.send_data(7, 0, b".")
        with pytest.raises(ExchangeFailed, match="before this one has begun"):
            await provider.link.hear()


async def test_what_was_handed_over_makes_room_again(parties: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "_MOST_EARLY", 100_000)
    async with linked(parties) as (bank, provider):
        for attempt in (7, 8, 9):
            await bank.link.send_data(attempt, 0, bytes(90_000))
            await settle(bank, provider)
            await provider.join(attempt)
            assert len(await provider.reads(90_000)) == 90_000
            await provider.link.part()


async def test_a_process_that_is_let_go_while_bytes_wait_for_it_does_not_hold_up_what_comes_next(
    parties: Parties,
) -> None:
    async with linked(parties) as (bank, provider):
        await provider.join(7)
        sending = asyncio.create_task(bank.link.send_data(7, 0, bytes(3 * MEGABYTE)))
        await provider.reads(1)
        await provider.link.part()
        await sending
        await bank.link.say(BROKEN)
        async with asyncio.timeout(5):
            assert await provider.link.hear() == BROKEN


async def test_who_is_cancelled_while_letting_go_has_let_go_all_the_same(parties: Parties) -> None:
    async with linked(parties) as (bank, provider):
        await provider.join(7, 0, 2)
        sending = asyncio.create_task(bank.link.send_data(7, 0, bytes(3 * MEGABYTE)))
        await provider.reads(1)
        parting = asyncio.ensure_future(provider.link.part())
        await asyncio.sleep(0)
        parting.cancel()
        await asyncio.gather(parting, return_exceptions=True)
        assert parting.cancelled()
        for place in (0, 2):
            while await provider.reads(1, place):
                pass  # what was on its way, then the end
        await sending


async def test_a_process_that_died_takes_no_bytes_and_disturbs_nothing(parties: Parties) -> None:
    async with linked(parties) as (bank, provider):
        await provider.join(7)
        provider.processes[0].close()
        for _ in range(3):
            await bank.link.send_data(7, 0, bytes(MEGABYTE))
        await settle(bank, provider)


async def test_a_process_that_reads_from_one_peer_is_not_kept_waiting_by_bytes_of_another(parties: Parties) -> None:
    async with linked(parties) as (bank, provider):
        await provider.join(7, 0, 2)
        await bank.link.send_data(7, 0, bytes(3 * MEGABYTE))
        await bank.link.send_data(7, 2, b"of the other")
        assert await provider.reads(12, place=2) == b"of the other"
        assert len(await provider.reads(3 * MEGABYTE)) == 3 * MEGABYTE


# -- between providers


async def test_what_is_for_another_provider_passes_on_and_what_is_for_nobody_is_dropped(parties: Parties) -> None:
    passed: list[tuple[int, int, bytes]] = []

    async def forward(attempt: int, place: int, data: bytes) -> None:
        passed.append((attempt, place, data))

    async with linked(parties, forward) as (bank, provider):
        await provider.link.send_data(7, 2, b"before the bank began")
        await settle(bank, provider)
        assert passed == []
        await bank.join(7)
        await provider.link.send_data(7, 2, b"sealed")
        await provider.link.send_data(7, 0, b"for the bank")
        assert await bank.reads(12) == b"for the bank"
        assert passed == [(7, 2, b"before the bank began"), (7, 2, b"sealed")]
        await provider.join(7)
        await bank.link.send_data(7, 3, b"for nobody")
        await bank.link.part()
        await provider.link.send_data(7, 2, b"after the attempt")
        await settle(bank, provider)
        assert (provider.has(), len(passed)) == (b"", 2)


# -- a node that restarts


async def test_after_a_restart_of_the_other_node_attempts_are_counted_anew(parties: Parties) -> None:
    terms = joint_terms(parties)
    bank, provider = end_of(parties, terms, "requester"), end_of(parties, terms, "provider")
    await bank.session.wait_ready()
    await provider.session.wait_ready()
    await provider.join(7)
    await bank.link.send_data(9, 0, b"of an attempt that is lost")
    await settle(bank, provider)
    for task in bank.tasks:
        task.cancel()
    await asyncio.gather(*bank.tasks, return_exceptions=True)
    parties.relay.cut()
    again = end_of(parties, terms, "requester")
    await again.session.wait_ready()
    with pytest.raises(PeerRestarted):
        await provider.link.hear()
    await provider.link.part()
    await settle(again, provider)
    await again.link.send_data(3, 0, b"anew")
    await settle(again, provider)
    await provider.join(3)
    assert await provider.reads(4) == b"anew"
    assert provider.has() == b""
    for end in (again, provider, bank):
        await end.leave()


async def test_what_is_said_to_a_node_that_began_anew_meanwhile_is_not_sent_and_told(parties: Parties) -> None:
    """The sender believes that the other side is where it was: a finished model is not announced to a node that knows of no job."""
    terms = joint_terms(parties)
    bank, provider = end_of(parties, terms, "requester"), end_of(parties, terms, "provider")
    await settle(bank, provider)
    await provider.link.say(BROKEN)  # never heard
    for task in provider.tasks:
        task.cancel()
    await asyncio.gather(*provider.tasks, return_exceptions=True)
    parties.relay.cut()
    again = end_of(parties, terms, "provider")
    await again.session.wait_ready()
    with pytest.raises(PeerRestarted):
        await bank.link.say(BEGIN)
    await settle(
        bank, again
    )  # and nothing of before is heard: neither BROKEN of the lost node, nor the restart once more
    for end in (again, provider, bank):
        await end.leave()
