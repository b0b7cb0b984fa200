"""The conversation of two nodes: what survives a lost connection, and what ends it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nodes.errors import ExchangeFailed
from nodes.exchanges.frames import Failure, FrameType
from nodes.exchanges.session import PeerRestarted, Session, SessionClosed, SessionLimits, SessionTerms
from tests.nodes.exchanges.memory_relay import MemoryRelay
from trust.errors import FrameRejected, HandshakeFailed
from trust.sm2 import PrivateKey

BANK, TAX = PrivateKey.generate(), PrivateKey.generate()
LIMITS = SessionLimits(join_s=2.0, reconnect_s=2.0, backoff_s=0.01)


def end_of(relay: MemoryRelay, role: str, *, key: PrivateKey | None = None, digest: bytes = b"p" * 32) -> Session:
    mine, theirs = (BANK, TAX) if role == "requester" else (TAX, BANK)
    terms = SessionTerms(
        exchange_id="11111111-1111-4111-8111-111111111111",
        requester_node="bank-1",
        provider_node="tax-1",
        mode="query",
        policy_digest=digest,
        role=role,  # type: ignore[arg-type]
    )
    return Session(terms, identity=key or mine, peer_identity=theirs.public, relay=relay.link(role), limits=LIMITS)


@asynccontextmanager
async def running(*sessions: Session) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(session.run()) for session in sessions]
    try:
        yield
    finally:
        for session in sessions:
            await session.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_one_end_sends_the_other_receives_in_order() -> None:
    relay = MemoryRelay()
    bank, tax = end_of(relay, "requester"), end_of(relay, "provider")
    async with running(bank, tax):
        for number in range(200):
            await bank.send(FrameType.QUERY_REQUEST, b"question %d" % number)
            assert await tax.receive() == (FrameType.QUERY_REQUEST, b"question %d" % number)
        await tax.send(FrameType.QUERY_REPLY, b"answer")
        assert await bank.receive() == (FrameType.QUERY_REPLY, b"answer")


async def test_the_relay_sees_no_plaintext() -> None:
    relay = MemoryRelay()
    bank, tax = end_of(relay, "requester"), end_of(relay, "provider")
    async with running(bank, tax):
        await bank.send(FrameType.QUERY_REQUEST, b"91310110666007217T")
        await tax.receive()
    assert relay.passed
    assert not any(b"91310110666007217T" in data for data in relay.passed)


async def test_a_lost_connection_loses_and_repeats_nothing() -> None:
    relay = MemoryRelay()
    bank, tax = end_of(relay, "requester"), end_of(relay, "provider")
    async with running(bank, tax):
        receiving = asyncio.gather(*(tax.receive() for _ in range(60)))
        for number in range(60):
            await bank.send(FrameType.QUERY_REQUEST, b"%d" % number)
            if number % 7 == 3:
                relay.cut()
        received = await asyncio.wait_for(receiving, 30)
        assert [int(payload) for _, payload in received] == list(range(60))


async def test_frames_sent_while_the_relay_is_away_arrive_after_it_is_back() -> None:
    relay = MemoryRelay()
    bank, tax = end_of(relay, "requester"), end_of(relay, "provider")
    async with running(bank, tax):
        await bank.send(FrameType.QUERY_REQUEST, b"before")
        await tax.receive()
        relay.down = True
        relay.cut()
        sending = asyncio.create_task(bank.send(FrameType.QUERY_REQUEST, b"during"))
        await asyncio.sleep(0.1)
        relay.down = False
        await sending
        assert await asyncio.wait_for(tax.receive(), 30) == (FrameType.QUERY_REQUEST, b"during")


async def test_a_peer_killed_without_a_word_is_taken_up_again_by_its_successor() -> None:
    relay = MemoryRelay()
    bank, tax = end_of(relay, "requester"), end_of(relay, "provider")
    async with running(bank):
        killed = asyncio.create_task(tax.run())
        await bank.send(FrameType.QUERY_REQUEST, b"one")
        await tax.receive()
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
        async with running(again := end_of(relay, "provider")):
            with pytest.raises(PeerRestarted):
                await asyncio.wait_for(bank.receive(), 30)
            await bank.send(FrameType.QUERY_REQUEST, b"two")
            assert await asyncio.wait_for(again.receive(), 30) == (FrameType.QUERY_REQUEST, b"two")


def flip(data: bytes) -> list[bytes]:
    return [data[:-1] + bytes([data[-1] ^ 1])]


@pytest.mark.parametrize(
    ("tamper", "what"),
    [
        (flip, "altered"),
        (lambda data: [data, data], "repeated"),
        (lambda data: [data[:20]], "truncated"),
        (lambda data: [data[:1] + bytes(5 << 20)], "oversized"),
        (lambda data: [b"\x07what"], "of an unknown kind"),
    ],
)
async def test_a_frame_that_the_relay_tampers_with_ends_the_session(tamper: object, what: str) -> None:
    relay = MemoryRelay()
    bank, tax = end_of(relay, "requester"), end_of(relay, "provider")
    async with running(bank, tax):
        await bank.send(FrameType.QUERY_REQUEST, b"fine")
        await tax.receive()
        relay.tamper = tamper  # type: ignore[assignment]
        await bank.send(FrameType.QUERY_REQUEST, b"tampered with")
        with pytest.raises((FrameRejected, ExchangeFailed)):
            while True:
                frame = await asyncio.wait_for(tax.receive(), 30)
                assert what == "repeated"
                assert frame[1] == b"tampered with"


async def test_frames_in_another_order_end_the_session() -> None:
    relay = MemoryRelay()
    bank, tax = end_of(relay, "requester"), end_of(relay, "provider")
    async with running(bank, tax):
        await bank.wait_ready()
        await tax.wait_ready()
        held: list[bytes] = []

        def swap(data: bytes) -> list[bytes]:
            held.append(data)
            return list(reversed(held)) if len(held) == 2 else []

        relay.tamper = swap
        await bank.send(FrameType.QUERY_REQUEST, b"first")
        await asyncio.sleep(0.05)  # in a message of its own
        await bank.send(FrameType.QUERY_REQUEST, b"second")
        with pytest.raises(FrameRejected):
            await asyncio.wait_for(tax.receive(), 30)


async def test_the_last_word_arrives_and_both_ends_let_go() -> None:
    relay = MemoryRelay()
    bank, tax = end_of(relay, "requester"), end_of(relay, "provider")
    async with running(bank, tax):
        await bank.wait_ready()
        await tax.wait_ready()
        for number in range(100):
            await tax.send(FrameType.QUERY_REPLY, b"%d" % number)
        await asyncio.wait_for(tax.close(), 30)
        for number in range(100):
            assert await bank.receive() == (FrameType.QUERY_REPLY, b"%d" % number)
        with pytest.raises(SessionClosed):
            await bank.receive()


async def test_another_identity_than_the_directory_names_is_refused() -> None:
    relay = MemoryRelay()
    bank, impostor = end_of(relay, "requester"), end_of(relay, "provider", key=PrivateKey.generate())
    async with running(bank, impostor):
        with pytest.raises(HandshakeFailed):
            await asyncio.wait_for(bank.wait_ready(), 30)


async def test_two_nodes_that_were_shown_different_requests_do_not_talk() -> None:
    relay = MemoryRelay()
    bank, tax = end_of(relay, "requester"), end_of(relay, "provider", digest=b"q" * 32)
    async with running(bank, tax):
        with pytest.raises(HandshakeFailed):
            await asyncio.wait_for(bank.wait_ready(), 30)


async def test_a_failure_is_told_to_the_other_end_with_its_code() -> None:
    relay = MemoryRelay()
    bank, tax = end_of(relay, "requester"), end_of(relay, "provider")
    async with running(bank, tax):
        await bank.wait_ready()
        await tax.wait_ready()
        await tax.close(Failure(code="USE_REFUSED", message="nobody consented", reason="NO_CONSENT"))
        with pytest.raises(ExchangeFailed) as failure:
            await asyncio.wait_for(bank.receive(), 30)
        assert (failure.value.code, failure.value.reason) == ("USE_REFUSED", "NO_CONSENT")


async def test_nobody_on_the_other_side_is_said_so_after_the_deadline() -> None:
    alone = end_of(MemoryRelay(), "requester")
    async with running(alone):
        with pytest.raises(ExchangeFailed) as failure:
            await asyncio.wait_for(alone.wait_ready(), 30)
        assert failure.value.code == "PEER_OFFLINE"


async def test_a_sender_waits_when_too_much_is_unacknowledged() -> None:
    relay = MemoryRelay()
    bank, tax = end_of(relay, "requester"), end_of(relay, "provider")
    bank._limits = SessionLimits(window_bytes=1 << 20, join_s=2.0)
    async with running(bank, tax):
        await bank.wait_ready()
        sent = 0

        async def send_all() -> None:
            nonlocal sent
            for sent in itertools.count(1):
                await bank.send(FrameType.RAW_BATCH, bytes(256 << 10))
                if sent == 64:
                    return

        sending = asyncio.create_task(send_all())
        await asyncio.sleep(0.2)
        assert sent < 64
        for _ in range(64):
            await asyncio.wait_for(tax.receive(), 30)
        await asyncio.wait_for(sending, 30)
