from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from xinqiao.v1 import node_pb2

from consent.decision import ItemUse
from consent.documents import ExchangeMode, ItemMode
from consent.usage import EXCHANGE_REQUEST_TYPE, parse_ticket, policy_digest
from hub.exchanges import service
from tests.hub.live import (
    BANK,
    BANK_NODE,
    ITEM,
    PROVIDER,
    PROVIDER_NODE,
    USCC,
    LiveHub,
    fresh_id,
    now_ms,
    reason_of,
    refused_with,
    until,
)
from trust.document import SignedDocument, sign_document, verify_document


async def ready(live: LiveHub) -> None:
    await live.provider.connect()
    await live.bank.connect()
    await live.give_consent()


async def answer(live: LiveHub, exchange_id: str, what: str, reason: str = "") -> node_pb2.ExchangeReply:
    request = node_pb2.AnswerExchangeRequest(exchange_id=exchange_id, answer=what, reason=reason)
    return await live.provider.exchanges.AnswerExchange(request)


async def end(node: Any, exchange_id: str, state: str, reason: str = "") -> node_pb2.ExchangeReply:
    request = node_pb2.EndExchangeRequest(exchange_id=exchange_id, state=state, reason=reason)
    return await node.exchanges.EndExchange(request)


def states(node: Any, exchange_id: str) -> list[str]:
    return [update.state for update in node.of("exchange") if update.exchange_id == exchange_id]


async def test_an_opened_exchange_invites_the_provider_with_a_ticket_for_both(live: LiveHub) -> None:
    await ready(live)
    request = live.bank.exchange_request()
    reply = await live.bank.exchanges.OpenExchange(node_pb2.OpenExchangeRequest(request=request.encode()))
    await until(lambda: live.provider.of("invitation"))
    invitation = live.provider.of("invitation")[0]
    assert (invitation.request, invitation.ticket) == (request.encode(), reply.ticket)
    document = SignedDocument.decode(reply.ticket)
    verify_document(document, document.payload_type, live.hub.keys.public)
    ticket = parse_ticket(document.payload)
    assert (ticket.requester_node, ticket.provider_node) == (BANK_NODE, PROVIDER_NODE)
    assert ticket.policy_digest == policy_digest(request.payload).hex()
    assert ticket.relay_address == live.hub.settings.node_address


async def test_the_same_request_again_gets_the_same_exchange_and_another_one_is_refused(live: LiveHub) -> None:
    await ready(live)
    request = live.bank.exchange_request()
    send = node_pb2.OpenExchangeRequest(request=request.encode())
    first, second = await live.bank.exchanges.OpenExchange(send), await live.bank.exchanges.OpenExchange(send)
    assert first == second
    async with refused_with("ALREADY_EXISTS"):
        await live.bank.open_exchange(exchange_id=first.exchange_id, reason="another")


async def test_the_states_are_walked_through_and_both_nodes_hear_of_each(live: LiveHub) -> None:
    await ready(live)
    exchange_id = (await live.bank.open_exchange()).exchange_id
    assert (await answer(live, exchange_id, "wait_approval")).state == "waiting_approval"
    await until(lambda: "waiting_approval" in states(live.bank, exchange_id))
    assert (await answer(live, exchange_id, "join")).state == "joined"
    assert (await answer(live, exchange_id, "join")).state == "joined"
    progress = node_pb2.ReportProgressRequest(exchange_id=exchange_id, done=3, total=9, unit="records")
    counted = await live.bank.exchanges.ReportProgress(progress)
    assert (counted.done, counted.total, counted.unit) == (3, 9, "records")
    ended = await end(live.bank, exchange_id, "finished")
    assert (ended.state, ended.ended_ms > 0) == ("finished", True)
    assert (await end(live.provider, exchange_id, "finished")).state == "finished"
    await until(
        lambda: "finished" in states(live.bank, exchange_id) and "finished" in states(live.provider, exchange_id)
    )
    assert states(live.bank, exchange_id)[-3:] == ["waiting_approval", "joined", "finished"]
    for call in (answer(live, exchange_id, "join"), end(live.bank, exchange_id, "failed")):
        async with refused_with("EXCHANGE_ENDED"):
            await call
    async with refused_with("EXCHANGE_ENDED"):
        await live.bank.exchanges.ReportProgress(progress)


async def test_a_declined_exchange_has_failed_with_the_providers_reason(live: LiveHub) -> None:
    await ready(live)
    exchange_id = (await live.bank.open_exchange()).exchange_id
    await answer(live, exchange_id, "decline", "APPROVAL_REQUIRED: the operator said no")
    await until(lambda: states(live.bank, exchange_id)[-1:] == ["failed"])
    assert live.bank.of("exchange")[-1].reason == "APPROVAL_REQUIRED: the operator said no"


async def test_without_any_consent_in_force_the_requester_is_told_so_at_once(live: LiveHub) -> None:
    await live.provider.connect()
    async with refused_with("USE_REFUSED") as refused:
        await live.bank.open_exchange()
    assert reason_of(refused.error) == "NO_CONSENT"
    given = await live.give_consent()
    await live.bank.open_exchange()
    await live.submit(live.sign_revocation(given))
    async with refused_with("USE_REFUSED"):
        await live.bank.open_exchange()


async def test_public_items_need_no_consent(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    await live.provider.connect()
    await live.publish("public-facts", ItemMode.P)
    uses = (ItemUse(item_id=ITEM, mode=ItemMode.P),)
    assert (await live.bank.open_exchange(product_id="public-facts", items=uses)).ticket


@pytest.mark.parametrize("mode", [ExchangeMode.PSI_SIZE, ExchangeMode.PSI_ROWS])
async def test_a_comparison_of_sets_needs_no_consent_and_shows_nothing_of_an_item(
    sqlite_live: LiveHub, mode: ExchangeMode
) -> None:
    live = sqlite_live
    await live.provider.connect()
    await live.publish("facts", ItemMode.Q)
    nothing = (ItemUse(item_id=ITEM, mode=ItemMode.X),)
    assert (await live.bank.open_exchange(product_id="facts", mode=mode, items=nothing)).ticket
    for items in (
        (ItemUse(item_id=ITEM, mode=ItemMode.Q),),
        (ItemUse(item_id=ITEM, mode=ItemMode.X, fields=("status",)),),
        (ItemUse(item_id="other_item", mode=ItemMode.X),),
    ):
        async with refused_with("PRODUCT_UNAVAILABLE"):
            await live.bank.open_exchange(product_id="facts", mode=mode, items=items)
    async with refused_with("PRODUCT_UNAVAILABLE"):
        await live.bank.open_exchange(product_id="facts", mode=ExchangeMode.QUERY, items=nothing)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"requester": PROVIDER}, "PERMISSION_DENIED"),
        ({"requester_node": PROVIDER_NODE}, "PERMISSION_DENIED"),
        ({"time_ms": 0}, "CLOCK_SKEW"),
        ({"time_ms": 0, "expires_ms": 1}, "CLOCK_SKEW"),
        ({"product_id": "nothing"}, "PRODUCT_UNAVAILABLE"),
        ({"provider": "nobody"}, "PRODUCT_UNAVAILABLE"),
        ({"provider": BANK}, "INVALID_ARGUMENT"),
        ({"items": (ItemUse(item_id="other_item", mode=ItemMode.Q),)}, "PRODUCT_UNAVAILABLE"),
        ({"items": (ItemUse(item_id=ITEM, mode=ItemMode.J),)}, "PRODUCT_UNAVAILABLE"),
        ({"provider_node": "other-1"}, "NOT_FOUND"),
        ({"exchange_id": "not-a-uuid"}, "INVALID_ARGUMENT"),
    ],
)
async def test_requests_that_do_not_hold_are_refused(sqlite_live: LiveHub, changes: dict[str, Any], code: str) -> None:
    await ready(sqlite_live)
    async with refused_with(code):
        await sqlite_live.bank.open_exchange(**changes)


async def test_a_request_signed_by_another_key_is_refused(sqlite_live: LiveHub) -> None:
    await ready(sqlite_live)
    good = sqlite_live.bank.exchange_request()
    forged = sign_document(EXCHANGE_REQUEST_TYPE, good.payload, sqlite_live.provider.key)
    async with refused_with("SIGNATURE_INVALID"):
        await sqlite_live.bank.exchanges.OpenExchange(node_pb2.OpenExchangeRequest(request=forged.encode()))


async def test_a_provider_that_is_not_connected_is_offline(sqlite_live: LiveHub) -> None:
    await sqlite_live.give_consent()
    async with refused_with("PEER_OFFLINE"):
        await sqlite_live.bank.open_exchange()


async def test_to_a_third_node_an_exchange_does_not_exist(sqlite_live: LiveHub) -> None:
    live = sqlite_live
    await ready(live)
    exchange_id = (await live.bank.open_exchange()).exchange_id
    third = await live.enrol("firstbank-2", BANK)
    get = node_pb2.GetExchangeRequest(exchange_id=exchange_id)
    for call in (
        third.exchanges.GetExchange(get),
        third.exchanges.ResumeExchange(get),
        end(third, exchange_id, "failed"),
    ):
        async with refused_with("NOT_FOUND"):
            await call
    assert not (await third.exchanges.ListExchanges(node_pb2.ListExchangesRequest())).exchanges
    async with refused_with("PERMISSION_DENIED"):
        await live.bank.exchanges.AnswerExchange(node_pb2.AnswerExchangeRequest(exchange_id=exchange_id, answer="join"))
    async with refused_with("NOT_FOUND"):
        await live.bank.exchanges.GetExchange(node_pb2.GetExchangeRequest(exchange_id=fresh_id()))


async def test_a_resumed_exchange_has_a_fresh_ticket_for_the_same_two_nodes(sqlite_live: LiveHub) -> None:
    await ready(sqlite_live)
    opened = await sqlite_live.bank.open_exchange()
    request = node_pb2.GetExchangeRequest(exchange_id=opened.exchange_id)
    resumed = await sqlite_live.provider.exchanges.ResumeExchange(request)
    old, new = (parse_ticket(SignedDocument.decode(one.ticket).payload) for one in (opened, resumed))
    assert (new.requester_node, new.provider_node, new.policy_digest) == (
        old.requester_node,
        old.provider_node,
        old.policy_digest,
    )
    assert new.expires_ms >= old.expires_ms


async def test_a_node_that_comes_back_hears_of_what_is_open_and_what_ended_meanwhile(live: LiveHub) -> None:
    await ready(live)
    waiting, ended = [(await live.bank.open_exchange()).exchange_id for _ in range(2)]
    await live.provider.disconnect()
    await end(live.bank, ended, "cancelled")
    live.provider.events.clear()
    await live.provider.connect()
    await until(lambda: live.provider.of("invitation") and live.provider.of("exchange"))
    (invitation,) = live.provider.of("invitation")
    assert waiting in SignedDocument.decode(invitation.request).payload.decode()
    assert states(live.provider, ended) == ["cancelled"]


async def test_what_nobody_uses_is_ended_after_the_idle_time_but_not_what_waits_for_an_operator(live: LiveHub) -> None:
    await ready(live)
    idle, waiting, attached = [(await live.bank.open_exchange()).exchange_id for _ in range(3)]
    await answer(live, waiting, "wait_approval")
    later = dataclasses.replace(live.hub, clock=lambda: now_ms() + 1_000_000)
    assert await live.hub.db.write(lambda write: service.expire(later, write, {attached})) == [idle]
    much_later = dataclasses.replace(live.hub, clock=lambda: now_ms() + 100_000_000)
    ended = await live.hub.db.write(lambda write: service.expire(much_later, write, {attached}))
    assert set(ended) == {waiting, attached}
    assert USCC not in str(live.bank.of("exchange"))
