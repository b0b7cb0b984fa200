from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import msgspec
import pytest
from xinqiao.v1 import node_pb2

from consent.usage import parse_ticket
from hub.exchanges import tickets
from hub.relay.rpc import RelayServicer
from tests.hub.live import (
    BANK,
    PROVIDER_NODE,
    LiveHub,
    code_of,
    fresh_id,
    now_ms,
    refused_with,
    until,
)
from trust.document import SignedDocument, sign_document
from trust.sm2 import PrivateKey


async def joined(live: LiveHub) -> bytes:
    """An exchange that both sides may attach to; returns its ticket."""
    await live.provider.connect()
    await live.give_consent()
    reply = await live.bank.open_exchange()
    answer = node_pb2.AnswerExchangeRequest(exchange_id=reply.exchange_id, answer="join")
    await live.provider.exchanges.AnswerExchange(answer)
    return bytes(reply.ticket)


def exchange_of(ticket: bytes) -> str:
    return parse_ticket(SignedDocument.decode(ticket).payload).exchange_id


async def end_of(call: Any) -> str:
    """How a call ends: the hub's code, or OK."""
    try:
        while await asyncio.wait_for(call.read(), 30) is not grpc.aio.EOF:
            pass
    except grpc.RpcError as error:
        return code_of(error)
    return "OK"


async def paired(live: LiveHub) -> tuple[bytes, Any, Any]:
    ticket = await joined(live)
    left, right = live.bank.attach(ticket), live.provider.attach(ticket)
    await left.write(node_pb2.RelayFrame(frame=b"hello"))
    assert (await right.read()).frame == b"hello"
    return ticket, left, right


async def test_frames_pass_between_two_nodes_and_the_exchange_runs(live: LiveHub) -> None:
    ticket, left, right = await paired(live)
    await right.write(node_pb2.RelayFrame(frame=b"answer"))
    assert (await left.read()).frame == b"answer"
    states = lambda: [update.state for update in live.provider.of("exchange")]  # noqa: E731
    await until(lambda: "running" in states())
    request = node_pb2.GetExchangeRequest(exchange_id=exchange_of(ticket))
    assert (await live.bank.exchanges.GetExchange(request)).state == "running"


async def test_ending_the_exchange_ends_both_streams_with_the_reason(sqlite_live: LiveHub) -> None:
    ticket, left, right = await paired(sqlite_live)
    ended = node_pb2.EndExchangeRequest(exchange_id=exchange_of(ticket), state="finished")
    await sqlite_live.bank.exchanges.EndExchange(ended)
    assert [await end_of(left), await end_of(right)] == ["EXCHANGE_ENDED"] * 2
    assert await end_of(sqlite_live.bank.attach(ticket)) == "EXCHANGE_ENDED"


async def test_a_reattached_node_continues_with_its_partner(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    ticket, left, right = await paired(live)
    left.cancel()
    assert await end_of(right) == "OK"
    again_left, again_right = live.bank.attach(ticket), live.provider.attach(ticket)
    await again_right.write(node_pb2.RelayFrame(frame=b"again"))
    assert (await again_left.read()).frame == b"again"


async def test_a_revoked_nodes_streams_end_within_a_second(live: LiveHub) -> None:
    _, left, right = await paired(live)
    began = time.monotonic()
    await live.revoke_node(PROVIDER_NODE)
    assert await end_of(right) == "NODE_REVOKED"
    await until(lambda: live.provider.ended is not None)
    assert time.monotonic() - began < 1
    assert code_of(live.provider.ended) == "NODE_REVOKED"
    assert await end_of(left) in {"OK", "EXCHANGE_ENDED"}
    async with refused_with("NODE_REVOKED"):
        await live.provider.control.Ping(node_pb2.PingRequest())
    listed = node_pb2.ListExchangesRequest()
    await asyncio.sleep(0.1)
    assert [one.state for one in (await live.bank.exchanges.ListExchanges(listed)).exchanges] == ["failed"]


async def test_a_node_that_is_revoked_while_it_attaches_does_not_get_in(
    sqlite_live: LiveHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = sqlite_live
    ticket = await joined(live)
    admit = RelayServicer._admit

    async def slow(self: RelayServicer, encoded: bytes) -> Any:
        admitted = await admit(self, encoded)
        await live.revoke_node(PROVIDER_NODE)
        return admitted

    monkeypatch.setattr(RelayServicer, "_admit", slow)
    assert await end_of(live.provider.attach(ticket)) == "NODE_REVOKED"


async def test_attachments_without_a_valid_ticket_are_refused(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    ticket = await joined(live)
    opened = SignedDocument.decode(ticket)
    good = parse_ticket(opened.payload)
    forged = sign_document(tickets.TICKET_TYPE, opened.payload, PrivateKey.generate()).encode()
    third = await live.enrol("firstbank-2", BANK)
    attempts = {
        "no ticket": live.bank.relay.Attach(),
        "not a document": live.bank.attach(b"nonsense"),
        "another signer": live.bank.attach(forged),
        "another node of the member": third.attach(ticket),
        "another relay": live.bank.attach(again(live, good, relay_address="elsewhere:1")),
        "expired": live.bank.attach(again(live, good, expires_ms=now_ms() - 1)),
    }
    assert {name: await end_of(call) for name, call in attempts.items()} == dict.fromkeys(attempts, "TICKET_INVALID")
    assert await end_of(live.bank.attach(again(live, good, exchange_id=fresh_id()))) == "NOT_FOUND"


def again(live: LiveHub, ticket: tickets.Ticket, **changes: object) -> bytes:
    changed = msgspec.structs.replace(ticket, **changes)
    return sign_document(tickets.TICKET_TYPE, tickets.encode(changed), live.hub.keys.log_key).encode()


async def test_a_frame_over_the_limit_is_refused_with_our_error(sqlite_live: LiveHub) -> None:
    ticket, left, _ = await paired(sqlite_live)
    with pytest.raises(grpc.RpcError) as caught:
        await left.write(node_pb2.RelayFrame(frame=bytes((4 << 20) + 70_000)))
        while await left.read() is not grpc.aio.EOF:
            pass
    assert code_of(caught.value) == "TOO_LARGE"
    assert ticket


async def test_the_largest_frame_passes(sqlite_live: LiveHub) -> None:
    _, left, right = await paired(sqlite_live)
    frame = bytes(4 << 20)
    await left.write(node_pb2.RelayFrame(frame=frame))
    assert (await right.read()).frame == frame
